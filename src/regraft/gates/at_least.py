"""``at_least``: the candidate's interval must not reach below a floor; fails when all of it lies below."""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import measured_finding
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's score against the floor."""
    score = comparison.score(comparison.candidate, gate.metric, gate.confidence, gate.at_least or 0.0)
    outcome = score.outcome(or_equal=True)
    return measured_finding("at_least", None, gate.metric, score, comparison.n, outcome, model=comparison.candidate)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    side = {"pass": "not below", "fail": "below", "inconclusive": "on both sides of"}[f["outcome"]]
    return words.ended(f"{words.score(f, f['value'])} ({words.spread(f)}), {side} the floor of {words.number(f['threshold'])}", f)
