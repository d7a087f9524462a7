"""``holdout``: the same test rows must not have decided more often than they may; a worn set leaves the question open."""

from __future__ import annotations

from regraft.evaluation.stats.measured import FindingOutcome
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """Decisions taken on these test rows against their budget."""
    decisions, budget = comparison.case.decisions, gate.holdout.budget if gate.holdout else 0
    if decisions is None:
        return Finding.in_words("holdout", comparison.n, "inconclusive", "decisions on these test rows were not counted.")
    outcome: FindingOutcome = "pass" if decisions <= budget else "inconclusive"
    counted = float(decisions)  # exact, so its interval is itself
    sentence = f"{words.holdout(decisions, budget)}."
    return Finding("holdout", None, None, counted, counted, counted, float(budget), comparison.n, outcome, sentence)
