"""Something that can be freed, and the room it lies in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """A file or folder that nothing needs."""

    path: Path
    bytes: int
    why: str

    @classmethod
    def of(cls, path: Path, why: str) -> Item:
        """An item of the size that its files have now."""
        return cls(path, size(path), why)


@dataclass(frozen=True)
class Room:
    """Items of one kind; ``note`` says why a room was not looked into, or what its freeing costs."""

    name: str
    items: tuple[Item, ...] = ()
    note: str | None = None

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.items)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in paths if file.is_file() or file.is_symlink())


def remove(path: Path) -> None:
    """Delete a file or a folder that may be gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
