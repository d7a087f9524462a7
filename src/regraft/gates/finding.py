"""What gates on one measured number share: the finding about it, a comparison in words, and why a metric says nothing."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.evaluation.stats.measured import FindingOutcome, Measured
from regraft.evaluation.stats.metrics import mcnemar
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.verdict import Finding


def measured_finding(
    gate: str, against: str | None, metric: str | None, measured: Measured, n: int, outcome: FindingOutcome, sentence: str
) -> Finding:
    """A finding about ``measured``; ``sentence`` is ended by the values of the seeds, and by what an open question asks for."""
    full = sentence.removesuffix(".") + words.one_by_one(measured)
    full += f"; {words.undecided(n, measured)}." if outcome == "inconclusive" else "."
    return Finding(gate, against, metric, measured.value, measured.low, measured.high, measured.threshold, n, outcome, full)


def compared(comparison: Comparison, against: str, metric: str, difference: Measured) -> str:
    """The candidate beside ``against``, without the conclusion; of accuracy with McNemar's test."""
    value = comparison.scores[comparison.candidate][metric]
    sentence = words.comparison(comparison.candidate, against, metric, value, comparison.n, difference)
    if metric != "accuracy":
        return sentence
    of_one = " of the first seed" if comparison.repeats else ""
    return f"{sentence}, exact McNemar p{of_one} = {mcnemar(*comparison.flipped(against)):.2g}"


def undefined(comparison: Comparison, metric: str, models: Sequence[str]) -> str | None:
    """Why ``metric`` says nothing of ``models``; None where it does."""
    if comparison.defined(metric, models):
        return None
    one_label = len(comparison.paired.classes) < 2
    reason = f"all {comparison.rows_name} have one label" if one_label else "a model gave no probabilities"
    return f"{words.METRICS[metric]} is not defined: {reason}"
