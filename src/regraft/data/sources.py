"""The files people hand in: which ones a path means, in what encoding, and how faults of whole files are reported.

A fault of one row is quarantined elsewhere. A fault of a file (wrong encoding, no header) makes every row of it
doubtful, so it rejects the hand-in; all such faults are collected first and raised together.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from regraft.core.errors import DataRejected, Problem
from regraft.data.formats import hint, known, suffix_of
from regraft.data.options import listed

MAX_PROBLEMS = 20
"""Faults shown; the rest is counted."""

MAX_OF_A_RULE = 5
"""Faults shown of one rule: 481 doubled ids must not hide the one row that breaks another."""


@dataclass(frozen=True)
class Source:
    """Something a pipeline file points at."""

    key: str
    """The key of the pipeline file, e.g. ``data.labelled``."""
    path: Path
    shown: str
    """The path as the user wrote it; file names in messages and in the quarantine start with it."""
    beside: tuple[Source, ...] = ()
    """The others, where the pipeline file lists several."""
    tsv_quoted: bool = False
    """Whether quotes around a value of a .tsv file are no part of it."""

    @classmethod
    def of(cls, key: str, inputs: Mapping[str, Path], paths: str | Sequence[str], *, tsv_quoted: bool = False) -> Source:
        """The source behind ``key``, e.g. ``data.corpus``: of one path the input ``corpus``, of several ``corpus.0``, ``corpus.1`` ..."""
        name, several = key.removeprefix("data."), not isinstance(paths, str)
        sources = [cls(key, inputs[f"{name}.{number}" if several else name], path) for number, path in enumerate(listed(paths))]
        return cls(key, sources[0].path, sources[0].shown, tuple(sources[1:]), tsv_quoted)

    @property
    def all_shown(self) -> str:
        """Every path as the user wrote it."""
        return ", ".join(source.shown for source in (self, *self.beside))


def list_files(source: Source, suffixes: Sequence[str], besides: Callable[[Path], bool] = lambda _: False) -> list[tuple[Path, str]]:
    """The data files ``source`` means, each with the name to show: in the order listed, and sorted inside a folder.

    Files that lie ``besides`` the data are left out.

    In a folder, hidden files and ``.md`` notes are skipped; any other suffix is a fault, because a data file
    that is silently left out looks exactly like one that was read.
    """
    paths = [pair for place in (source, *source.beside) for pair in _files_at(place, suffixes, besides)]
    readable = known(tuple(suffixes))
    others = [(path, shown) for path, shown in paths if path.exists() and suffix_of(path) not in suffixes]
    strange = [
        Problem(
            message=f"{source.key} reads {readable}",
            file=shown,
            value=path.suffix,
            rule="file.type",
            fix=hint(path, shown, _like(path, others)),
        )
        for path, shown in others
    ]
    dangling = [
        Problem(message="the link leads nowhere", file=shown, rule="file.exists", fix="correct the link or remove it")
        for path, shown in paths
        if not path.exists()
    ]
    reject_if(source, [*strange, *dangling, *_listed_twice(paths)])
    return paths


def _like(path: Path, others: Sequence[tuple[Path, str]]) -> list[str]:
    """Names of the files in the folder of ``path`` that end as it does."""
    return [other.name for other, _ in others if other != path and (other.parent, other.suffix) == (path.parent, path.suffix)]


def _files_at(source: Source, suffixes: Sequence[str], besides: Callable[[Path], bool]) -> list[tuple[Path, str]]:
    readable = known(tuple(suffixes))
    if not source.path.exists():
        raise DataRejected(
            f"{source.key}: {source.shown} is not there",
            fix=f"put {readable} files there, or change {source.key} in the pipeline file",
            problems=[Problem(message="no such file or folder", file=source.shown, rule="file.exists")],
        )
    if source.path.is_file():
        return [(source.path, source.shown)]
    entries = (path for path in source.path.rglob("*") if (path.is_file() or not path.exists()) and path.suffix != ".md")
    if source.shown.startswith("hub:"):  # a repository holds scripts, pictures and cards besides; nobody can move them away
        entries = (path for path in entries if suffix_of(path) in suffixes)
    names = sorted(path.relative_to(source.path) for path in entries)
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if any(name.parts[0] == "_temporary" for name in visible):
        problem = Problem(message="a job is still writing here, or was killed: `_temporary` is there", file=source.shown, rule="file.whole")
        raise DataRejected(f"{source.key}: {source.shown} is not whole", fix="wait for `_SUCCESS`, or write it again", problems=[problem])
    visible = [name for name in visible if not _is_note(source.path / name, suffixes) and not besides(source.path / name)]
    if not visible:
        raise DataRejected(
            f"{source.key}: the folder {source.shown} holds no {readable} file",
            fix=f"put {readable} files there, or change {source.key} in the pipeline file",
            problems=[Problem(message="the folder is empty", file=source.shown, rule="file.exists")],
        )
    return [(source.path / name, f"{source.shown.rstrip('/')}/{name.as_posix()}") for name in visible]


def _is_note(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file of a folder is no data: a note of Spark, Hive or Delta (``_SUCCESS``), or a part that got no row."""
    of_job = path.name.startswith("_") and suffix_of(path) not in suffixes
    return of_job or (path.name.startswith("part-") and path.is_file() and path.stat().st_size == 0)


def _listed_twice(paths: Sequence[tuple[Path, str]]) -> Iterator[Problem]:
    """Files that two entries of a list mean, as a folder and a file in it do."""
    first: dict[str, str] = {}
    for path, shown in paths:
        # Links are not followed: DVC and the hub's cache may link two files of equal bytes to one place.
        place = os.path.abspath(path)
        if place in first:
            message = f"is listed twice, once as {first[place]}; all of it would be read twice"
            yield Problem(message=message, file=shown, rule="file.once", fix="list it once")
        first[place] = shown


def reject_if(source: Source, problems: list[Problem]) -> None:
    """Raise :class:`DataRejected` when there is any problem."""
    # Spark writes a part for every worker, also for those that got no row.
    if problems := [problem for problem in problems if not (problem.get("rule") == "file.rows" and _is_part(problem))]:
        reject(f"{source.key} ({source.all_shown}) cannot be read", problems)


def _is_part(problem: Problem) -> bool:
    return Path(problem.get("file") or "").name.startswith("part-")


def reject(message: str, problems: list[Problem], everything: Path | None = None, more: int = 0) -> NoReturn:
    """Raise :class:`DataRejected` with the first problems of each rule, one a line, and a count of the rest.

    ``everything`` is a file that holds them all; ``more`` counts those that are not among ``problems``.
    """
    first = _first_of_each_rule(problems)
    total = len(problems) + more
    lines = [f"{message}: {total} fault{'s' * (total > 1)}", *(f"  {describe(problem)}" for problem in first)]
    if total > len(first):
        place = os.path.relpath(everything) if everything else None
        where = f"; all of them are in {place}" if place else ""
        summary = Problem(message=f"and {total - len(first)} more{where}", file=place)
        lines.append(f"  {summary['message']}")
        first = [*first, summary]
    raise DataRejected("\n".join(lines), fix=first[0].get("fix"), problems=first)


def _first_of_each_rule(problems: Sequence[Problem]) -> list[Problem]:
    counts: Counter[str | None] = Counter()
    first = []
    for problem in problems:
        counts[problem.get("rule")] += 1
        if counts[problem.get("rule")] <= MAX_OF_A_RULE:
            first.append(problem)
    return first[:MAX_PROBLEMS]


def describe(problem: Problem) -> str:
    """``file:row: message [rule]``."""
    place = ":".join(str(problem[key]) for key in ("file", "row") if problem.get(key) is not None)
    rule = f" [{problem['rule']}]" if problem.get("rule") else ""
    return f"{place}: {problem['message']}{rule}" if place else f"{problem['message']}{rule}"
