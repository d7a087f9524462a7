"""The columns of labelled data besides id and text: what test rows can be sliced by, and whether gates ask for one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from regraft.config import DISCOVERED_SLICES, PipelineOptions, TaskOptions, listed
from regraft.core.errors import Problem

MOST = 1_000
"""Rows looked at of a file whose rows need not have the same columns."""


def other_columns(rows: Path, ids: Sequence[str], taken: Iterable[str]) -> dict[str, list[str | None]]:
    """Every column of the accepted rows but id and text, for the rows in ``ids`` and in their order.

    As in rows.parquet, a column whose name is in ``taken`` becomes ``column.<name>``.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = [name for name in pq.read_schema(rows).names if name != "text"]
    columns = pq.read_table(rows, columns=names, filters=pc.field("id").isin(list(ids))).to_pydict()
    place = {row: position for position, row in enumerate(columns.pop("id"))}
    order, used = [place[row] for row in ids], set(taken)
    return {f"column.{name}" if name in used else name: [values[i] for i in order] for name, values in columns.items()}


def slice_columns(names: Iterable[str], task: TaskOptions, taken: Iterable[str]) -> list[str]:
    """What :func:`other_columns` will call the columns ``names`` of the labelled files, and the label."""
    used = {"id", "text", "label", *taken}
    others = sorted(set(names) - {task.id, task.text, task.label})
    return ["label", *(f"column.{name}" if name in used else name for name in others)]


def slice_problems(root: Path, options: PipelineOptions, shown: str) -> list[Problem]:
    """Columns that gates slice by and the labelled files do not have; ``shown`` is the pipeline file's path."""
    if not any(gate.columns for gate in options.gates):
        return []
    known = [*DISCOVERED_SLICES, *slice_columns(_columns(root, listed(options.data.labelled)), options.task, DISCOVERED_SLICES)]
    problems = []
    for position, gate in enumerate(options.gates):
        key = f"gates.{position}.{'fairness.groups' if gate.fairness else 'slices'}"
        for column in (name for name in gate.columns if name not in known):
            near = difflib.get_close_matches(column, known, n=1)
            guess = f"; did you mean {near[0]}?" if near else "."
            message = f"{key}: the labelled rows have no column {column!r}{guess} Known: {', '.join(known)}"
            where = {"file": shown, "column": key, "value": column}
            problems.append(Problem(message=message, rule="column exists", fix=f"edit {shown}", **where))
    return problems


def _columns(root: Path, paths: Sequence[str]) -> Iterator[str]:
    """Columns of the first rows of every file; faults of files are for others to tell."""
    from regraft.data import hub
    from regraft.data.formats import TABLES
    from regraft.data.reading import read_file
    from regraft.data.sources import Source, list_files

    for path in paths:
        source = Source("data.labelled", hub.fetch(path) if path.startswith("hub:") else root / path, path)
        for file, name in list_files(source, TABLES):
            for row in islice(read_file(file, name, (), (), []), MOST):
                yield from row.values
