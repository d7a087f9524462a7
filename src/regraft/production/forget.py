"""``regraft data forget``: a version without a person's rows, and their bytes out of every place that can be reached from here.

What cannot be taken back is named: models that were trained on the rows, runs whose pages show them, files that people handed in, git.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.quantities import counted, first_of
from regraft.core.workspace import Workspace
from regraft.data import spent
from regraft.data.handoff import edition, forgotten
from regraft.data.handoff.edition import Place, Revision
from regraft.data.handoff.forgotten import Wanted
from regraft.data.handoff.history import Version
from regraft.data.rows import Row
from regraft.execution import dvc_formats
from regraft.production import purge
from regraft.production.data_store import DataStore, now
from regraft.production.data_versions import eaten
from regraft.production.handoff import in_house
from regraft.production.purge import Purged
from regraft.registry.journal import whoami


@dataclass
class Found:
    """Where the rows are."""

    wanted: Wanted
    ids: set[str] = field(default_factory=set)
    now: int = 0
    """Rows of the data as they are."""
    set_aside: int = 0
    """Rows that lie in a quarantine."""
    versions: dict[int, int] = field(default_factory=dict)
    """Version -> rows."""
    unread: list[int] = field(default_factory=list)
    """Versions whose bytes are nowhere, so that nobody can tell."""
    seeds: set[str] = field(default_factory=set)
    """Objects of DVC's cache that have them."""
    models: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Version -> the models that were trained on it."""

    @property
    def every_model(self) -> list[str]:
        """The models that were trained on such a version, each once."""
        return list(dict.fromkeys(model for number in sorted(self.models) for model in self.models[number]))


@dataclass
class Forgotten:
    """What became of them."""

    found: Found
    version: Version | None
    """None: it was only looked for."""
    purged: Purged | None
    remains: list[str]
    """Where such rows may still be, and what to do about it."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found = self.found
        numbers = found.versions.items()
        return {
            "rows": found.now,
            "quarantined": found.set_aside,
            "versions": [{"version": number, "rows": rows, "models": list(found.models[number])} for number, rows in numbers],
            "unread": found.unread,
            "models": found.every_model,
            "version": self.version.number if self.version else None,
            "commit": self.version.commit if self.version else None,
            "purged": self.purged.document() if self.purged else None,
            "remains": self.remains,
        }


def forget(
    workspace: Workspace,
    pipeline: str,
    values: Collection[str],
    *,
    column: str | None = None,
    reason: str | None = None,
    by: str | None = None,
    commit: bool = True,
    dry_run: bool = False,
) -> Forgotten:
    """Forget the rows with one of the ``values`` in ``column``; None: in that of the id.

    :raises ConfigError: no version has such a row, and no quarantine.
    """
    store = DataStore.of(workspace, pipeline)
    wanted = Wanted.of(column or store.task.id_column, values)
    with store.lease():
        head = store.found()
        with store.scratch() as scratch:
            found, places = look_for(store, wanted, scratch)
        if dry_run:
            return Forgotten(found, None, None, remains(store, found, None))
        number = store.history.next_number()
        purge.write_plan(store.folder, number, wanted, found.ids, found.seeds, found.versions)
        with store.scratch() as scratch:
            (attachments := scratch / "version").mkdir()
            staged = edition.make(store.place, Revision({}, places, lambda: (), (), ()), number) if places else None
            summary = f"{counted(found.now, 'row')} forgotten" if found.now or not found.set_aside else f"{aside(found)} forgotten"
            counts = {"read": 0, "accepted": 0, "quarantined": 0}
            nothing = dict.fromkeys(("added", "removed", "edited", "relabelled", "other"), 0)
            version = Version(
                number, head.number if head else None, "forget", now(), by or whoami(), summary, {}, reason=reason, counts=counts,
                diff={**nothing, "removed": found.now},
            )  # fmt: skip
            before = head.data["rows"] if head else 0
            version = store.change(version, before - found.now, staged, attachments, commit=commit)
        purged = purge.finish(workspace, store.history)
    return Forgotten(found, version, purged, [*store.warnings, *remains(store, found, purged)])


def aside(found: Found) -> str:
    """How many rows of quarantines."""
    return f"{counted(found.set_aside, 'row')} in quarantine"


def look_for(store: DataStore, wanted: Wanted, scratch: Path) -> tuple[Found, set[int]]:
    """Where the rows are, and their places in the data as they are."""
    found, places = Found(wanted), set[int]()
    for number, row in enumerate(in_house(store, store.place.rows())):
        if wanted.has(row.values):
            places.add(number)
            found.ids |= _ids(store, [row])
    found.now = len(places)
    cache = dvc_formats.cache_folder(store.workspace)
    for version in store.history.versions():
        if version.purged is not None or version.data["digest"] is None:
            continue
        try:
            place = store.restored(version, scratch / str(version.number))
        except EnvironmentFault:
            found.unread.append(version.number)
            continue
        rows = _in_version(store, place, version, cache, found)
        shutil.rmtree(place.path.parent)  # there may be many versions, and each copy is as large as the data
        if rows:
            found.versions[version.number] = rows
    found.set_aside, ids = forgotten.set_aside(store.history, wanted)
    found.ids |= ids
    if not found.versions and not found.set_aside:
        unread = f"; the bytes of version {', '.join(map(str, found.unread))} are nowhere" if found.unread else ""
        named = f"{wanted.column} {', '.join(sorted(wanted.values))}"
        message = f"no version of {store.pipeline}'s data and no quarantine has a row with {named}{unread}"
        raise ConfigError(message, fix=f"regraft data log {store.pipeline}, and --column for another column than the id")
    models = eaten(store.workspace, store.pipeline)
    of_version = {version.number: tuple(models.get(version.data["digest"], ())) for version in store.history.versions()}
    found.models = {number: of_version[number] for number in found.versions}
    return found, places


def _in_version(store: DataStore, place: Place, version: Version, cache: Path, found: Found) -> int:
    """Rows of one version; the objects that have them are noted."""
    kept, count = version.data["dvc"], 0
    names = dvc_formats.listing(cache, kept["md5"]) or {}
    for path, shown in place.files:
        rows = [row for row in in_house(store, place.rows_of(path, shown)) if found.wanted.has(row.values)]
        if rows:
            found.ids |= _ids(store, rows)
            found.seeds |= {kept["md5"], *([names[path.relative_to(place.path).as_posix()]] if names else [])}
        count += len(rows)
    return count


def _ids(store: DataStore, rows: Iterable[Row]) -> set[str]:
    """The ids of rows; some may have none."""
    return {key for row in rows if (key := row.values.get(store.task.id_column)) is not None}


def remains(store: DataStore, found: Found, purged: Purged | None) -> list[str]:
    """What still has the rows, or may."""
    return list(_remains(store, found, purged))


def _remains(store: DataStore, found: Found, purged: Purged | None) -> Iterator[str]:
    if models := found.every_model:
        yield (
            f"{counted(len(models), 'model')} {'was' if len(models) == 1 else 'were'} trained on them ({', '.join(models)}), and pages of "
            f"their runs in MLflow may show them; regraft run {store.pipeline} trains one without"
        )
    versions = [version for version in store.history.versions() if version.number in found.versions]
    if sources := sorted({version.source for version in versions if version.source}):
        yield f"files that were handed in and may have them: {', '.join(sources)}; a drop that brings the rows back is refused"
    if store.in_git():
        yield f"git's history has {store.place.shown}; git filter-repo --path {store.place.shown} takes it out, for everybody"
    listing = store.workspace.root / "pipelines" / f"{store.pipeline}{spent.SUFFIX}"
    shown = store.workspace.relative(listing)
    try:
        if spent_ids := sorted(found.ids & spent.load(listing, shown).ids):
            yield f"{shown} lists {first_of(spent_ids)} as rows that test no more, and so does git's history of it"
    except ConfigError as error:
        yield f"{error}, so nobody has looked into it"
    if others := sorted(_readers(store)):
        yield f"other pipelines read {store.place.shown}; the same for each: regraft data forget {others[0]} ..."
    if found.unread:
        yield f"the bytes of version {', '.join(map(str, found.unread))} are neither here nor in a remote, so nobody has looked"
    for remote, why in (purged.failed if purged else {}).items():
        yield f"{remote}: {why}; the next handoff or `regraft data forget` tries it again"
    yield "clones and copies that others have made"


def _readers(store: DataStore) -> Iterator[str]:
    """Other pipelines that read the same rows."""
    for name in store.workspace.pipelines:
        if name != store.pipeline:
            try:
                other = DataStore.of(store.workspace, name)
            except ConfigError:
                continue
            if other.place.path == store.place.path and other.folder.exists():
                yield name
