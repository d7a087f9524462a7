"""One finding of ``regraft doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Check:
    """``bad`` stops a run or spoils it, ``warn`` does not; ``fix`` is what to type."""

    name: str
    state: State
    message: str
    fix: str | None = None


def verdict(name: str, fault: str | None, subject: str, well: str, fix: str | None = None) -> Check:
    """``subject`` is ``well``, or bad because of ``fault``."""
    return Check(name, "bad", f"{subject} {fault}", fix) if fault else Check(name, "ok", f"{subject} {well}")
