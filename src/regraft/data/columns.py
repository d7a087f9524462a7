"""The columns of labelled data besides id and text: what test rows can be sliced by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from regraft.data.options import TaskOptions

MOST = 1_000
"""Rows looked at of a file whose rows need not have the same columns."""


def other_columns(rows: Path, ids: Sequence[str], taken: Iterable[str]) -> dict[str, list[str | None]]:
    """Every column of the accepted rows but id and text, for the rows in ``ids`` and in their order; a missing value is None.

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
    others = sorted(set(names) - {task.id_column, *task.texts, task.label})
    return ["label", *(f"column.{name}" if name in used else name for name in others)]
