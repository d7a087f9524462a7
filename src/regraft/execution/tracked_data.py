"""Is data/ what data.dvc says? Asked of DVC twice where its first answer is none.

``dvc status`` looks for the bytes in DVC's cache first, and where they are not there (a fresh clone, data that a
generator made) it says only ``not in cache``. ``dvc data status`` compares hashes, with DVC's own table of those it
has already taken. It names files only from a listing of the folder; the listing is taken from the cache, and
never fetched from a remote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from regraft.core import files
from regraft.core.errors import RegraftError
from regraft.core.quantities import first_of
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats


@dataclass(frozen=True)
class Tracked:
    """How data/ differs from data.dvc."""

    outs: tuple[str, ...] = ()
    """The paths of data.dvc that DVC has something to say of."""
    differs: tuple[str, ...] = ()
    """What is different, one sentence for each kind of change."""
    absent: tuple[str, ...] = ()
    """Paths whose bytes are not all in DVC's cache, so that DVC cannot bring them back without a remote."""
    gone: tuple[str, ...] = ()
    """Paths that are not in the workspace."""
    unknown: tuple[str, ...] = ()
    """Paths of ``absent`` that DVC would not compare."""
    other: tuple[str, ...] = ()
    """What DVC says beyond the paths, in its words: the source of an import has changed."""


def compare(workspace: Workspace, changes: Sequence[Any]) -> Tracked:
    """What ``changes``, the answer of ``dvc status`` for data.dvc, comes to.

    Where there are any it takes 0.7 s more, which an answer "no difference" saves the next call (``.regraft/data-compared``).
    """
    details = [change for change in changes if isinstance(change, dict)]
    hows = {path: str(how) for change in details for path, how in change.get("changed outs", {}).items()}
    other = tuple(
        f"{path} {how}"
        for change in details
        for kind, paths in change.items()
        if kind != "changed outs" and isinstance(paths, dict)
        for path, how in paths.items()
    )
    if not hows:
        return Tracked(other=other)
    sign, memo = _sign(workspace, hows), workspace.scratch / "data-compared"
    if set(hows.values()) == {"not in cache"} and memo.is_file() and memo.read_text(encoding="utf8") == sign:
        return Tracked(tuple(hows), absent=tuple(hows), other=other)
    entries = _entries(workspace)
    one_by_one = all(_listed(workspace, entries.get(path, {})) for path in hows)
    try:
        document = dvc.data_status(workspace, list(hows), granular=one_by_one)
    except RegraftError:  # it also reads the last git commit, which may be one that DVC cannot read
        document = {}
    changed, mentioned = document.get("uncommitted", {}), _mentioned(document)
    differs, gone, unknown = list[str](), list[str](), list[str]()
    for path, how in hows.items():
        if not (workspace.root / path).exists():
            gone.append(path)
            differs.append(f"{path} is gone")
        elif how == "not in cache" and path not in mentioned:
            unknown.append(path)
        elif how != "not in cache" or path in {name.rstrip("/") for kind in ("modified", "added") for name in changed.get(kind, [])}:
            differs += _named(changed, path) or [_measured(workspace, path, entries.get(path, {})) or f"{path} is {_plain(how)}"]
    absent = tuple(path for path, how in hows.items() if how == "not in cache")
    if absent and not (differs or unknown):
        with suppress(OSError):  # a workspace that can only be read is compared every time
            files.write_text(memo, sign)
    return Tracked(tuple(hows), tuple(differs), absent, tuple(gone), tuple(unknown), other)


def _sign(workspace: Workspace, paths: Iterable[str]) -> str:
    """data.dvc, .dvcignore and, of every file, path, size, time and inode: while it stands, so does an answer of DVC."""
    roots = [workspace.root / path for path in paths]
    members = [item for path in roots for item in (files.walk(path) if path.is_dir() else (path,)) if item.is_file()]
    stats = [(str(item), stat.st_size, stat.st_mtime_ns, stat.st_ino) for item in members for stat in (item.stat(),)]
    texts = [path.read_text(encoding="utf8") for name in ("data.dvc", ".dvcignore") if (path := workspace.root / name).is_file()]
    return files.sha256_text(files.canonical([stats, texts]))


def _plain(how: str) -> str:
    return "modified" if how == "not in cache" else how


def _entries(workspace: Workspace) -> dict[str, Mapping[str, Any]]:
    """What data.dvc holds of each path."""
    text = (workspace.root / "data.dvc").read_text(encoding="utf8")
    return {out["path"]: out for out in (yaml.safe_load(text) or {}).get("outs", []) if "path" in out}


def _listed(workspace: Workspace, entry: Mapping[str, Any]) -> bool:
    """Whether DVC can name the files of this path one by one without asking a remote."""
    md5 = str(entry.get("md5", ""))
    return not md5.endswith(".dir") or dvc_formats.object_path(dvc_formats.cache_folder(workspace), md5).is_file()


def _mentioned(document: Mapping[str, Any]) -> set[str]:
    """The paths that ``dvc data status`` says anything of: silence about a path is no answer."""
    lists = [document.get("not_in_cache", []), document.get("unchanged", [])]
    lists += [names for part in ("committed", "uncommitted") for names in document.get(part, {}).values()]
    return {name.rstrip("/") for names in lists for name in names if isinstance(name, str)}


def _named(changed: Mapping[str, Any], path: str) -> list[str]:
    """The files below ``path`` that are changed, new or gone; nothing where DVC does not know them one by one."""
    if changed.get("unknown"):
        return []
    moved = changed.get("renamed", [])
    kinds = {
        ("changed", "changed"): changed.get("modified", []),
        ("is new", "are new"): [*changed.get("added", []), *(pair["new"] for pair in moved)],
        ("is gone", "are gone"): [*changed.get("deleted", []), *(pair["old"] for pair in moved)],
    }
    sentences = []
    for (one, many), names in kinds.items():
        below = sorted(name for name in names if name.startswith(f"{path}/") and not name.endswith("/"))
        if below:
            sentences.append(f"{first_of(below)} {one if len(below) == 1 else many}")
    return sentences


def _measured(workspace: Workspace, path: str, entry: Mapping[str, Any]) -> str | None:
    """How many files and bytes there are beside those of data.dvc; None where a .dvcignore makes DVC count otherwise."""
    place = workspace.root / path
    is_folder = place.is_dir()
    if "size" not in entry or is_folder != ("nfiles" in entry) or any(_ignoring(workspace)):
        return None
    sizes = [item.stat().st_size for item in (files.walk(place) if is_folder else (place,))]
    actual, expected = _amount(sum(sizes), len(sizes) if is_folder else None), _amount(entry["size"], entry.get("nfiles"))
    if actual == expected:
        return f"{path} has {actual}, as data.dvc says, but other content"
    return f"{path} has {actual}, data.dvc says {expected}"


def _amount(size: int, number: int | None) -> str:
    return f"{size:,} bytes" if number is None else f"{size:,} bytes in {number:,} file{'' if number == 1 else 's'}"


def _ignoring(workspace: Workspace) -> Iterator[str]:
    """The patterns of .dvcignore."""
    path: Path = workspace.root / ".dvcignore"
    lines = path.read_text(encoding="utf8").splitlines() if path.is_file() else []
    return (line for line in lines if line.strip() and not line.startswith("#"))
