"""The versions of a pipeline's data: what was handed in when and by whom, what it changed, and where each one's bytes are.

A version is a folder ``state/data/<pipeline>/<number>/`` with ``version.json``, the page, the card and the quarantine of its drop. It is
prepared whole under another name before the data change, and gets its name afterwards: whoever comes after a process that was killed
in between sees by the data's digest whether the change took place (:func:`settle`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import ConfigError

SCHEMA = 1
RECORD = "version.json"
PREPARED = ".prepared"
Action = Literal["found", "handoff", "revert", "release", "forget"]


@dataclass(frozen=True)
class Version:
    """One version of a pipeline's data."""

    number: int
    parent: int | None
    """The version it was made of; of a revert that which it went back to, as what came between is no longer in the data."""
    action: Action
    """``found``: as the data were before the first drop."""
    at: str
    by: str
    summary: str
    """What changed, in a sentence."""
    data: dict[str, Any]
    """path, digest and rows of the data, and ``dvc``: what an entry of DVC says of them (md5, size, nfiles)."""
    source: str | None = None
    drop: str | None = None
    """Digest of what was handed in."""
    reason: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """read, accepted, quarantined."""
    by_rule: dict[str, int] = field(default_factory=dict)
    diff: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    commit: str | None = None
    """The git commit that holds it; None: there is none."""
    purged: int | None = None
    """The version in which rows of it were forgotten, so that its bytes are gone; None: they are kept."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"schema": SCHEMA, **asdict(self), "warnings": list(self.warnings)}


class History:
    """The versions of one pipeline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, number: int) -> Path:
        """The folder of a version."""
        return self.folder / f"{number:08d}"

    def versions(self) -> list[Version]:
        """All of them, oldest first."""
        return [self._read(path) for path in sorted(self.folder.glob("*")) if re.fullmatch(r"\d{8}", path.name)]

    def version(self, number: int, pipeline: str) -> Version:
        """One of them; ConfigError where it is not there."""
        if not (self.place(number) / RECORD).is_file():
            known = ", ".join(str(version.number) for version in self.versions()) or "none"
            raise ConfigError(f"{pipeline} has no version {number} of its data. Known: {known}", fix=f"regraft data log {pipeline}")
        return self._read(self.place(number))

    def head(self, digest: str | None) -> Version | None:
        """The version that the data with ``digest`` are; None: they are none, someone changed them otherwise."""
        return next((version for version in reversed(self.versions()) if version.data["digest"] == digest), None)

    def in_effect(self, head: Version | None) -> Iterator[Version]:
        """``head`` and what it was made of, newest first."""
        by_number = {version.number: version for version in self.versions()}
        while head is not None:
            yield head
            head = by_number.get(head.parent) if head.parent is not None else None

    def next_number(self) -> int:
        return max((version.number for version in self.versions()), default=0) + 1

    def prepare(self, version: Version, attachments: Path) -> Path:
        """Write a version with the files in ``attachments``, whole, under the name it has until the data are changed."""
        target = self.folder / f"{version.number:08d}{PREPARED}"
        shutil.rmtree(target, ignore_errors=True)
        files.write_json(attachments / RECORD, version.document())
        files.sync_tree(attachments)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(attachments, target)
        files.sync_folder(self.folder)
        return target

    def publish(self, version: Version) -> None:
        """Give a prepared version its name: the data are changed."""
        prepared = self.folder / f"{version.number:08d}{PREPARED}"
        files.write_json(prepared / RECORD, version.document())
        os.rename(prepared, self.place(version.number))
        files.sync_folder(self.folder)

    def settle(self, digest: str | None) -> list[Version]:
        """What a killed process left: versions whose change took place, to be finished; others are removed."""
        waiting = []
        for path in sorted(self.folder.glob(f"*{PREPARED}")):
            version = self._read(path) if (path / RECORD).is_file() else None
            if version is not None and version.data["digest"] == digest:
                waiting.append(version)
            else:
                shutil.rmtree(path)
        return waiting

    def note(self, version: Version, **changes: Any) -> Version:
        """A version with another commit, written."""
        changed = replace(version, **changes)
        files.write_json(self.place(version.number) / RECORD, changed.document())
        return changed

    def _read(self, folder: Path) -> Version:
        value = files.read_json(folder / RECORD)
        value.pop("schema")
        return Version(**{**value, "warnings": tuple(value["warnings"])})
