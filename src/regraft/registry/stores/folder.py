"""A folder on a file system with hard links: the store of a workspace that names none.

A file of a new name is created by a hard link, which exactly one process can do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.key_values import Lease
from regraft.registry.lease import lease


class Kept:
    """The kernel takes a lock away with its holder and not before."""

    def require(self) -> None:
        return


@dataclass(frozen=True)
class Folder:
    """Keys are paths below ``root``."""

    root: Path
    shared = False

    def where(self, key: str = "") -> str:
        return str(self.root / key)

    def check(self) -> None:
        return  # `doctor` looks at the folder, and a write that fails says why

    def get(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, folder: str) -> dict[str, bytes]:
        top = self.root / folder
        paths = sorted(path for path in top.iterdir() if path.is_file()) if top.is_dir() else []
        return {path.name: path.read_bytes() for path in paths if not path.name.startswith(".")}

    def names(self, folder: str) -> list[str]:
        top = self.root / folder
        return [path.relative_to(top).as_posix() for path in files.walk(top)] if top.is_dir() else []

    def put(self, key: str, value: bytes) -> None:
        files.write_bytes(self.root / key, value)

    def create(self, key: str, value: bytes) -> bool:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)  # a leading dot: nobody's entry
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(value)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, 0o644)  # mkstemp gives 0600; auditors read these files
            os.link(name, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write {path}: {error.strerror}; a store needs a writable file system with hard links",
                fix="set REGRAFT_STATE to a folder on a local disk",
            ) from error
        finally:
            Path(name).unlink(missing_ok=True)
        files.sync_folder(path.parent)
        return True

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def file(self, key: str) -> Path | None:
        path = self.root / key
        return path if path.is_file() else None

    @contextmanager
    def lease(self, name: str, seconds: float) -> Iterator[Lease]:
        with lease(self.root, name, seconds):
            yield Kept()
