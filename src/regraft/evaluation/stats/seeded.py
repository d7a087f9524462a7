"""A number that rows and seeds move, and the rows that its question needs. Without numpy, for those who only put it into words."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.evaluation.stats.measured import Measured


@dataclass(frozen=True)
class SeededMeasured(Measured):
    """A number that seeds move as well as rows."""

    each: tuple[float, ...] = ()
    """The number for each seed, the first being that of the model that would be registered."""
    error: float = 0.0
    """Standard error, by rows and seeds together."""
    seed_error: float = 0.0
    """The part of it that more rows do not shrink."""


def more_rows(n: int, measured: SeededMeasured) -> float | None:
    """Rows needed in all to decide an open question with ``measured.power``; None: rows alone never do, the seeds hide it."""
    distance = abs(measured.value - measured.threshold)
    allowed = (distance * measured.error / measured.detectable) ** 2 - measured.seed_error**2 if measured.detectable else 0.0
    return n * max(0.0, measured.error**2 - measured.seed_error**2) / allowed if allowed > 0 else None
