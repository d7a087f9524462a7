"""Gates that hold several numbers against a budget each: one finding, about the number that settles it.

As with slices, the gate fails if any of its numbers fails and passes if all of them pass; the sentence names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from regraft.evaluation.stats.measured import FindingOutcome, Measured, at_most
from regraft.gates.verdict import Finding
from regraft.gates.words import number

Show = Callable[[float], str]
"""A number in words."""
WORST_FIRST: tuple[FindingOutcome, ...] = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Held:
    """One number and what became of it."""

    metric: str
    measured: Measured
    n: int
    """Rows, timings or files that it rests on."""
    said: str
    """The number and its interval in words."""
    floor: bool = False
    """The number has to reach its threshold; otherwise it must not exceed it."""
    open_end: str = ""
    """What an open question asks for."""

    @property
    def outcome(self) -> FindingOutcome:
        return self.measured.outcome(or_equal=True) if self.floor else at_most(self.measured)

    def sentence(self, threshold: str) -> str:
        """``said``, and on which side of its threshold it lies."""
        good, bad = ("not below", "below") if self.floor else ("within", "above")
        side = {"pass": good, "fail": bad, "inconclusive": "on both sides of"}[self.outcome]
        end = f"; {self.open_end}" if self.outcome == "inconclusive" and self.open_end else ""
        limit = "least asked" if self.floor else "budget"
        return f"{self.said}, {side} the {limit} of {threshold}{end}"


def finding(gate: str, opening: str, parts: Sequence[tuple[Held, str]]) -> Finding:
    """The finding of a gate; ``parts`` are (number, its threshold in words), at least one, the first of equals settles it."""
    worst = min((held for held, _ in parts), key=lambda held: WORST_FIRST.index(held.outcome))
    measured = worst.measured
    sentence = f"{opening}{'; '.join(held.sentence(threshold) for held, threshold in parts)}."
    return Finding(
        gate, None, worst.metric, measured.value, measured.low, measured.high, measured.threshold, worst.n, worst.outcome, sentence
    )


def change(
    what: str, outcome: FindingOutcome, low: float, high: float, threshold: float, *, show: Show = number, floor: bool = False
) -> str:
    """What it would take for ``what``, a number held against a budget or a floor, to come out otherwise; for ``explain``."""
    if outcome == "pass":
        spare = low - threshold if floor else threshold - high
        return f"{what}: passes with {show(spare)} to spare."
    side = f"would have to lie at or {'above' if floor else 'below'} {show(threshold)}."
    return f"{what}: {show(low)} {side}" if low == high else f"{what}: the whole interval, now {show(low)} to {show(high)}, {side}"
