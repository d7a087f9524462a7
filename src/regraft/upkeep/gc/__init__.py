"""What a workspace holds that nothing needs any more, by room; freed only when asked to.

===============  ================================================================================================
artifacts        outputs of candidates, steps and pipelines that are gone; what DVC's cache has of them comes back from there
checkpoints      of fingerprints that no pipeline file has: no run would come back for them
runs             logs, errors, invocations and working copies of runs before a pipeline's last one
clones           those that agents made for pipelines that are gone; what others have of runs, embeddings and downloads counts there
embeddings       vectors of texts that nothing has read for a month
downloads        copies of what MLflow holds; fetched again when needed
models           weights of registered versions that no one can come back to (:mod:`regraft.upkeep.gc.models`)
predictions      stored answers of models that are gone
dvc cache        objects that the workspace, its git commits and the run cache do not name (:mod:`regraft.upkeep.gc.dvc_cache`)
run cache        results that DVC would bring back if a parameter were put back: only on request
===============  ================================================================================================

What production rests on is in none of them: the journal, MLflow's runs with their evidence and records, every version
with an alias, the one a rollback goes back to, and those that their verdicts were about. A survey and what follows
from it happen under the run lock of every pipeline.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regraft.core import lock
from regraft.core.errors import Conflict
from regraft.core.workspace import Workspace
from regraft.execution import clones
from regraft.execution.run_lock import run_lock
from regraft.registry.tracking import Tracker
from regraft.upkeep.gc import dvc_cache, models, scratch
from regraft.upkeep.gc.room import Item, Room, remove

__all__ = ["Item", "Room", "Survey", "free", "held", "survey"]


@dataclass(frozen=True)
class Survey:
    """What could go, and which versions stay."""

    rooms: tuple[Room, ...]
    versions: tuple[models.Version, ...]
    """Every registered version whose weights are here."""

    @property
    def bytes(self) -> int:
        """What freeing all rooms gives back; files that are hard links of one another count once in each room."""
        return sum(room.bytes for room in self.rooms)


@contextlib.contextmanager
def held(workspace: Workspace) -> Iterator[None]:
    """Keep runs out. ``Conflict`` (exit 7) naming the pid where one is in progress."""
    locked = {path.stem for path in (workspace.scratch / "locks").glob("*.lock")}
    with contextlib.ExitStack() as stack:
        for name in sorted(locked.union(workspace.pipelines)):
            try:
                stack.enter_context(run_lock(workspace, name, wait=False))
            except Conflict as error:
                raise Conflict(f"{error}; nothing was examined or freed", fix="regraft gc, when that run is over") from None
        for clone in clones.clones(workspace):
            stack.callback(os.close, handle := lock.open_lock(clones.lock_of(clone.root)))
            if not lock.try_take(handle):
                message = f"a run is at work in {workspace.relative(clone.root)} (pid {lock.holder(handle) or 'unknown'})"
                raise Conflict(f"{message}; nothing was examined or freed", fix="regraft gc, when that run is over")
            lock.sign(handle)
        yield


def survey(workspace: Workspace, tracker: Tracker, *, run_cache: bool = False) -> Survey:
    """Look into every room. Call it inside :func:`held`; deletes nothing."""
    versions = models.versions(tracker)
    rooms = [*scratch.rooms(workspace), *models.rooms(tracker, versions), *dvc_cache.rooms(workspace, run_cache=run_cache)]
    return Survey(tuple(rooms), tuple(versions))


def free(workspace: Workspace, tracker: Tracker, surveyed: Survey) -> int:
    """Delete what a survey lists; the bytes given back. Call it inside the same :func:`held`.

    A version that was promoted since keeps its weights. A kill in between leaves nothing that looks whole and is not:
    versions are marked as freed before their files go, DVC's objects go one by one.
    """
    freed = 0
    for room in surveyed.rooms:
        if room.name == models.ROOM:
            freed += models.free(tracker, [version for version in surveyed.versions if version.kept is None])
        elif room.name in dvc_cache.ROOMS:
            with dvc_cache.locked(workspace):
                freed += _remove(room.items)
        else:
            freed += _remove(room.items)
    return freed


def _remove(items: Sequence[Item]) -> int:
    for item in items:
        remove(item.path)
    return sum(item.bytes for item in items)
