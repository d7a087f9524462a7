"""The journal decides, MLflow's aliases follow: ``champion`` and ``challenger`` are set from the journal's entries.

Every run, promotion and ``doctor`` calls :func:`project`; so a process killed between the append and the alias costs
nothing but a moment in which the old champion still serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regraft.core.errors import Conflict
from regraft.core.key_values import Lease
from regraft.registry.journal import Entry, challenger_of, champion_of
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker

ALIASES = ("champion", "challenger")


def project(tracker: Tracker, pipeline: str) -> list[str]:
    """Make the aliases say what the journal says; returns what had to be changed, as sentences.

    When nothing is amiss in local state this takes no lock and imports no MLflow.
    """
    journal = store_of(tracker.workspace).journal(pipeline)
    entries = journal.entries()
    if not entries or _wanted(entries) == _ours(tracker.aliases(pipeline)):
        return []
    with store_of(tracker.workspace).lease(pipeline) as lease:
        return project_held(tracker, pipeline, journal.entries(), lease)


def project_held(tracker: Tracker, pipeline: str, entries: Sequence[Entry], lease: Lease) -> list[str]:
    """:func:`project` for callers that hold the ``lease``. Conflict where they have lost it: the entries are no longer the newest, then."""
    wanted, actual = _wanted(entries), _ours(tracker.aliases(pipeline))
    _refuse_foreign(tracker, pipeline, entries, actual.get("champion"))
    changes = []
    for alias in ALIASES:
        if wanted.get(alias) != actual.get(alias):
            lease.require()
            tracker.set_alias(pipeline, alias, wanted.get(alias))
            old, new = actual.get(alias, "none"), wanted.get(alias, "none")
            changes.append(f"alias {alias} of '{pipeline}': {old} -> {new}, as the journal says")
    if changes and (after := _ours(tracker.aliases(pipeline))) != wanted:
        raise Conflict(f"the aliases of '{pipeline}' were set to {wanted} and read back as {after}; someone else moves them")
    return changes


def _refuse_foreign(tracker: Tracker, pipeline: str, entries: Sequence[Entry], alias: str | None) -> None:
    """On a shared server a champion that this journal never knew was set by another machine; do not overwrite it."""
    known = {e.to["version"] for e in entries if e.action != "register" and e.to} | {None}
    if tracker.remote and alias not in known:
        raise Conflict(
            f"champion of '{pipeline}' at {tracker.shown} is version {alias}, "
            f"which the journal in {store_of(tracker.workspace).values.where()} does not know",
            fix="run the command where that version was promoted",
        )


def _wanted(entries: Sequence[Entry]) -> dict[str, str]:
    models = {"champion": champion_of(entries), "challenger": challenger_of(entries)}
    return {alias: model["version"] for alias, model in models.items() if model}


def _ours(aliases: Mapping[str, str]) -> dict[str, str]:
    return {alias: version for alias, version in aliases.items() if alias in ALIASES}
