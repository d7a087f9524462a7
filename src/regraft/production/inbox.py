"""An inbox: a folder or bucket where people leave drops, each file or folder of it one.

An entry is looked at again only when it has changed since it was taken in or refused (``state/data/<pipeline>/inbox/``), and a drop that
comes back under another name counts once, by its bytes. Nothing in an inbox is ever changed or moved.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.config.inbox import InboxOptions
from regraft.core import files
from regraft.core.errors import ConfigError, Conflict, DataRejected, Problem
from regraft.core.workspace import Workspace
from regraft.data.handoff import checksums
from regraft.data.handoff.drop import HALF
from regraft.production import s3_source
from regraft.production.data_store import DataStore, now
from regraft.production.handoff import S3, HandedIn, hand_in, refusal


@dataclass(frozen=True)
class Arrival:
    """An entry of an inbox."""

    name: str
    source: str
    """What ``regraft handoff`` would be given."""
    signature: str
    """Another one when something of it changes."""
    age: float
    """Seconds since something of it changed."""
    summed: bool
    """Whether checksums came with it."""


@dataclass(frozen=True)
class Waiting:
    """An entry that is not taken in yet, and why."""

    name: str
    why: str

    @property
    def words(self) -> str:
        """What became of it, in a sentence without its subject."""
        return f"waits: {self.why}"


@dataclass
class Taken:
    """What became of an entry."""

    name: str
    result: HandedIn | None
    """None: it could not be read at all."""
    refused: str | None = None
    """Why, for people; None: it was taken in, or was there already."""
    fix: str | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What became of it, in a sentence without its subject."""
        if self.refused is not None or self.result is None:
            return f"was refused: {self.refused}" + (f"; next: {self.fix}" if self.fix else "")
        result, counts = self.result, self.result.counts
        if result.outcome != "accepted" or result.version is None:
            return f"changed nothing: {result.summary}"
        return f"is version {result.version.number}: {result.summary}; {counts['quarantined']:,} of {counts['read']:,} rows set aside"

    def document(self, workspace: Workspace) -> dict[str, Any]:
        """As JSON."""
        of_result = self.result.document(workspace) if self.result else {"outcome": "refused"}
        return {"name": self.name, **of_result, "refused": self.refused, "fix": self.fix}


def look(workspace: Workspace, pipeline: str) -> tuple[list[Arrival], list[Waiting]]:
    """What an inbox holds that was not judged yet: entries that are whole, oldest first, and those that are not.

    :raises ConfigError: the pipeline has no inbox, or it is not there.
    """
    store, options = _inbox(workspace, pipeline)
    whole, waiting = [], []
    for entry in _entries(workspace, options.path):
        if files.read_json(seen)["signature"] == entry.signature if (seen := _seen(store, entry.name)).is_file() else False:
            continue
        if why := _unfinished(entry, options):
            waiting.append(Waiting(entry.name, why))
        else:
            whole.append(entry)
    return sorted(whole, key=lambda entry: (-entry.age, entry.name)), waiting


def take_in(workspace: Workspace, pipeline: str, arrival: Arrival, *, commit: bool = True, by: str | None = None) -> Taken | Waiting:
    """Hand in one entry of an inbox, and remember what became of it."""
    store, _ = _inbox(workspace, pipeline)
    try:
        result = hand_in(workspace, pipeline, arrival.source, commit=commit, by=by or _owner(arrival.source))
    except Conflict as error:
        return Waiting(arrival.name, str(error))
    except (DataRejected, ConfigError) as error:
        # What is wrong with the pipeline file or the contract is no fault of the drop; that it may be whole or a part is.
        is_of_drop = isinstance(error, DataRejected) or "--add" in (error.fix or "")
        if not is_of_drop or any(problem.get("rule") == "file.whole" for problem in error.problems):
            return Waiting(arrival.name, str(error))
        taken = Taken(arrival.name, None, str(error), error.fix, error.problems)
    else:
        taken = Taken(arrival.name, result)
        if result.outcome == "refused":
            told = refusal(workspace, result)
            taken.refused, taken.fix, taken.problems = str(told), told.fix, result.problems
    if taken.refused and taken.fix and "--add" in taken.fix:
        taken.fix += f": regraft handoff {pipeline} {arrival.source} --add"
    version = taken.result.version if taken.result else None
    record = {"name": arrival.name, "signature": arrival.signature, "at": now(), "version": version.number if version else None}
    files.write_json(_seen(store, arrival.name), {**record, "refused": taken.refused})
    return taken


def _inbox(workspace: Workspace, pipeline: str) -> tuple[DataStore, InboxOptions]:
    store = DataStore.of(workspace, pipeline)
    if (options := store.options.inbox) is None:
        message = f"{pipeline} has no inbox, so it has to be said what is handed in"
        raise ConfigError(message, fix=f"regraft handoff {pipeline} FILE, or write `inbox: {{path: ...}}` into pipelines/{pipeline}.yaml")
    return store, options


def _seen(store: DataStore, name: str) -> Path:
    return store.folder / "inbox" / f"{files.sha256_text(name)[:16]}.json"


def _unfinished(entry: Arrival, options: InboxOptions) -> str | None:
    """Why an entry may not be whole; None: it is."""
    if not entry.source.startswith(S3) and Path(entry.source).is_symlink():
        return "is a link, and what others upload must not name files of this machine; put the file itself there"
    if entry.name.lower().endswith(HALF):
        return "is still being uploaded, as its name says"
    if entry.summed:
        return None
    if options.checksums:
        return f"came without checksums ({checksums.LIST} in a folder, {entry.name}{checksums.SUFFIX} beside a file)"
    if entry.age < options.settle_seconds:
        return f"changed {max(0, round(entry.age))} s ago; it is taken in when it has not changed for {options.settle}"
    return None


def _entries(workspace: Workspace, path: str) -> Iterator[Arrival]:
    found = _in_bucket(path) if path.startswith(S3) else _in_folder(workspace.root / path, path)
    for arrival in found:
        if not arrival.name.startswith((".", "~$")) and Path(arrival.name).suffix not in (checksums.SUFFIX, ".md"):
            yield arrival


def _in_folder(folder: Path, shown: str) -> Iterator[Arrival]:
    if not folder.is_dir():
        raise ConfigError(f"the inbox {shown} is not there", fix=f"mkdir -p {folder}, or correct `inbox` in the pipeline file")
    for path in sorted(folder.iterdir()):
        beside = checksums.list_of(path)
        parts = (path, *(path.rglob("*") if path.is_dir() else ()), *([beside] if beside else []))
        stats = [(item.relative_to(folder).as_posix(), stat) for item in parts if (stat := _stat(item)) is not None]
        if not stats:
            continue  # a link that leads nowhere, or a file that has just gone
        marks = sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats)
        # The time of the last change, which no tool for copying sets back, as it does that of the last writing.
        age = time.time() - max(stat.st_ctime for _, stat in stats)
        yield Arrival(path.name, str(path), files.sha256_text(files.canonical(marks)), age, beside is not None)


def _stat(path: Path) -> os.stat_result | None:
    """None: it has gone since the folder was listed, or is a link that leads nowhere."""
    try:
        return path.stat()
    except OSError:
        return None


def _in_bucket(uri: str) -> Iterator[Arrival]:
    there = s3_source.entries(uri)
    for name, entry in there.items():
        beside = there.get(f"{name}{checksums.SUFFIX}")
        marks = sorted([*entry.objects, *(beside.objects if beside else ())])
        summed = beside is not None or any(key == f"{name}/{checksums.LIST}" for key, _, _ in entry.objects)
        is_folder = any("/" in key for key, _, _ in entry.objects)
        source = f"{uri.rstrip('/')}/{name}{'/' if is_folder else ''}"
        yield Arrival(name, source, files.sha256_text(files.canonical(marks)), entry.age, summed)


def _owner(source: str) -> str | None:
    """Who left a file in a folder; None: whoever runs this process is named."""
    with contextlib.suppress(OSError, KeyError, NotImplementedError):
        return Path(source).owner()
    return None
