"""Checksums that whoever uploads a drop may leave with it, as ``sha256sum`` writes them: they say when all of it has come.

``SHA256SUMS`` in a folder lists every file of it; ``may.csv.sha256`` beside a file has the one of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from regraft.core import files
from regraft.core.errors import DataRejected, Problem

LIST, SUFFIX = "SHA256SUMS", ".sha256"
LINE = re.compile(r"\\?(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
"""Digest, two blanks or a blank and a star, name."""


def is_list(path: Path) -> bool:
    """Whether a file holds checksums, and no data."""
    return path.name == LIST or path.suffix == SUFFIX


def list_of(drop: Path) -> Path | None:
    """The file with the checksums of ``drop``, a file or folder; None: it has none."""
    path = drop / LIST if drop.is_dir() else drop.with_name(drop.name + SUFFIX)
    return path if path.is_file() else None


def require_agreement(drop: Path, shown: str) -> None:
    """Raise :class:`DataRejected` where a drop is not what its checksums say; one without checksums is taken as it is."""
    if (path := list_of(drop)) is not None and (problems := list(_problems(drop, path, shown))):
        fix = "wait for the upload to end, or upload it again"
        raise DataRejected(f"{shown} is not whole yet, as {path.name} says", fix=fix, problems=problems)


def _problems(drop: Path, path: Path, shown: str) -> Iterator[Problem]:
    lines = [
        (number, line) for number, line in enumerate(path.read_text(encoding="utf8", errors="replace").splitlines(), 1) if line.strip()
    ]
    listed: list[tuple[str, str]] = []
    for number, line in lines:
        if match := LINE.fullmatch(line):
            listed.append((match["name"].removeprefix("./"), match["digest"].lower()))
        else:
            yield _problem("is no line of checksums", f"{shown}/{LIST}" if drop.is_dir() else f"{shown}{SUFFIX}", number)
    wanted = {drop / name: digest for name, digest in listed} if drop.is_dir() else _beside(drop, listed)
    there = {item for item in drop.rglob("*") if item.is_file() and item != path} if drop.is_dir() else {drop}
    for item in sorted(there | set(wanted)):
        name = f"{shown.rstrip('/')}/{item.relative_to(drop).as_posix()}" if item.is_relative_to(drop) and item != drop else shown
        if item not in wanted:
            if not item.name.startswith("."):
                yield _problem(f"is not listed in {path.name}", name)
        elif item not in there:
            yield _problem("has not come yet", name)
        elif files.sha256_file(item) != wanted[item]:
            yield _problem("has another checksum", name)


def _beside(drop: Path, listed: Sequence[tuple[str, str]]) -> dict[Path, str]:
    """The checksum of a file that has its list beside it: the only one, whatever it is called, or that of its name or of ``-``, stdin."""
    if len(listed) != 1:
        listed = [(name, digest) for name, digest in listed if name == "-" or name.rpartition("/")[2] == drop.name]
    return {drop: listed[-1][1]} if listed else {}


def _problem(message: str, file: str, row: int | None = None) -> Problem:
    place = {} if row is None else {"row": row}
    return Problem(message=message, file=file, rule="file.whole", **place)
