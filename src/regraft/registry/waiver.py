"""A waiver: one finding of a verdict that a person answers for, until the end of a day (UTC).

It changes no verdict. It stands in the journal entry of a promotion, inside the hash chain, with that entry's person
and reason; so it is about one model and one verdict, and no later run passes by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any


@dataclass(frozen=True)
class Waiver:
    """What was not proven, in the words of the verdict."""

    gate: str
    """``at_least``; on clean rows ``at_least:clean``."""
    against: str | None
    metric: str | None
    outcome: str
    """fail or inconclusive."""
    sentence: str
    until: str
    """Its last day, as 2026-12-31."""

    @property
    def name(self) -> str:
        """``beats:champion:macro_f1``: what ``--waive`` calls it."""
        return ":".join(filter(None, (self.gate, self.against, self.metric)))

    def expired(self, now: datetime) -> bool:
        """Whether its last day is over."""
        return now.astimezone(UTC).date() > date.fromisoformat(self.until)


def is_waiver(value: Any) -> bool:
    """Whether ``value`` is what a :class:`Waiver` looks like in a journal."""
    if not isinstance(value, Mapping) or set(value) != {field.name for field in fields(Waiver)}:
        return False
    texts, may_be_null = ("gate", "outcome", "sentence", "until"), ("against", "metric")
    if not all(isinstance(value[key], str) for key in texts) or not all(isinstance(value[key], str | None) for key in may_be_null):
        return False
    try:
        date.fromisoformat(value["until"])
    except ValueError:
        return False
    return True
