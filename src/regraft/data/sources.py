"""The files people hand in: which ones a path means, in what encoding, and how faults of whole files are reported.

A fault of one row is quarantined elsewhere. A fault of a file (wrong encoding, no header) makes every row of it
doubtful, so it rejects the hand-in; all such faults are collected first and raised together.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from regraft.errors import DataRejected, Problem

MAX_PROBLEMS = 20
"""Faults shown; the rest is counted."""

MAX_OF_A_RULE = 5
"""Faults shown of one rule: 481 doubled ids must not hide the one row that breaks another."""

GUESS_BYTES = 100_000
"""charset-normalizer takes about 0.1 s for this much; more does not improve the guess."""


@dataclass(frozen=True)
class Source:
    """Something a pipeline file points at."""

    key: str
    """The key of the pipeline file, e.g. ``data.labelled``."""
    path: Path
    shown: str
    """The path as the user wrote it; file names in messages and in the quarantine start with it."""


def list_files(source: Source, suffixes: Sequence[str]) -> list[tuple[Path, str]]:
    """The data files ``source`` means, sorted, each with the name to show.

    In a folder, hidden files and ``.md`` notes are skipped; any other suffix is a fault, because a data file
    that is silently left out looks exactly like one that was read.
    """
    wanted = ", ".join(suffixes)
    if not source.path.exists():
        raise DataRejected(
            f"{source.key}: {source.shown} is not there",
            fix=f"put {wanted} files there, or change {source.key} in the pipeline file",
            problems=[Problem(message="no such file or folder", file=source.shown, rule="file.exists")],
        )
    if source.path.is_file():
        found = [(source.path, source.shown)]
    else:
        names = sorted(p.relative_to(source.path) for p in source.path.rglob("*") if p.is_file() and p.suffix != ".md")
        visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        found = [(source.path / name, f"{source.shown.rstrip('/')}/{name.as_posix()}") for name in visible]
    if not found:
        raise DataRejected(
            f"{source.key}: the folder {source.shown} holds no {wanted} file",
            fix=f"put {wanted} files there, or change {source.key} in the pipeline file",
            problems=[Problem(message="the folder is empty", file=source.shown, rule="file.exists")],
        )
    strange = [
        Problem(message=f"{source.key} reads {wanted} only", file=shown, rule="file.type", fix="convert it or move it away")
        for path, shown in found
        if path.suffix not in suffixes
    ]
    reject_if(source, strange)
    return found


def reject_if(source: Source, problems: list[Problem]) -> None:
    """Raise :class:`DataRejected` when there is any problem."""
    if problems:
        reject(f"{source.key} ({source.shown}) cannot be read", problems)


def reject(message: str, problems: list[Problem], everything: Path | None = None) -> NoReturn:
    """Raise :class:`DataRejected` with the first problems of each rule, one a line, and a count of the rest.

    ``everything`` is a file that holds them all.
    """
    shown = _first_of_each_rule(problems)
    lines = [f"{message}: {len(problems)} fault{'s' * (len(problems) > 1)}", *(f"  {describe(problem)}" for problem in shown)]
    if len(problems) > len(shown):
        listed = os.path.relpath(everything) if everything else None
        rest = Problem(message=f"and {len(problems) - len(shown)} more" + (f"; all of them are in {listed}" if listed else ""), file=listed)
        lines.append(f"  {rest['message']}")
        shown = [*shown, rest]
    raise DataRejected("\n".join(lines), fix=shown[0].get("fix"), problems=shown)


def _first_of_each_rule(problems: Sequence[Problem]) -> list[Problem]:
    seen: Counter[str | None] = Counter()
    shown = []
    for problem in problems:
        seen[problem.get("rule")] += 1
        if seen[problem.get("rule")] <= MAX_OF_A_RULE:
            shown.append(problem)
    return shown[:MAX_PROBLEMS]


def describe(problem: Problem) -> str:
    """``file:row: message [rule]``."""
    place = ":".join(str(problem[key]) for key in ("file", "row") if problem.get(key) is not None)
    rule = f" [{problem['rule']}]" if problem.get("rule") else ""
    return f"{place}: {problem['message']}{rule}" if place else f"{problem['message']}{rule}"


def empty_problem(path: Path, shown: str) -> Problem | None:
    """A file without a single character (a byte-order mark does not count)."""
    with path.open("rb") as handle:
        if handle.read(64).removeprefix(b"\xef\xbb\xbf").strip() or handle.read(1):
            return None
    return Problem(message="the file is empty", file=shown, rule="file.empty", fix="fill it or remove it")


def encoding_problem(path: Path, shown: str) -> Problem:
    """Where a file that failed to decode stops being UTF-8, what it probably is, and the command that converts it."""
    offset = 0
    with path.open("rb") as handle:
        for row, line in enumerate(handle, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return _encoding_problem(path, shown, row, line, error.start, offset)
            offset += len(line)
    raise AssertionError(f"{shown} is UTF-8")


def _encoding_problem(path: Path, shown: str, row: int, line: bytes, start: int, offset: int) -> Problem:
    with path.open("rb") as handle:
        handle.seek(max(0, offset + start - GUESS_BYTES // 2) if offset > GUESS_BYTES else 0)
        guess = _guess(handle.read(GUESS_BYTES))
    name = shlex.quote(shown)
    around = line[max(0, start - 12) : start + 12]
    reads = f", read as {guess} {around.decode(guess, 'replace').strip()!r}" if not guess.startswith("utf") else ""
    return Problem(
        message=f"not UTF-8: byte {offset + start} is 0x{line[start]:02x} in {around!r}{reads}",
        file=shown,
        row=row,
        value=repr(around),
        rule="file.utf8",
        fix=f"iconv -f {guess} -t utf-8 {name} > utf8{path.suffix} && mv utf8{path.suffix} {name}",
    )


def _guess(data: bytes) -> str:
    """The probable encoding of ``data``, spelled as iconv does.

    charset-normalizer breaks ties by the alphabet, which turns French into cp1250; Windows' western code page is
    what spreadsheets write most.
    """
    from charset_normalizer import from_bytes

    found = from_bytes(data)
    if (best := found.best()) is None:
        return "cp1252"
    ties = [match for match in found if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    western = any("cp1252" in match.could_be_from_charset for match in ties)
    return "cp1252" if western else best.encoding.replace("_", "-")
