"""Gates that hold several numbers against a budget each: one finding, about the number that settles it.

As with slices, the gate fails if any of its numbers fails and passes if all of them pass; its facts hold them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from regraft.evaluation.stats.measured import FindingOutcome, Measured, at_most
from regraft.gates import words
from regraft.gates.finding import facts_of
from regraft.gates.section import Cell, Tone
from regraft.gates.verdict import Facts, Finding
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
    floor: bool = False
    """The number has to reach its threshold; otherwise it must not exceed it."""
    facts: Facts = field(default_factory=dict)
    """What else is said of it."""

    @property
    def outcome(self) -> FindingOutcome:
        return self.measured.outcome(or_equal=True) if self.floor else at_most(self.measured)

    def document(self) -> dict[str, Any]:
        """The part of a finding that is about this number."""
        measured = self.measured
        numbers = {"value": measured.value, "low": measured.low, "high": measured.high, "threshold": measured.threshold, "n": self.n}
        facts = {**facts_of(measured), **self.facts}
        return {"metric": self.metric, **numbers, "outcome": self.outcome, "floor": self.floor, "facts": facts}


def finding(gate: str, parts: Sequence[Held], **facts: Any) -> Finding:
    """The finding of a gate on ``parts``, at least one; the first of equals settles it."""
    worst = min(parts, key=lambda held: WORST_FIRST.index(held.outcome))
    measured = worst.measured
    numbers = (measured.value, measured.low, measured.high, measured.threshold)
    facts |= {"parts": [held.document() for held in parts]}
    return Finding(gate, None, worst.metric, *numbers, worst.n, worst.outcome, facts=facts)


def side(part: words.Document, show: Show = number) -> str:
    """On which side of its threshold a number lies, to stand after it."""
    good, bad = ("not below", "below") if part["floor"] else ("within", "above")
    where = {"pass": good, "fail": bad, "inconclusive": "an interval that contains"}[part["outcome"]]
    return f", {where} the {'least asked' if part['floor'] else 'budget'} of {show(part['threshold'])}"


def change_of(what: str, f: words.Document, show: Show, *, floor: bool = False) -> str:
    """What it would take for ``what``, a number held against a budget or a floor, to come out otherwise; for ``explain``."""
    low, high, threshold = f["low"], f["high"], f["threshold"]
    if f["outcome"] == "pass":
        spare = low - threshold if floor else threshold - high
        return f"{what}: passes with {show(spare)} to spare."
    side = f"would have to lie at or {'above' if floor else 'below'} {show(threshold)}."
    return f"{what}: {show(low)} {side}" if low == high else f"{what}: the whole interval, now {show(low)} to {show(high)}, {side}"


def cells(difference: words.Document, budget: float) -> tuple[Cell, Cell]:
    """A difference and its interval beside ``budget``, for a table of a section."""
    tone: Tone = "no" if difference["low"] > budget else "ok" if difference["high"] <= budget else ""
    return Cell(f"{difference['value']:+.3f}", tone), Cell(f"{difference['low']:+.3f} to {difference['high']:+.3f}", "muted")
