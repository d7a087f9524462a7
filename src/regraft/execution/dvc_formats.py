"""What regraft knows of DVC's insides: files that DVC does not document, and the words it says things in.

Everything else asks DVC through its command line (:mod:`regraft.execution.dvc`). These formats are read because DVC is asked
a hundred times slower than a file is read, or cannot be asked at all: what a kill left, who holds a lock, what a result
of the run cache was. tests/integration/private_formats_test.py holds each of them against the DVC that is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from regraft.core import files, lock
from regraft.core.workspace import Workspace

TRIED = "3.67"
"""The DVC that these formats were seen in."""
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
"""What DVC says while another one holds what it needs: the repository, or a path."""
LOCK, BUSY_PATHS, BUSY_PATHS_LOCK = Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock"), Path(".dvc/tmp/rwlock.lock")
"""The lock that DVC's commands take, its table of busy paths, and the lock it takes to edit the table."""
ENTRY = {"path": str, "hash": str, "md5": str, "size": int, "nfiles": int, "isexec": bool}
"""Types in an entry of dvc.lock: a cut-off ``md5: 1234`` reads as a number, and DVC refuses the file."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STATUS = re.compile(r"exited with (-?\d+)$")
_MD5 = r"[0-9a-f]{32}(?:\.dir)?"
_NAMED = re.compile(rf"\bmd5: ['\"]?({_MD5})\b")


# -- what it says


def says_busy(text: str) -> bool:
    """Whether DVC says that another DVC is at work."""
    return any(sign in text for sign in BUSY)


def says_missing(text: str) -> bool:
    """Whether a failed ``dvc pull`` says that the remote, which answered, does not have the bytes."""
    return "Checkout failed for following targets" in text and "failed to connect" not in text and "failed to transfer" not in text


def stage_exit(line: str) -> int | None:
    """The exit status of a stage's command, which DVC turns into 255; None: the line does not say one."""
    match = _STATUS.search(line)
    return int(match[1]) if match else None


# -- dvc.lock and *.dvc


def lock_file(workspace: Workspace) -> Path:
    """Where DVC writes what each stage last read and wrote."""
    return workspace.root / "dvc.lock"


def stages(workspace: Workspace) -> Mapping[str, Any]:
    """The stages of dvc.lock, by address."""
    path = lock_file(workspace)
    return dict((_yaml(path.read_text(encoding="utf8")) or {}).get("stages", {})) if path.is_file() else {}


def put_stages(workspace: Workspace, entries: Mapping[str, Any]) -> None:
    """Have ``entries`` (address -> stage) in dvc.lock, as if DVC had run these stages here. Waits for a DVC that writes there."""
    guard = lock.open_lock(workspace.root / LOCK)
    try:
        lock.take(guard)
        known = dict(stages(workspace))
        if any(known.get(address) != entry for address, entry in entries.items()):
            document = {"schema": "2.0", "stages": {**known, **entries}}
            files.write_text(lock_file(workspace), yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000))
    finally:
        os.close(guard)


def is_whole(path: Path) -> bool:
    """Whether DVC would read a dvc.lock: the parts of its schema that a cut-off file misses. One that is not there is whole."""
    if not path.is_file():
        return True
    try:
        value = _yaml(path.read_text(encoding="utf8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    recorded = value.get("stages") if isinstance(value, dict) else None
    return isinstance(recorded, dict) and value.get("schema") == "2.0" and all(_whole_stage(stage) for stage in recorded.values())


def _whole_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str):
        return False
    sides = [stage.get(side, []) for side in ("deps", "outs")]
    params = stage.get("params", {})
    return (
        all(isinstance(side, list) and all(_whole_entry(entry) for entry in side) for side in sides)
        and isinstance(params, dict)
        and all(isinstance(values, dict) for values in params.values())
    )


def _whole_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and "path" in entry and all(type(entry[key]) is kind for key, kind in ENTRY.items() if key in entry)


def tracked_data(workspace: Workspace) -> Mapping[str, Any]:
    """The outs of data.dvc as those of a stage; none where there is no such file, or one that DVC itself will refuse."""
    try:
        value = _yaml((workspace.root / "data.dvc").read_text(encoding="utf8"))
    except (OSError, ValueError, yaml.YAMLError):
        value = None
    outs = value.get("outs") if isinstance(value, dict) else None
    return {"outs": [out for out in outs or [] if isinstance(out, dict) and {"md5", "path"} <= out.keys()]}


def names_objects(file: str) -> bool:
    """Whether a file of this name may name objects of the cache."""
    return file.rpartition("/")[2] == "dvc.lock" or file.endswith(".dvc")


def named_in(text: str) -> set[str]:
    """Every object that a dvc.lock or a .dvc file names, by md5; that of a folder ends in ``.dir``."""
    return set(_NAMED.findall(text))


# -- the cache


def cache_folder(workspace: Workspace) -> Path:
    """Where DVC keeps its objects: ``cache.dir`` of its configuration, or ``.dvc/cache``. Asking DVC itself takes 0.5 s."""
    folder = workspace.root / ".dvc" / "cache"
    for path, settings in _settings(workspace):
        if folder_name := settings.get("cache", "dir", fallback="").strip("'\""):
            folder = path.parent / folder_name  # relative to the file that names it
    return folder.resolve()


def default_remote(workspace: Workspace) -> str | None:
    """The name of the remote that `dvc push` takes; None: there is none."""
    names = [settings.get("core", "remote", fallback="") for _, settings in _settings(workspace)]
    return next((name for name in reversed(names) if name), None)


def _settings(workspace: Workspace) -> Iterator[tuple[Path, ConfigParser]]:
    """DVC's configuration files, the weakest first."""
    shared = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dvc" / "config"
    for path in (shared, workspace.root / ".dvc" / "config", workspace.root / ".dvc" / "config.local"):
        settings = ConfigParser(interpolation=None, strict=False)
        with suppress(OSError, ConfigParserError):  # DVC itself complains about a file that it cannot read
            settings.read_string(path.read_text(encoding="utf8"))
        yield path, settings


def object_path(cache: Path, md5: str) -> Path:
    """Where the object lies; that of a folder, whose md5 ends in ``.dir``, is the listing of its files."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def objects(cache: Path) -> Iterator[tuple[str, Path]]:
    """Every object of the cache, as (md5, file) in the order of names."""
    for path in sorted((cache / "files" / "md5").glob("[0-9a-f][0-9a-f]/*")):
        if re.fullmatch(_MD5, md5 := path.parent.name + path.name):
            yield md5, path


def listing(cache: Path, md5: str) -> dict[str, str] | None:
    """``{path below the folder: md5}`` of a folder's files; None where the listing was not fetched, or is damaged."""
    try:
        return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(object_path(cache, md5).read_text(encoding="utf8"))}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(cache: Path, path: Path) -> dict[str, Any]:
    """Put a file, or a folder and its files, into the cache, as DVC would; what an entry of dvc.lock says of it besides its path."""
    if path.is_file():
        content = path.read_bytes()
        return {"md5": _put(cache, content), "size": len(content)}
    inside = sorted(item for item in path.rglob("*") if item.is_file())
    kept = [(item.relative_to(path).as_posix(), keep(cache, item)) for item in inside]
    entries = [{"md5": entry["md5"], "relpath": name} for name, entry in sorted(kept)]
    md5 = _put(cache, json.dumps(entries, sort_keys=True).encode(), ".dir")
    return {"md5": md5, "size": sum(entry["size"] for _, entry in kept), "nfiles": len(kept)}


def _put(cache: Path, content: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    target = object_path(cache, md5)
    if not target.is_file():
        files.write_bytes(target, content)
        target.chmod(0o444)  # without it DVC takes an object for one that was edited
    return md5


def md5_of(path: Path) -> str | None:
    """By which name the cache has a file; None: it is not there."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None


def results(cache: Path) -> list[Path]:
    """The entries of the run cache, each one result of one command."""
    return list((cache / "runs").glob("*/*/*"))


def read_result(text: str) -> Mapping[str, Any] | None:
    """An entry of the run cache, with the keys of a stage of dvc.lock; None: DVC was killed while it wrote it."""
    try:
        return dict(_yaml(text))
    except (yaml.YAMLError, TypeError, ValueError):
        return None


# -- who is at work


def busy_paths(text: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
    """``{path: readers}`` and ``{path: writer}`` of the table of busy paths, each user with a ``pid``; ValueError: it is half-written."""
    table = json.loads(text)
    if not isinstance(table, dict):
        raise ValueError("no table")
    return dict(table.get("read", {})), dict(table.get("write", {}))


def without_the_dead(text: str) -> str | None:
    """The table of busy paths without processes that are no DVC; None: all are alive. ValueError: it is half-written."""
    readers, writers = busy_paths(text)
    live = {
        "read": {key: living for key, users in readers.items() if (living := [user for user in users if _is_dvc(user["pid"])])},
        "write": {key: user for key, user in writers.items() if user and _is_dvc(user["pid"])},
    }
    return None if live == {"read": readers, "write": writers} else json.dumps(live)


def _is_dvc(pid: int) -> bool:
    """Whether ``pid`` is a live process that runs DVC: pids are given out again, after a reboot from 1."""
    try:
        return b"dvc" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER)  # a SafeLoader
