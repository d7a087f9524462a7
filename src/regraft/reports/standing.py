"""What has become of a model since it was judged, from the journal alone. Pure: no clock, so that a page stays the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regraft.registry.journal import Entry, champion_of, rolled_back


@dataclass(frozen=True)
class Standing:
    """Where the model of a run stands."""

    state: str
    """``champion``, ``rolled_back``, ``replaced``, ``registered`` or ``unregistered``."""
    sentence: str
    as_of: str | None
    """When the journal was last written, ISO 8601; None: it is empty."""


def standing(entries: Sequence[Entry], digest: str) -> Standing:
    """Where the model with ``digest`` stands after the ``entries`` of its pipeline's journal."""
    champion = champion_of(entries)
    version = next((e.to["version"] for e in entries if e.action == "register" and e.to and e.to["digest"] == digest), None)
    instead = f"version {champion['version']} is in production" if champion else "nothing is in production"
    as_of = entries[-1].at if entries else None
    if champion and champion["digest"] == digest:
        return Standing(
            "champion", f"In production as version {champion['version']} since {champion['since'][:10]}{_waived(entries)}", as_of
        )
    if left := rolled_back(entries, digest):
        return Standing("rolled_back", f"Rolled back on {left.at[:10]} by {left.by} ({left.reason}); {instead}", as_of)
    if any(e.action != "register" and e.to and e.to["digest"] == digest for e in entries):
        return Standing("replaced", f"Was in production as version {version}; now {instead}", as_of)
    if version:
        return Standing("registered", f"Registered as version {version}, not in production; {instead}", as_of)
    return Standing("unregistered", f"Not registered; {instead}", as_of)


def _waived(entries: Sequence[Entry]) -> str:
    """That the champion stands on waivers, with their last day; empty where its evidence carries it."""
    last = next(e for e in reversed(entries) if e.action != "register")
    return f", on a waiver until {last.waivers[0].until}" if last.waivers else ""
