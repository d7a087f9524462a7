"""What gates on one measured number share: the finding about it, and the facts that its words are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from regraft.evaluation.stats import power, seeded
from regraft.evaluation.stats.measured import FindingOutcome, Measured
from regraft.evaluation.stats.power import MOST_GROWTH
from regraft.evaluation.stats.seeded import SeededMeasured
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


def measured_finding(
    gate: str, against: str | None, metric: str | None, measured: Measured, n: int, outcome: FindingOutcome, **facts: Any
) -> Finding:
    """A finding about ``measured``; what an open question asks for is among its facts."""
    numbers = (measured.value, measured.low, measured.high, measured.threshold)
    of_measured = facts_of(measured) | (needed(n, measured) if outcome == "inconclusive" else {})
    return Finding(gate, against, metric, *numbers, n, outcome, facts={**of_measured, **facts})


def facts_of(measured: Measured) -> dict[str, Any]:
    """Confidence, what the rows can show, and the number for each seed where there are several."""
    facts = {"confidence": measured.confidence, "power": measured.power, "detectable": measured.detectable}
    return {**facts, "each": list(measured.each)} if isinstance(measured, SeededMeasured) else facts


def needed(n: int, measured: Measured) -> dict[str, Any]:
    """What an open question asks for: ``needs`` is rows, and ``more_rows`` how many; seeds; or nothing, for no number of rows would do.

    Rows shrink one part of the error, seeds the other.
    """
    if isinstance(measured, SeededMeasured):
        wanted = seeded.more_rows(n, measured)
        if wanted is None:
            return {"needs": "seeds", "more_rows": None}
        distance = abs(measured.value - measured.threshold)
        measured = replace(measured, detectable=distance * sqrt(wanted / n))  # the effect that says `wanted`
    rows = more_rows(n, measured)
    return {"needs": "nothing" if rows is None else "rows", "more_rows": rows}


def more_rows(n: int, measured: Measured) -> int | None:
    """Roughly how many more rows of the same kind would decide an open question, if the true value is the measured one.

    With :attr:`Measured.power`, as many as decide it with that power. Without, intervals shrink with the square root
    of n, so in all n * (reach / distance)^2 rows are needed, reach being the part of the interval on the threshold's
    side. None when that is more than :data:`MOST_GROWTH` times n.
    """
    distance = abs(measured.value - measured.threshold)
    if measured.power is not None:
        return power.more_rows(n, distance, measured.detectable)
    reach = measured.value - measured.low if measured.value > measured.threshold else measured.high - measured.value
    if distance == 0 or (reach / distance) ** 2 > MOST_GROWTH:
        return None
    return round(n * max(0.0, (reach / distance) ** 2 - 1))


def compared(comparison: Comparison, against: str, metric: str) -> dict[str, Any]:
    """The candidate beside ``against``: its score, and of accuracy the flipped rows with McNemar's test."""
    from regraft.evaluation.stats.metrics import mcnemar

    facts: dict[str, Any] = {"model": comparison.candidate, "score": comparison.scores[comparison.candidate][metric]}
    if metric != "accuracy":
        return facts
    gained, lost = comparison.flipped(against)
    flips = {"gained": gained, "lost": lost, "p": float(f"{mcnemar(gained, lost):.2g}"), "of_first_seed": comparison.repeats is not None}
    return {**facts, "flips": flips}


def undefined(comparison: Comparison, metric: str, models: Sequence[str]) -> dict[str, Any] | None:
    """Why ``metric`` says nothing of ``models``, as facts; None where it does."""
    if comparison.defined(metric, models):
        return None
    reason = "one_label" if len(comparison.paired.classes) < 2 else "no_probabilities"
    return {"reason": reason, "clean": comparison.clean_only}
