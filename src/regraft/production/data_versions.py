"""Versions of a pipeline's data, looked at and gone back to: ``regraft data diff``, ``log`` and ``revert``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.data.handoff import changes, edition
from regraft.data.handoff.changes import Diff
from regraft.data.handoff.edition import Place
from regraft.data.handoff.history import Version
from regraft.data.options import TaskOptions
from regraft.data.rows import Row
from regraft.data.spelling import spelled
from regraft.production.data_store import DataStore, now
from regraft.registry.journal import whoami
from regraft.registry.store import store_of

SIDE = re.compile(r"(?P<pipeline>[a-z][a-z0-9_]*)(/(?P<number>\d+))?")


@dataclass(frozen=True)
class Side:
    """One of two sets of rows that are compared."""

    name: str
    rows: Callable[[], Iterable[Row]]


@contextmanager
def sides(workspace: Workspace | None, a: str, b: str, task: TaskOptions | None) -> Iterator[tuple[Side, Side, TaskOptions]]:
    """Two sets of rows to compare: files, folders, versions (``demo/3``) or what a pipeline has now (``demo``).

    :param task: the columns of rows; None: those of the pipeline that one of the two names, else id, text and label.
    """
    stores = [_store(workspace, side) for side in (a, b)]
    of_rows = task or next((store.task for store in stores if store is not None), TaskOptions())
    if workspace is None:
        yield _file(a, of_rows), _file(b, of_rows), of_rows
        return
    made = [store for store in stores if store is not None]
    if not made:
        yield _file(a, of_rows), _file(b, of_rows), of_rows
        return
    with made[0].scratch() as scratch:
        pair = [
            _file(side, of_rows) if store is None else _version(store, side, scratch / str(number), of_rows)
            for number, (side, store) in enumerate(zip((a, b), stores, strict=True))
        ]
        yield pair[0], pair[1], of_rows


def _store(workspace: Workspace | None, side: str) -> DataStore | None:
    """The data that ``side`` means a version of; None: it is a path."""
    match = SIDE.fullmatch(side)
    if (
        workspace is None
        or match is None
        or match["pipeline"] not in workspace.pipelines
        or (Path(side).exists() and match["number"] is None)
    ):
        return None
    return DataStore.of(workspace, match["pipeline"])


def _file(side: str, task: TaskOptions) -> Side:
    path = Path(side)
    if not path.exists():
        message = f"{side} is neither a file or folder nor a version of a pipeline's data (demo/3) nor a pipeline"
        raise ConfigError(message, fix="regraft data log, and name a version as PIPELINE/NUMBER")
    return Side(side, lambda: spelled(Place(path.absolute(), side).rows(), task, None))


def _version(store: DataStore, side: str, folder: Path, task: TaskOptions) -> Side:
    match = SIDE.fullmatch(side)
    assert match is not None
    place = store.place
    if match["number"] is not None:
        version = store.history.version(int(match["number"]), store.pipeline)
        folder.mkdir(parents=True)
        path = folder / place.path.name
        store.restore(version, path)
        place = Place(path, place.shown, place.tsv_quoted)
    return Side(side, lambda: spelled(place.rows(), task, store.options.data.split))


def diff(workspace: Workspace | None, a: str, b: str, task: TaskOptions | None = None) -> tuple[Diff, str, str]:
    """What differs between two sets of rows, and what the sides are called."""
    with sides(workspace, a, b, task) as (before, after, of_rows):
        return changes.diff(before.rows, after.rows, of_rows), before.name, after.name


@dataclass(frozen=True)
class Line:
    """One version in the log."""

    version: Version
    current: bool
    models: tuple[str, ...]
    """Versions of models that were trained on it."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        record = self.version.document()
        record["diff"] = {key: item for key, item in record["diff"].items() if key in changes.KINDS}
        return {**record, "current": self.current, "models": list(self.models)}


def log(workspace: Workspace, pipeline: str) -> list[Line]:
    """The versions of a pipeline's data, newest first, and which models ate each."""
    store = DataStore.of(workspace, pipeline)
    head = store.history.head(store.place.digest())
    models = eaten(workspace, pipeline)
    return [
        Line(version, head is not None and version.number == head.number, tuple(models.get(version.data["digest"], ())))
        for version in reversed(store.history.versions())
    ]


def eaten(workspace: Workspace, pipeline: str) -> dict[str, list[str]]:
    """Digest of labelled data -> the model versions that were trained on them, as the registry says; nothing where none is registered."""
    if not store_of(workspace).journal(pipeline).entries():
        return {}
    from regraft.registry.data_of_models import models_by_data
    from regraft.registry.tracking import Tracker

    return models_by_data(Tracker(workspace), pipeline)


def revert(
    workspace: Workspace, pipeline: str, number: int, *, reason: str | None, by: str | None, commit: bool, wait: bool = True
) -> DataStore:
    """Make the data what they were in version ``number``, as a new version; what came between stays in the log."""
    store = DataStore.of(workspace, pipeline)
    with store.lease(wait=wait), store.scratch() as scratch:
        head, target = store.found(), store.history.version(number, pipeline)
        if head is not None and head.data["digest"] == target.data["digest"]:
            raise ConfigError(f"the data of {pipeline} are what they were in version {number} already", fix=f"regraft data log {pipeline}")
        staged = store.staged
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.restore(target, staged)
            copy = scratch / store.place.path.name  # read under its own name, which says the format
            store.restore(target, copy)
            differ = _differ(store, copy)
            summary = f"back to version {number}: {differ.sentence()}"
            who, seq = by or whoami(), store.history.next_number()
            version = Version(seq, number, "revert", now(), who, summary, {}, reason=reason, diff=differ.document())
            attachments = scratch / "version"
            attachments.mkdir()
            store.change(version, target.data["rows"], staged, attachments, commit=commit)
        finally:
            edition.discard(staged)
    return store


def _differ(store: DataStore, path: Path) -> Diff:
    """What differs between the data as they are and those in ``path``."""
    other = Place(path, store.place.shown, store.place.tsv_quoted)
    split = store.options.data.split
    return changes.diff(
        lambda: spelled(store.place.rows(), store.task, split), lambda: spelled(other.rows(), store.task, split), store.task
    )


def task_of(key: str | None, text: str | None, label: str | None) -> TaskOptions | None:
    """The columns that somebody names; None: nobody names any."""
    named = {name: value for name, value in (("id", key), ("text", text), ("label", label)) if value is not None}
    return TaskOptions.model_validate(named) if named else None
