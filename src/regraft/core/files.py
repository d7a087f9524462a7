"""Files appear whole or not at all, and are named by their bytes.

Every write goes to a temporary name in the same folder, is synced, and is renamed into place; folders are
synced after the rename, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """The JSON text a hash is taken of: identical in every process, or a ``TypeError``/``ValueError``."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_text(text: str) -> str:
    """Hex sha256 of the UTF-8 bytes of ``text``."""
    return sha256_bytes(text.encode())


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of one file, read in blocks (2.2 GB/s a core)."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def walk(folder: Path) -> Iterator[Path]:
    """Files below ``folder`` in the order of their relative POSIX paths."""
    return iter(sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix()))


def tree(folder: Path) -> dict[str, str]:
    """``{relative path: sha256}`` of every file below ``folder``, sorted."""
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in walk(folder)}


def digest(path: Path) -> str:
    """sha256 of a file, or of the sorted (path, sha256) list of a folder."""
    return digest_of(tree(path)) if path.is_dir() else sha256_file(path)


def digest_of(files: Mapping[str, str]) -> str:
    """The digest of a folder whose ``{path: sha256}`` is already known."""
    return sha256_text(canonical(sorted(files.items())))


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make what libraries wrote below ``folder`` survive a power cut; an error of the disk is raised here, not found later."""
    for path in walk(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``; readers see the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(name, 0o644)  # mkstemp gives 0600; agents of other users read these files
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """:func:`write_bytes` of :func:`json_bytes`."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Indented JSON with sorted keys and a final newline, in UTF-8."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """The JSON value in ``path``."""
    return json.loads(path.read_text(encoding="utf8"))
