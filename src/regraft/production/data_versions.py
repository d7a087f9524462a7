"""Versions of a pipeline's data, looked at and gone back to: ``regraft data diff``, ``log`` and ``revert``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regraft.core.encoding import packed
from regraft.core.errors import ConfigError
from regraft.core.quantities import counted, first_of
from regraft.core.workspace import Workspace
from regraft.data.formats import suffix_of
from regraft.data.handoff import changes, edition
from regraft.data.handoff.changes import Diff
from regraft.data.handoff.edition import Place, Revision
from regraft.data.handoff.forgotten import Remembered
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
        place = store.restored(store.history.version(int(match["number"]), store.pipeline), folder)
    return Side(side, lambda: spelled(place.rows(), task, store.options.data.split))


def diff(workspace: Workspace | None, a: str, b: str, task: TaskOptions | None = None, by: str | None = None) -> tuple[Diff, str, str]:
    """What differs between two sets of rows, and what the sides are called; counted by the values of the column ``by`` as well."""
    with sides(workspace, a, b, task) as (before, after, of_rows):
        return changes.diff(before.rows, after.rows, of_rows, by), before.name, after.name


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
    """Make the data what they were in version ``number``, as a new version; what came between stays in the log.

    Rows that were forgotten since, while the bytes of that version were out of reach, do not come back.
    """
    store = DataStore.of(workspace, pipeline)
    with store.lease(wait=wait), store.scratch() as scratch:
        head, target = store.found(), store.history.version(number, pipeline)
        if head is not None and head.data["digest"] == target.data["digest"]:
            raise ConfigError(f"the data of {pipeline} are what they were in version {number} already", fix=f"regraft data log {pipeline}")
        then = store.restored(target, scratch / "then")
        _require_same_format(store, then, number)
        forgotten = _forgotten(store, then)
        seq, staged = store.history.next_number(), store.staged
        if forgotten:
            then = replace(then, path=edition.make(then, Revision({}, forgotten, lambda: (), (), ()), seq).rename(_other_name(then.path)))
            ids = first_of(sorted(set(forgotten.values())))
            rows, one = counted(len(forgotten), "row"), len(forgotten) == 1
            store.warnings.append(
                f"{rows} of version {number} {'was forgotten since and stays' if one else 'were forgotten since and stay'} out: {ids}. The "
                f"bytes of that version still have {'it' if one else 'them'}: regraft data forget {pipeline} ID"
            )
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(then.path, staged) if then.path.is_dir() else shutil.copyfile(then.path, staged)
            differ = _differ(store, then)
            summary = f"back to version {number}: {differ.sentence()}"
            who = by or whoami()
            version = Version(seq, number, "revert", now(), who, summary, {}, reason=reason, diff=differ.document())
            attachments = scratch / "version"
            attachments.mkdir()
            store.change(version, target.data["rows"] - len(forgotten), staged, attachments, commit=commit)
        finally:
            edition.discard(staged)
    return store


def _other_name(path: Path) -> Path:
    """A place beside ``path`` in a folder of its own, under the same name, which says the format."""
    folder = path.parent / "without"
    folder.mkdir()
    return folder / path.name


def _require_same_format(store: DataStore, then: Place, number: int) -> None:
    """Raise :class:`ConfigError` where the data were a file of another format then, or a folder."""
    now_there = store.place.path
    folders = [path.is_dir() if path.exists() else path.suffix == "" for path in (then.path, now_there)]
    if folders[0] == folders[1] and (folders[0] or _format(then.path) == _format(now_there)):
        return
    message = f"version {number} is {then.shown}, and data.labelled names {store.place.shown} now: its bytes do not fit that name"
    raise ConfigError(message, fix=f"write data: {{labelled: {then.shown}}} in pipelines/{store.pipeline}.yaml, then the same again")


def _format(path: Path) -> tuple[str, bool]:
    return suffix_of(path), packed(path)


def _forgotten(store: DataStore, place: Place) -> dict[int, str]:
    """Places of rows that were forgotten -> by what each is named."""
    remembered = Remembered(store.folder)
    if not remembered:
        return {}
    key = store.task.id_column
    return {
        number: row.values.get(key) or f"row {row.number}"
        for number, row in enumerate(spelled(place.rows(), store.task, store.options.data.split))
        if remembered.version_of(row.values) is not None
    }


def _differ(store: DataStore, other: Place) -> Diff:
    """What differs between the data as they are and those in ``other``."""
    split = store.options.data.split
    return changes.diff(
        lambda: spelled(store.place.rows(), store.task, split), lambda: spelled(other.rows(), store.task, split), store.task
    )


def task_of(key: str | None, text: str | None, label: str | None) -> TaskOptions | None:
    """The columns that somebody names; None: nobody names any."""
    named = {name: value for name, value in (("id", key), ("text", text), ("label", label)) if value is not None}
    return TaskOptions.model_validate(named) if named else None
