"""Amounts and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

NAMED = 3
"""Things of a long list that are named; the rest is counted."""


def size(count: float) -> str:
    """``count`` bytes for a person: ``512 bytes``, ``3.4 MB``, ``1.25 GB``; powers of ten, as ``df -H`` and disk vendors count."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if count < factor * 999.5:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e9:.3g} GB" if count < 1e11 else f"{count / 1e9:,.0f} GB"


def clock(seconds: float) -> str:
    """A time that runs: ``0:01:59``."""
    return str(timedelta(seconds=max(0, round(seconds))))


def duration(seconds: float) -> str:
    """A time that was measured: ``12.3 s``, ``1 min 59 s``, ``1 h 3 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def roughly(seconds: float) -> str:
    """An estimate or an age, in one unit: ``40 s``, ``34 min``, ``1.5 h``, ``3 days``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 48 * 3_600 else f"{seconds / 86_400:,.0f} days"


def counted(n: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def first_of(names: Sequence[str], most: int = NAMED, total: int | None = None, between: str = ", ") -> str:
    """«a, b, c and 4 more»: ``most`` of ``names``, and how many of ``total`` are left out; None: ``names`` are all."""
    shown = names[:most]
    left_out = (len(names) if total is None else total) - len(shown)
    return between.join(shown) + (f" and {left_out:,} more" if left_out > 0 else "")
