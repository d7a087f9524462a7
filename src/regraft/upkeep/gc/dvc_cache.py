"""DVC's cache: which of its objects nothing names any more.

Kept is every object whose md5 stands in a dvc.lock or .dvc file of the workspace or of any git commit, and in an entry
of the run cache that a stage of today could hit; and, for a folder, all it lists. That is more than ``dvc gc``
keeps: ``--workspace`` would free what the run cache needs to bring a result back (``dvc gc`` knows nothing of run-cache
entries, 3.67), and with it regraft's promise that a parameter put back costs nothing. Only ``run_cache=True`` gives
that up. Entries of the run cache whose command is none of today's (another step version, a pipeline that is gone)
cannot be hit, and go.

Only a cache inside the workspace is touched: another project may use one that lies elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from regraft.config.step_names import RENAMED, kind_of
from regraft.core import files, lock
from regraft.core.errors import Conflict, EnvironmentFault
from regraft.core.quantities import size
from regraft.core.workspace import Workspace
from regraft.execution import clones, composition, dvc, dvc_formats
from regraft.execution.past_runs import COMMAND
from regraft.upkeep.gc.room import Item, Room

ROOMS = ("dvc cache", "run cache")
EARLIER = "a result of earlier settings or data"
NOTED = 500_000
"""Bytes below which nobody wants to hear what more could be freed."""
LOCK_SECONDS = 3.0  # as long as DVC itself waits


def rooms(workspace: Workspace, *, run_cache: bool) -> list[Room]:
    """What the cache could lose; ``run_cache`` counts results that only the run cache knows among it."""
    if not (workspace.root / ".dvc" / "config").is_file():
        return []
    cache = Path(dvc.ask(workspace, "cache", "dir").strip())
    if not cache.is_relative_to(workspace.root):
        return [Room(ROOMS[0], note=f"{cache} lies outside the workspace and may be shared; `dvc gc` frees it")]
    try:
        needed = _with_children(cache, {*_in_workspace(workspace), *_in_commits(workspace)})
    except EnvironmentFault as fault:
        return [Room(ROOMS[0], note=f"not examined: {fault}")]
    versions = {step.name: str(step.version) for step in composition.steps(workspace)}
    entries = {path: _entry(path) for path in sorted(dvc_formats.results(cache))}
    dead = {
        path
        for path, (command, _) in entries.items()
        if command and command.startswith("regraft step ") and not _alive(workspace, command, versions)
    }
    restorable = {path for path in entries.keys() - dead if not entries[path][1] <= needed}
    kept = needed | _with_children(cache, {md5 for path in restorable for md5 in entries[path][1]})
    unhittable = (Item.of(path, "no stage of today can hit it") for path in sorted(dead))
    lost = (*_objects(cache, needed, but=kept), *(Item.of(path, EARLIER) for path in sorted(restorable)))
    note = None
    if lost and not run_cache:
        amount = sum(item.bytes for item in lost)
        if amount >= NOTED:
            note = f"{size(amount)} more with --run-cache: what putting settings or data back would cost again"
        lost = ()
    elif lost:
        note = "settings and data that are put back will be computed again"
    return [Room(ROOMS[0], (*_objects(cache, kept), *unhittable)), Room(ROOMS[1], lost, note)]


def _alive(workspace: Workspace, command: str, versions: Mapping[str, str]) -> bool:
    """Whether a stage of today, or of a candidate that is put back, can run ``command``."""
    match = COMMAND.fullmatch(command)
    if match is None or match["pipeline"] not in workspace.pipelines or match["step"] in RENAMED:
        return False
    return versions.get(kind_of(match["step"])) == match["version"]


def _in_workspace(workspace: Workspace) -> Iterator[str]:
    """md5 in the files of the working tree, and of those of agents' clones, which have this cache."""
    for clone in clones.clones(workspace):
        yield from _in_workspace(clone)
    for folder, names, members in os.walk(workspace.root):
        names[:] = [name for name in names if not name.startswith(".") and name not in ("artifacts", "state")]
        for name in members:
            if dvc_formats.names_objects(name):
                yield from dvc_formats.named_in(Path(folder, name).read_text(encoding="utf8", errors="replace"))
    for record in workspace.state.glob("data/*/*/version.json"):  # what `regraft data revert` brings back
        yield str(files.read_json(record)["data"]["dvc"]["md5"])


def _in_commits(workspace: Workspace) -> set[str]:
    """md5 in the files of every commit that a branch, a tag or the stash reaches; EnvironmentFault where git fails."""
    if _git(workspace, "rev-parse", "--git-dir") is None:
        if any((folder / ".git").exists() for folder in (workspace.root, *workspace.root.parents)):
            raise EnvironmentFault("git does not read this repository, whose commits may name objects")
        return set()
    listing = _git(workspace, "rev-list", "--all", "--objects", "--", ":(glob)**/dvc.lock", ":(glob)**/*.dvc")
    if listing is None:
        raise EnvironmentFault("git cannot list the objects of this repository's commits")
    blobs = [line.split()[0] for line in listing.splitlines() if dvc_formats.names_objects(line.partition(" ")[2])]
    text = _git(workspace, "cat-file", "--batch", said="\n".join(blobs) + "\n") if blobs else ""
    if text is None:
        raise EnvironmentFault("git cannot read the objects of this repository's commits")
    return dvc_formats.named_in(text)


def _git(workspace: Workspace, *argv: str, said: str | None = None) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        process = subprocess.run(
            ["git", *argv], cwd=workspace.root, input=said, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:  # git is not installed
        return None
    return process.stdout if process.returncode == 0 else None


def _entry(path: Path) -> tuple[str | None, set[str]]:
    """Command and outputs of a run-cache entry; one that cannot be read counts as somebody else's."""
    try:
        result = dvc_formats.read_result(path.read_text(encoding="utf8"))
        return (str(result["cmd"]), {str(out["md5"]) for out in result["outs"]}) if result else (None, set())
    except (OSError, KeyError, TypeError, UnicodeDecodeError):
        return None, set()


def _with_children(cache: Path, names: set[str]) -> set[str]:
    """``names``, and what the folders among them list."""
    md5s = set(names)
    for name in names:
        if name.endswith(".dir"):
            md5s |= set((dvc_formats.listing(cache, name) or {}).values())  # a damaged listing brings nothing back
    return md5s


def _objects(cache: Path, kept: set[str], but: set[str] | None = None) -> Iterator[Item]:
    """Objects that are not in ``kept``; with ``but``, those of them that are in it."""
    for md5, path in dvc_formats.objects(cache):
        if md5 not in kept and (but is None or md5 in but):
            yield Item.of(path, "nothing names it" if but is None else EARLIER)


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Hold the lock that DVC's commands take."""
    handle = lock.open_lock(workspace.root / dvc_formats.LOCK)
    try:
        if not lock.take_within(handle, LOCK_SECONDS):
            raise Conflict("another DVC command is at work in this workspace; its cache was not freed", fix="regraft gc")
        yield
    finally:
        os.close(handle)
