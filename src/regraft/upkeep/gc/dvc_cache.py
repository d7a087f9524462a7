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
import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from regraft.core.errors import Conflict, EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc
from regraft.execution.supervise import open_lock
from regraft.upkeep.gc.room import Item, Room

ROOMS = ("dvc cache", "run cache")
MD5 = re.compile(r"\bmd5: ['\"]?([0-9a-f]{32}(?:\.dir)?)\b")
EARLIER = "a result of earlier settings or data"
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
    commands = {
        f"regraft step {s.name} --pipeline {p} --step-version {s.version}"
        for s in composition.steps(workspace)
        for p in workspace.pipelines
    }
    entries = {path: _entry(path) for path in sorted((cache / "runs").glob("*/*/*"))}
    dead = {path for path, (command, _) in entries.items() if command and command.startswith("regraft step ") and command not in commands}
    restorable = {path for path in entries.keys() - dead if not entries[path][1] <= needed}
    kept = needed | _with_children(cache, {md5 for path in restorable for md5 in entries[path][1]})
    unhittable = (Item.of(path, "no stage of today can hit it") for path in sorted(dead))
    lost = (*_objects(cache, needed, but=kept), *(Item.of(path, EARLIER) for path in sorted(restorable)))
    note = None
    if lost and not run_cache:
        amount = f"{sum(item.bytes for item in lost) / 1e6:,.0f}"
        if amount != "0":
            note = f"{amount} MB more with --run-cache: what putting settings or data back would cost again"
        lost = ()
    elif lost:
        note = "settings and data that are put back will be computed again"
    return [Room(ROOMS[0], (*_objects(cache, kept), *unhittable)), Room(ROOMS[1], lost, note)]


def _in_workspace(workspace: Workspace) -> Iterator[str]:
    """md5 in the files of the working tree."""
    for folder, names, found in os.walk(workspace.root):
        names[:] = [name for name in names if not name.startswith(".") and name not in ("artifacts", "state")]
        for name in found:
            if name == "dvc.lock" or name.endswith(".dvc"):
                yield from MD5.findall(Path(folder, name).read_text(encoding="utf8", errors="replace"))


def _in_commits(workspace: Workspace) -> set[str]:
    """md5 in the files of every commit that a branch, a tag or the stash reaches; EnvironmentFault where git fails."""
    if _git(workspace, "rev-parse", "--git-dir") is None:
        if any((folder / ".git").exists() for folder in (workspace.root, *workspace.root.parents)):
            raise EnvironmentFault("git does not read this repository, whose commits may name objects")
        return set()
    listed = _git(workspace, "rev-list", "--all", "--objects", "--", ":(glob)**/dvc.lock", ":(glob)**/*.dvc")
    if listed is None:
        raise EnvironmentFault("git cannot list the objects of this repository's commits")
    blobs = [line.split()[0] for line in listed.splitlines() if line.endswith(("dvc.lock", ".dvc"))]
    text = _git(workspace, "cat-file", "--batch", said="\n".join(blobs) + "\n") if blobs else ""
    if text is None:
        raise EnvironmentFault("git cannot read the objects of this repository's commits")
    return set(MD5.findall(text))


def _git(workspace: Workspace, *argv: str, said: str | None = None) -> str | None:
    try:
        done = subprocess.run(["git", *argv], cwd=workspace.root, input=said, capture_output=True, text=True, errors="replace", check=False)
    except OSError:  # git is not installed
        return None
    return done.stdout if done.returncode == 0 else None


def _entry(path: Path) -> tuple[str | None, set[str]]:
    """Command and outputs of a run-cache entry; one that cannot be read counts as somebody else's."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value: Any = yaml.load(path.read_text(encoding="utf8"), Loader=loader)  # a SafeLoader
        return str(value["cmd"]), {str(out["md5"]) for out in value["outs"]}
    except (yaml.YAMLError, OSError, KeyError, TypeError, UnicodeDecodeError):
        return None, set()


def _object(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def _with_children(cache: Path, names: set[str]) -> set[str]:
    """``names``, and what the folders among them list."""
    found = set(names)
    for name in names:
        path = _object(cache, name)
        if name.endswith(".dir") and path.is_file():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged listing brings nothing back
                found |= {str(child["md5"]) for child in json.loads(path.read_text(encoding="utf8"))}
    return found


def _objects(cache: Path, kept: set[str], but: set[str] | None = None) -> Iterator[Item]:
    """Objects that are not in ``kept``; with ``but``, those of them that are in it."""
    for path in sorted((cache / "files" / "md5").glob("??/*")):
        name = path.parent.name + path.name
        if name not in kept and (but is None or name in but) and re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name):
            yield Item.of(path, "nothing names it" if but is None else EARLIER)


@contextlib.contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Hold the lock that DVC's commands take."""
    handle = open_lock(workspace.root / ".dvc" / "tmp" / "lock")
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict("another DVC command is at work in this workspace; its cache was not freed", fix="regraft gc") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)
