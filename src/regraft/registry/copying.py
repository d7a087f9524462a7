"""From one store into another, whole: what is there already has to be the same, and every byte is read back.

Entries that never change go first and in their order, so a copy that was killed is an older state of what it copies, and the same
command goes on with it. What does change (witnesses of journals, last results) goes last, and only where the target is no further.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from regraft.core import files
from regraft.core.errors import ConfigError, Conflict, EnvironmentFault
from regraft.core.key_values import KeyValues
from regraft.registry.lease import LEASE_SECONDS
from regraft.registry.store import Store

ROOMS = ("journal", "ledger", "approvals", "serving", "predictions", "latest")
"""All that a store keeps but leases, in the order in which it is copied."""


@dataclass(frozen=True)
class Copied:
    """What a copy did."""

    written: int
    same: int
    """Keys that were there already."""
    bytes: int
    """Of all keys, read back from the target."""
    heads: dict[str, str]
    """Pipeline -> sha256 of its journal's newest entry, the same in both."""


def copy(source: KeyValues, target: KeyValues, seconds: float = LEASE_SECONDS) -> Copied:
    """Everything that ``source`` keeps, into ``target``, while nobody changes a registry of ``source``.

    :raises ConfigError: the source keeps nothing.
    :raises EnvironmentFault: a journal of the source is not what was written, or what was read back is not what was copied.
    :raises Conflict: the target keeps something else under a key, or its journal is further. Nothing was overwritten then.
    """
    if next(_keys(source), None) is None:
        raise ConfigError(f"{source.where()} keeps nothing that could be copied", fix="regraft store copy --help")
    target.check()
    with contextlib.ExitStack() as leases:
        pipelines = Store(source).journals()
        for pipeline in pipelines:
            leases.enter_context(source.lease(pipeline, seconds))
        for pipeline in pipelines:
            Store(source).journal(pipeline).entries()  # raises what is wrong with it
            _require_no_further(source, target, pipeline)
        keys = list(_keys(source))
        lasting, changing = [key for key in keys if not _changes(key)], [key for key in keys if _changes(key)]
        written = sum(_brought(source, target, key) for key in lasting)
        for key in changing:
            written += target.get(key) != source.get(key)
            target.put(key, source.get(key) or b"")
        total = sum(_verified(source, target, key) for key in keys)
        heads = {pipeline: _same_head(source, target, pipeline) for pipeline in pipelines}
    return Copied(written, len(keys) - written, total, heads)


def _keys(source: KeyValues) -> Iterator[str]:
    for room in ROOMS:
        for name in source.names(room):
            hidden = name.rpartition("/")[2].startswith(".")
            if not hidden or (room == "journal" and name.endswith(".head")):  # else a lock, or half of a file
                yield f"{room}/{name}"


def _changes(key: str) -> bool:
    return key.startswith("latest/") or key.endswith(".head")


def _require_no_further(source: KeyValues, target: KeyValues, pipeline: str) -> None:
    here, there = source.read(f"journal/{pipeline}"), target.read(f"journal/{pipeline}")
    if further := sorted(there.keys() - here.keys()):
        message = f"{target.where(f'journal/{pipeline}/{further[0]}')} is not in {source.where()}: the target has gone on since"
        raise Conflict(message, fix="copy the other way round, or into an empty store")


def _brought(source: KeyValues, target: KeyValues, key: str) -> bool:
    """Whether ``key`` had to be written."""
    value = source.get(key)
    if value is None or target.create(key, value):
        return value is not None
    if target.get(key) != value:
        raise Conflict(f"{target.where(key)} is something else than {source.where(key)}", fix="copy into an empty store")
    return False


def _verified(source: KeyValues, target: KeyValues, key: str) -> int:
    """Bytes of ``key``, which are the same in both."""
    ours, theirs = source.get(key), target.get(key)
    if ours is None or theirs is None or files.sha256_bytes(ours) != files.sha256_bytes(theirs):
        message = f"{target.where(key)} was read back as something else than {source.where(key)}"
        raise EnvironmentFault(message, fix="run the command again; if it says so again, look at the target")
    return len(ours)


def _same_head(source: KeyValues, target: KeyValues, pipeline: str) -> str:
    ours, theirs = Store(source).journal(pipeline).entries(), Store(target).journal(pipeline).entries()
    if ours != theirs:
        raise EnvironmentFault(f"the journal of '{pipeline}' in {target.where()} is not the one that was copied", fix="regraft doctor")
    return ours[-1].sha
