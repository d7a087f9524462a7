"""Copies of what a store on another machine keeps, for readers that need a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from regraft.core import files


@dataclass(frozen=True)
class Copies:
    """``<root>/<key>``: deletable, and only for what never changes under its key."""

    root: Path

    def file(self, key: str, get: Callable[[str], bytes | None]) -> Path | None:
        """The copy of what ``key`` has, fetched with ``get`` the first time; None: it has nothing."""
        path = self.root / key
        if not path.is_file():
            if (value := get(key)) is None:
                return None
            files.write_bytes(path, value)
        return path

    def forget(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)
