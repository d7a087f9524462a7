"""Promotion and rollback: append to the journal, then make MLflow's aliases say what the journal says.

The order is what makes it safe. A kill before the append changes nothing; a kill after it leaves an alias behind
the journal, and the next :func:`~regraft.registry.projection.project` (every run, promotion and ``doctor``) sets it right. The other
order would leave a champion that no entry explains. Of two promotions at once the append alone lets one through: the lease only
spares the loser the work. That holds among all that share the store; with a tracking server shared by several machines and a
journal in one machine's folder, :func:`promote` says that it does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.core.errors import ConfigError, Conflict, EnvironmentFault, GateFailed, GateInconclusive
from regraft.core.key_values import Lease
from regraft.registry import artifact
from regraft.registry.journal import Action, Entry, Journal, Model, challenger_of, champion_of, previous_of
from regraft.registry.projection import project, project_held
from regraft.registry.registration import model_folder, model_root, registered
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.registry.waiver import Waiver
from regraft.registry.waivers import listed, waived_of

SMOKE_SECONDS = 300.0


@dataclass(frozen=True)
class Change:
    """What became of the champion."""

    pipeline: str
    champion: dict[str, str]
    """``{version, digest, run, since}``."""
    previous: Model | None
    journal_seq: int
    changed: bool
    sentence: str
    note: str | None = None
    """What is not guaranteed; None: nothing is left open."""
    waivers: tuple[Waiver, ...] = ()
    """What the champion stands on besides its verdict."""


def champion(tracker: Tracker, pipeline: str) -> dict[str, str] | None:
    """``{version, digest, run, since}`` by the journal, without importing MLflow; None: there is no champion."""
    return champion_of(store_of(tracker.workspace).journal(pipeline).entries())


def promote(
    tracker: Tracker,
    pipeline: str,
    version: str,
    *,
    expected: Mapping[str, Any] | None,
    reason: str,
    by: str | None = None,
    waivers: Sequence[Waiver] = (),
) -> Change:
    """Make ``version`` the champion, if the champion still is ``expected``: the one that the verdict was about.

    ``expected`` is ``champion`` of verdict.json: ``{version, digest}`` or None. Promoting the champion is no change and
    no error, unless it is to stand on other ``waivers`` than it does, or on none. Raises ``Conflict`` when the champion
    has moved, ``EnvironmentFault`` when the model's bytes are not those that were registered.
    """
    journal = store_of(tracker.workspace).journal(pipeline)
    with store_of(tracker.workspace).lease(pipeline) as lease:
        entries = journal.entries()
        entry = registered(entries, pipeline, version)
        current = _model(champion_of(entries))
        project_held(tracker, pipeline, entries, lease)
        waived = waived_of(entries)
        if current == entry.to and tuple(waivers) == (waived.waivers if waived else ()):
            return _change(tracker, pipeline, entries, None, f"version {version} is already champion of '{pipeline}'")
        require(pipeline, entries, expected, f"the verdict on version {version}")
        model_folder(tracker, pipeline, version)
        return _move(tracker, journal, lease, entries, "promote", entry, reason, by, waivers)


def require(pipeline: str, entries: Sequence[Entry], expected: Mapping[str, Any] | None, what: str) -> None:
    """``Conflict`` unless the champion is ``expected``, which ``what`` was about."""
    current = _model(champion_of(entries))
    if current != _model(expected):
        message = f"champion of '{pipeline}' is {_named(current)}, but {what} was about {_named(_model(expected))}"
        raise Conflict(message, fix=f"regraft run {pipeline}")


def promote_by_hand(tracker: Tracker, pipeline: str, version: int | None, reason: str) -> Change:
    """``regraft promote``: a version (the challenger by default) whose verdict passed against today's champion."""
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    if version is None:
        challenger = challenger_of(entries)
        if challenger is None:
            raise ConfigError(f"'{pipeline}' has no challenger to promote", fix=f"regraft run {pipeline}")
        chosen = challenger["version"]
    else:
        chosen = str(version)
    run = registered(entries, pipeline, chosen).run
    with tracker.store() as client:
        tags = client.get_model_version(pipeline, chosen).tags
    if (outcome := tags.get("regraft.verdict")) != "pass":
        kind = GateInconclusive if outcome == "inconclusive" else GateFailed
        raise kind(f"version {chosen} of '{pipeline}' has the verdict {str(outcome).upper()}", fix=f"regraft explain {run}")
    return promote(tracker, pipeline, chosen, expected=json.loads(tags.get("regraft.champion", "null")), reason=reason)


def rollback(tracker: Tracker, pipeline: str, to: int | str | None = None, *, reason: str, by: str | None = None) -> Change:
    """Put an earlier champion back: the one before this, or version ``to``.

    Its bytes are verified, and a child process loads it and lets it answer its input example, before anything
    changes. Raises ``EnvironmentFault`` that names the broken file and leaves the champion as it is.
    """
    journal = store_of(tracker.workspace).journal(pipeline)
    entries = journal.entries()
    entry = _target(entries, pipeline, None if to is None else str(to))
    if entry.to == _model(champion_of(entries)):
        project(tracker, pipeline)
        return _change(tracker, pipeline, entries, None, f"version {to} is already champion of '{pipeline}'")
    assert entry.to is not None
    name = f"version {entry.to['version']} of '{pipeline}'"
    root = model_root(tracker, pipeline, entry.to["version"])
    artifact.verify(root, entry.digest, name, f"regraft history {pipeline}, and `regraft rollback {pipeline} --to` an older version")
    smoke_test(root, name)
    with store_of(tracker.workspace).lease(pipeline) as lease:
        model_root(tracker, pipeline, entry.to["version"])  # `regraft gc` may have freed it meanwhile
        return _move(tracker, journal, lease, entries, "rollback", entry, reason, by)


def _target(entries: Sequence[Entry], pipeline: str, to: str | None) -> Entry:
    if champion_of(entries) is None:
        raise ConfigError(f"'{pipeline}' has no champion to roll back from", fix=f"regraft status {pipeline}")
    if to is None:
        previous = previous_of(entries)
        if previous is None:
            message = f"'{pipeline}' has no champion further back to return to"
            raise ConfigError(message, fix=f"regraft promote {pipeline} VERSION; regraft ls {pipeline} lists them")
        return registered(entries, pipeline, previous["version"])
    entry = registered(entries, pipeline, to)
    if not any(e.action != "register" and e.to == entry.to for e in entries):
        raise ConfigError(f"version {to} of '{pipeline}' has never been champion", fix=f"regraft promote {pipeline} {to}")
    return entry


def smoke_test(root: Path, name: str) -> None:
    """Load a served model in a child process, pickle off, and let it answer its input example."""
    command = [sys.executable, "-P", "-m", "regraft.registry.smoke", str(root)]
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    try:
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SMOKE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"{name} did not answer its input example within {SMOKE_SECONDS:.0f} s", fix="regraft doctor") from None
    if process.returncode:
        complaint = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFault(f"{name} is intact but cannot answer its input example: {complaint}", fix="regraft doctor")


def _move(
    tracker: Tracker,
    journal: Journal,
    lease: Lease,
    entries: Sequence[Entry],
    action: Action,
    entry: Entry,
    reason: str,
    by: str | None,
    waivers: Sequence[Waiver] = (),
) -> Change:
    """The compare-and-swap, then its projection."""
    before = _model(champion_of(entries))
    journal.append(entries[-1].seq, action, from_=before, to=entry.to, run=entry.run, reason=reason, by=by, waivers=waivers)
    after = journal.entries()
    project_held(tracker, journal.pipeline, after, lease)
    change = f"is now {_named(entry.to)}, before: {_named(before)}" if before != entry.to else f"is still {_named(entry.to)}"
    basis = "" if before != entry.to else ", and stands on its verdict alone"
    if waivers:
        basis = f", on a waiver of {listed([waiver.name for waiver in waivers])} until {waivers[0].until}"
    return _change(tracker, journal.pipeline, after, before, f"champion of '{journal.pipeline}' {change}{basis}", changed=True)


def _change(
    tracker: Tracker, pipeline: str, entries: Sequence[Entry], previous: Model | None, sentence: str, changed: bool = False
) -> Change:
    note = None
    if tracker.remote and not store_of(tracker.workspace).values.shared:
        note = (
            f"the journal is this machine's, MLflow at {tracker.shown} is shared: two machines that promote at once "
            "are not told apart until regraft.yaml names a shared store"
        )
    current = champion_of(entries)
    assert current is not None
    waived = waived_of(entries)
    return Change(pipeline, current, previous, entries[-1].seq, changed, sentence, note, waived.waivers if waived else ())


def _model(model: Mapping[str, Any] | None) -> Model | None:
    """``{version, digest}`` of what may hold more; None stays None."""
    return {"version": str(model["version"]), "digest": model["digest"]} if model else None


def _named(model: Model | None) -> str:
    return f"version {model['version']} ({model['digest'][:12]})" if model else "none"
