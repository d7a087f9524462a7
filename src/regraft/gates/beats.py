"""``beats``: the interval of candidate minus another model must lie above 0; fails when all of it lies below.

A first model has no champion to beat; a champion that cannot be scored leaves the question open (:mod:`regraft.gates.registry`).
"""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import compared, measured_finding
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's lead over the model to beat."""
    against = gate.beats or "champion"
    lead = comparison.difference(comparison.candidate, against, gate.metric, gate.confidence)
    facts = compared(comparison, against, gate.metric)
    return measured_finding("beats", against, gate.metric, lead, comparison.n, lead.outcome(), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return words.ended(words.comparison(f), f)
