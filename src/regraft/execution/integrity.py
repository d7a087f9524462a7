"""Bytes are what their digest says, or they are not used.

DVC trusts what it once wrote: a cache object that is still write-protected is handed out without another look, and a
file whose size and time did not change counts as unchanged. Two lists say what should be there: a step's record holds
the sha256 of every output, and an object of DVC's cache is named by its md5. An object that lost its protection, as
``rsync --no-perms`` leaves it, DVC hashes, and deletes without a word where it is broken: such are looked at before.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import EnvironmentFault, Problem
from regraft.core.quantities import first_of
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats

REPAIR = "regraft doctor --repair"
PROTECTED = 0o444
"""The mode that DVC gives to an object it knows to be whole, whatever ``cache.type`` says (dvc_data, LocalHashFileDB.CACHE_MODE)."""


@dataclass(frozen=True)
class Examined:
    """What reading the files and comparing their digests has shown."""

    broken: tuple[Path, ...]
    """Cache objects that do not have the md5 they are named by, and outputs that are not what their record says."""
    read: int
    """Files that were read."""
    total: int
    """Files there are; more than ``read`` where time ran out."""


def altered(home: Path) -> list[Path]:
    """Outputs of the step in ``home`` that its record lists otherwise: changed, missing or added; none without a record.

    :raises ValueError: the record cannot be read.
    """
    record = home / "record.json"
    if not record.is_file():
        return []
    listed, actual = files.read_json(record)["outputs"], files.tree(home / "out")
    return [home / "out" / name for name in sorted(listed.keys() | actual.keys()) if listed.get(name) != actual.get(name)]


def recorded(workspace: Workspace, pipeline: str, step: str) -> dict[str, Any]:
    """The record of a step that DVC gave back instead of running it.

    :raises EnvironmentFault: the record or an output is not what was written; names the file and its cache object.
    """
    home = workspace.artifacts(pipeline, step)
    stage = dvc_formats.stages(workspace).get(f"{step}@{pipeline}", {})
    record = home / "record.json"
    expected = next((out["md5"] for out in stage.get("outs", []) if out["path"] == workspace.relative(record)), None)
    faulty = [record] if expected and _md5(record) != expected else altered(home)
    if not faulty:
        return dict(files.read_json(record))
    cache = dvc_formats.cache_folder(workspace)
    objects = _objects(cache, stage)
    problems = [_problem(workspace, path, objects.get(workspace.relative(path)), cache) for path in faulty]
    raise _refusal(f"the output of step '{step}' is not what was computed", problems)


def require_whole(workspace: Workspace, stages: Iterable[Mapping[str, Any]]) -> None:
    """Hash the cache objects behind the outputs of ``stages`` that are not protected; call it before DVC looks at them.

    Whole ones are protected again, as DVC would do, so that each is read once; where all are protected, this is a stat for
    each. To protect a broken one would be a lie: ``dvc checkout`` hands it out, and ``dvc status`` calls it up to date.

    :raises EnvironmentFault: an object does not have the md5 it is named by; names both it and the output.
    """
    cache, problems = dvc_formats.cache_folder(workspace), list[Problem]()
    for stage in stages:
        for path, shown in _behind(cache, stage).items():
            with suppress(OSError):  # gone, not readable, or not ours to protect: DVC has its own words, or hashes it again
                if stat.S_IMODE(path.stat().st_mode) == PROTECTED:
                    continue
                if _md5(path) == _named(path):
                    path.chmod(PROTECTED)
                elif path.is_file():
                    broken = workspace.relative(path)
                    message = f"{broken}, behind {shown}, is corrupted"
                    problems.append(Problem(message=message, file=broken, rule="digest", value=_named(path), fix=REPAIR))
    if problems:
        raise _refusal("DVC's cache does not hold what was written", problems)


def _refusal(what: str, problems: list[Problem]) -> EnvironmentFault:
    messages = [problem["message"] for problem in problems]
    return EnvironmentFault(f"{what}: {first_of(messages, between='; ')}", fix=REPAIR, problems=problems)


def _problem(workspace: Workspace, path: Path, md5: str | None, cache: Path) -> Problem:
    shown, source = workspace.relative(path), dvc_formats.object_path(cache, md5) if md5 else None
    if not path.exists():
        why = "is gone"
    elif source is None:
        why = "was added by hand"
    elif source.is_file() and _md5(source) != md5:
        why = f"comes from a corrupted object of DVC's cache, {workspace.relative(source)}"
    else:
        why = "was changed by hand"
    return Problem(message=f"{shown} {why}", file=shown, rule="digest", value=md5, fix=REPAIR)


def examine(workspace: Workspace, seconds: float = float("inf")) -> Examined:
    """Hash the outputs of every step and every object of DVC's cache, newest first, for as long as ``seconds`` allow."""
    homes = sorted(path.parent for path in workspace.root.glob("artifacts/*/*/record.json"))
    cache = dvc_formats.cache_folder(workspace)
    cached = sorted((path for _, path in dvc_formats.objects(cache) if path.is_file()), key=lambda path: (-path.stat().st_mtime_ns, path))
    end, broken, read = time.monotonic() + seconds, list[Path](), 0
    for home in homes:
        if time.monotonic() < end:
            read += 1
            broken += _altered_or_record(home)
    for path in cached:
        if time.monotonic() < end:
            read += 1
            broken += [path] if _md5(path) != _named(path) else []
    return Examined(tuple(broken), read, len(homes) + len(cached))


def _altered_or_record(home: Path) -> list[Path]:
    try:
        return altered(home)
    except (ValueError, KeyError, TypeError):
        return [home / "record.json"]


def repair(workspace: Workspace) -> list[str]:
    """Put back what can be had here, and set the rest aside so that it is computed or fetched again; what was done, as sentences.

    Call it while no run is at work. A broken cache object is replaced by a whole copy in the workspace where there is one.
    """
    cache, aside = dvc_formats.cache_folder(workspace), workspace.scratch / "broken"
    broken = examine(workspace).broken
    sentences = []
    objects = [path for path in broken if path.is_relative_to(cache)]
    copies = _whole_copies(workspace) if objects else {}
    for path in objects:
        aside.mkdir(parents=True, exist_ok=True)
        shutil.move(path, aside / _named(path))
        copy = copies.get(_named(path))
        if copy:
            files.write_bytes(path, copy.read_bytes())
            path.chmod(0o444)  # as DVC protects its objects
        where = f"put back from {workspace.relative(copy)}" if copy else "set aside; `dvc fetch` or the next run brings it back"
        sentences.append(f"{workspace.relative(path)} was corrupted: {where}")
    root = workspace.root / "artifacts"
    for home in sorted({root.joinpath(*path.relative_to(root).parts[:2]) for path in broken if path not in objects}):
        for name in ("out", "evidence", "record.json"):
            _remove(home / name)
        sentences.append(f"{workspace.relative(home)} was not what its record says: removed; the next run brings it back")
    return sentences


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _named(path: Path) -> str:
    """The md5 that a cache object is named by; DVC marks listings of folders with ``.dir``."""
    return path.parent.name + path.name.removesuffix(".dir")


def _md5(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _behind(cache: Path, stage: Mapping[str, Any]) -> dict[Path, str]:
    """``{object: path}`` of the outputs of a stage: files, folders' listings, and the files that the listings name."""
    outputs = {str(out["md5"]): str(out["path"]) for out in stage.get("outs", [])}
    inside = {md5: path for path, md5 in _objects(cache, stage).items()}
    return {dvc_formats.object_path(cache, md5): path for md5, path in {**outputs, **inside}.items()}


def _objects(cache: Path, stage: Mapping[str, Any]) -> dict[str, str]:
    """``{path: md5}`` of the files behind the outputs of a stage, as far as the listings of its folders can be read."""
    objects = dict[str, str]()
    for out in stage.get("outs", []):
        md5 = str(out["md5"])
        if not md5.endswith(".dir"):
            objects[out["path"]] = md5
            continue
        objects |= {f"{out['path']}/{name}": child for name, child in (dvc_formats.listing(cache, md5) or {}).items()}
    return objects


def _whole_copies(workspace: Workspace) -> dict[str, Path]:
    """Files of data/ and artifacts/ by md5, the listings of their folders left out."""
    folders = [workspace.root / "artifacts", workspace.root / "data"]
    return {_md5(path): path for folder in folders if folder.is_dir() for path in files.walk(folder)}
