"""A number with its interval, and what it says beside a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive"]
FindingOutcome = Literal["pass", "fail", "inconclusive", "info"]
"""Outcome of one finding; "info" informs and decides nothing."""


@dataclass(frozen=True)
class Measured:
    """A number, its interval, and the value it is held against."""

    value: float
    low: float
    high: float
    threshold: float
    confidence: float
    power: float | None = None
    """None: nothing is said of power."""
    detectable: float = 0.0
    """The distance from the threshold that these rows would show with ``power``; 0: the rows do not tell."""

    def outcome(self, *, or_equal: bool = False) -> Outcome:
        """Pass when the whole interval lies above the threshold (``or_equal``: or touches it), fail when all of it lies below."""
        if self.low > self.threshold or (or_equal and self.low == self.threshold):
            return "pass"
        return "fail" if self.high < self.threshold else "inconclusive"


def at_most(measured: Measured) -> Outcome:
    """The outcome of a budget: pass when the whole interval lies at or below the threshold, fail when all of it lies above."""
    return "pass" if measured.high <= measured.threshold else "fail" if measured.low > measured.threshold else "inconclusive"


def rounded(value: float) -> float:
    """Six decimals, and no negative zero."""
    return round(value, 6) + 0.0
