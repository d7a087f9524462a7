"""Labelled rows of an earlier task, in two halves: a probe learns from one and answers the other.

Which half a row is in is a function of (seed, text): equal texts never lie in both, and rows that are added move no other.
Of equal rows one counts, or copies would make an interval narrow. Nothing is quarantined: a row with a fault is an error,
because a task that lost rows is another task, and nobody would compare the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault, Problem
from regraft.core.progress import current
from regraft.data.formats import TABLES
from regraft.data.labelled import class_problems, rows_for_every_split
from regraft.data.options import EarlierRows, TaskRows
from regraft.data.reading import read_file
from regraft.data.rows import Row
from regraft.data.sources import Source, list_files, reject, reject_if
from regraft.data.split import split_of

LEAST = 40
"""Different rows that a task needs: of 20 answers, one of which differs, a loss of 0.19 is detectable."""
MEND = "correct the row, or take it out"


def key(name: str) -> str:
    """Where the pipeline file names the rows of a task."""
    return f"gates.earlier_tasks.tasks.{name}.data"


@dataclass(frozen=True)
class Half:
    """Rows by text, then label: parallel, each pair once."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


def read_task(name: str, task: EarlierRows, seed: int) -> tuple[Half, Half]:
    """(what a probe learns from, what it answers) of the earlier task ``name``, whose file is relative to the current folder.

    :raises DataRejected: a file or a row cannot be read, there are too few rows, or a class is not in both halves.
    :raises EnvironmentFault: the files are not those of ``task.digest``.
    """
    path = Path(task.data)
    if not path.exists() or files.digest(path) != task.digest:
        raise EnvironmentFault(
            f"{key(name)} ({task.data}) changed since the run began; nothing was kept", fix=f"regraft run {current().pipeline}"
        )
    source = Source(key(name), path, task.data)
    first: dict[str, tuple[str, int]] = {}
    rows = sorted(set(read_pairs(source, task, first)))
    halves = [(text, label, split_of(seed, text, HELD_OUT, 0.0)) for text, label in rows]
    if problems := list(_whole_problems(halves, task, first)):
        reject(f"{source.key} ({task.data}) cannot carry a probe", problems)
    learn, answer = ([(text, label) for text, label, half in halves if half == side] for side in ("train", "test"))
    return Half(*zip(*learn, strict=True)), Half(*zip(*answer, strict=True))


def read_pairs(source: Source, task: TaskRows, first: dict[str, tuple[str, int]]) -> Iterator[tuple[str, str]]:
    """(text, label) of every row, or all faults at once; ``first`` gets the file and line of each label's first row."""
    columns, problems = (task.text, task.label), list[Problem]()
    for path, shown in list_files(source, TABLES):
        for row in read_file(path, shown, columns, columns, problems):
            if faults := list(_faults(row, columns)):
                problems += faults
            else:
                first.setdefault(row.values[task.label] or "", (row.file, row.number))
                yield row.values[task.text] or "", row.values[task.label] or ""
    reject_if(source, list(named_here(problems)))


def _faults(row: Row, columns: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the columns of one row that count."""
    for fault in row.faults:
        if fault.column is None or fault.column in columns:
            place = {"file": row.file, "row": row.number, "column": fault.column, "value": fault.value}
            yield Problem(message=fault.reason, **place, rule=fault.rule, fix=MEND)
    if row.whole:
        faulty_columns = {fault.column for fault in row.faults}
        for column in columns:
            if column not in faulty_columns and row.values.get(column) is None:
                place = {"file": row.file, "row": row.number, "column": column}
                yield Problem(message=f"{column} is missing", **place, rule=f"{column}.required", fix=MEND)


def named_here(problems: Iterable[Problem]) -> Iterator[Problem]:
    """``problems``, whose columns are named beside the file and not under `task`."""
    for problem in problems:
        if problem.get("rule") == "header.required":
            fix = f"rename a column to {problem['column']!r}, or name the right one as `text` or `label` of the earlier task"
            problem = Problem({**problem, "fix": fix})
        yield problem


def _whole_problems(rows: Sequence[tuple[str, str, str]], task: EarlierRows, first: Mapping[str, tuple[str, int]]) -> Iterator[Problem]:
    """What is wrong with (text, label, half) of all rows taken together."""
    if len(rows) < LEAST:
        message = f"{len(rows)} different rows; a probe and its answers need {LEAST}, and many more to show a small loss"
        yield Problem(message=message, file=task.data, rule="rows.enough", fix=f"add rows to {task.data}")
    dealt: dict[str, Counter[str]] = {}
    for _, label, half in rows:
        dealt.setdefault(label, Counter())[half] += 1
    why = "a row's half is a hash of its text"
    for problem in class_problems(dealt, task.label, rows_for_every_split(HELD_OUT, 0.0), why, lambda _: first):
        fix = problem["fix"].replace("task.label", "`label` of the earlier task")
        yield Problem({**problem, "file": problem.get("file") or task.data, "fix": fix})


HELD_OUT = 0.5
"""Share of a task's rows that are answered; the probe learns from the others."""
