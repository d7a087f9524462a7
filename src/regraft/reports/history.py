"""Who was champion when, and why: answered from the journal alone, without MLflow.

Every answer starts with the whole chain being verified; a journal that was tampered with answers nothing.
Moments are UTC: one without a zone is taken as UTC, a date without a time means its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from typing import Any

from regraft.core.errors import ConfigError
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.registry.journal import Entry, Journal, champion_of
from regraft.registry.store import store_of


def journal_of(workspace: Workspace, pipeline: str) -> Journal:
    """The journal of ``pipeline``, whose file may be gone by now; ConfigError where neither is known."""
    known = {*store_of(workspace).journals(), *workspace.pipelines}
    if pipeline not in known:
        raise ConfigError(unknown("pipeline", pipeline, known), fix="regraft status")
    return store_of(workspace).journal(pipeline)


def moment(text: str, pipeline: str, now: datetime | None = None) -> datetime:
    """The moment that ``text`` (ISO 8601) means, in UTC; the end of today is now. ConfigError for others and for the future."""
    now = now or datetime.now(UTC)
    fix = f"regraft history {pipeline} --at {now:%Y-%m-%d}"
    try:
        instant, whole_day = _parsed(text)
    except ValueError:
        raise ConfigError(f"--at {text!r} is not a date: write it as 2026-01-31 or 2026-01-31T14:30+01:00", fix=fix) from None
    instant = instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    if instant > now and not (whole_day and instant.date() == now.date()):
        raise ConfigError(f"--at {text} lies in the future: it is {now:%Y-%m-%dT%H:%M} UTC", fix=fix)
    return min(instant, now).replace(microsecond=0)


def _parsed(text: str) -> tuple[datetime, bool]:
    """The moment, and whether only a day was said."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max), True
    except ValueError:
        return datetime.fromisoformat(text), False


def until(entries: Sequence[Entry], at: datetime) -> list[Entry]:
    """The entries that had been written by ``at``: all up to the last with such a time, as a clock may have been ahead for one of them."""
    last = max((entry.seq for entry in entries if datetime.fromisoformat(entry.at) <= at), default=0)
    return [entry for entry in entries if entry.seq <= last]


def document(pipeline: str, entries: Sequence[Entry], at: datetime | None, *, witnessed: bool = True) -> dict[str, Any]:
    """What ``history --json`` says: the champion, now or at the moment ``at``, and the entries up to then."""
    shown = list(entries) if at is None else until(entries, at)
    return {
        "pipeline": pipeline,
        "at": at.isoformat() if at else None,
        "champion": champion_of(shown),
        "head": {"seq": entries[-1].seq, "sha256": entries[-1].sha, "witnessed": witnessed} if entries else None,
        "entries": [_plain(entry) for entry in shown],
    }


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry under the names of its file, and its hash."""
    plain = asdict(entry)
    return {"from": plain.pop("from_"), "sha256": plain.pop("sha"), **plain}


def sentence(entry: Entry) -> str:
    """What happened, in a few words."""
    version = entry.to["version"] if entry.to else "none"
    if entry.action == "rollback":
        return f"rolled back {entry.from_['version'] if entry.from_ else 'none'} to {version}"
    return f"{'registered' if entry.action == 'register' else 'promoted'} {version}"
