"""``non_inferior_by``: the interval of candidate minus another model must lie above minus a margin, on all rows."""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import compared, measured_finding
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's lead, which may be negative by the margin; of slices :mod:`regraft.gates.slice_gate` asks the same."""
    margin = gate.non_inferior_by or 0.0
    lead = comparison.difference(comparison.candidate, gate.against, gate.metric, gate.confidence, -margin)
    facts = compared(comparison, gate.against, gate.metric)
    return measured_finding("non_inferior_by", gate.against, gate.metric, lead, comparison.n, lead.outcome(), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return words.ended(f"{words.comparison(f)}, {words.margin(f)}", f)
