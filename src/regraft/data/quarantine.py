"""What the step ``contract`` leaves behind: accepted rows, texts without labels, and the quarantine with its reasons.

A row is quarantined once, however many rules it breaks. Of rows that share an id all are quarantined: nothing says
which of them is right. All files are written piece by piece, in an order that does not depend on how files were split.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from regraft.core import files
from regraft.core.errors import Problem
from regraft.core.sheets import cell
from regraft.data.by_order import Order
from regraft.data.labelled import Splitting
from regraft.data.mojibake import Misread
from regraft.data.options import TaskOptions
from regraft.data.pairs import join
from regraft.data.rows import Fault, Row
from regraft.data.sources import MAX_OF_A_RULE
from regraft.data.validation import WHOLE, Validated, breaks, value
from regraft.data.writing import TableWriter

MEND = "correct the row, or remove it"
LISTED = ("file", "row", "id", "rule", "reason")
"""Columns of the quarantine; the Parquet file has ``raw`` besides."""
EXAMPLES = 20
"""Rows that break a rule, of each rule, on the page."""
PIECE = 8192
"""Quarantined rows written at once."""


@dataclass
class Told:
    """What is said of a quarantine after it was written."""

    by_rule: Counter[str] = field(default_factory=Counter)
    """How often each rule is broken."""
    first: list[Problem] = field(default_factory=list)
    """The first rows that break each rule, in the order of reading: for a message."""
    examples: dict[str, list[Problem]] = field(default_factory=dict)
    """Rule -> the first rows that break it, at most :data:`EXAMPLES`: for the page."""
    ids: dict[str, list[str | None]] = field(default_factory=dict)
    """Rule -> the ids of its examples; None: the row has none, or none that its file says."""

    @property
    def more(self) -> int:
        """Broken rules that are not in ``first``."""
        return self.by_rule.total() - len(self.first)

    def sentence(self, read: int, quarantined: int) -> str:
        """How many rows were set aside, by which rules, and the first of them."""
        rules = ", ".join(f"{rule} {count:,}" for rule, count in self.by_rule.most_common())
        first = self.first[0]
        verb = "is" if quarantined == 1 else "are"
        set_aside = f"{quarantined:,} of {read:,} labelled rows break the contract and {verb} set aside ({rules})"
        return f"{set_aside}; first {first['file']}:{first['row']}: {first['message']}"

    def add(self, row: Row, faults: Sequence[Fault], row_id: str | None = None) -> None:
        """Count one row; ``row_id`` is what its file calls it."""
        for fault in faults:
            self.by_rule[fault.rule] += 1
            if (nth := self.by_rule[fault.rule]) <= EXAMPLES:
                place = {"file": row.file, "row": row.number, "column": fault.column, "value": fault.value}
                problem = Problem(message=fault.reason, **place, rule=fault.rule, fix=MEND)
                self.examples.setdefault(fault.rule, []).append(problem)
                self.ids.setdefault(fault.rule, []).append(row_id)
                if nth <= MAX_OF_A_RULE:
                    self.first.append(problem)


def write_quarantine(table: Path, sheet: Path, validated: Validated, task: TaskOptions) -> Told:
    """Write the quarantine in the order of reading, as Parquet and, without the raw rows, as CSV for a spreadsheet.

    Its columns are file, row, id, rule, reason (joined by "; " where several are broken) and the row as it was read, as JSON.
    """
    summary = Told()
    schema = pa.schema([(name, pa.int64() if name == "row" else pa.string()) for name in (*LISTED, "raw")])
    with TableWriter(table, schema) as rows, sheet.open("w", encoding="utf8", newline="") as handle:
        lines = csv.writer(handle, lineterminator="\n")
        lines.writerow(LISTED)
        quarantined = iter(validated.quarantine() if validated.quarantined else ())
        while piece := list(islice(quarantined, PIECE)):
            columns = {name: pa.array(values, schema.field(name).type) for name, values in _listed(piece, task, summary)}
            lines.writerows(zip(*(map(cell, columns[name].to_pylist()) for name in LISTED), strict=True))
            rows.write(pa.table(columns, schema))
    return summary


def _listed(piece: Sequence[tuple[Row, tuple[Fault, ...]]], task: TaskOptions, summary: Told) -> Iterator[tuple[str, list[Any]]]:
    for row, faults in piece:
        summary.add(row, faults, row.values.get(task.id) if task.id is not None else None)
    yield "file", [row.file for row, _ in piece]
    yield "row", [row.number for row, _ in piece]
    yield "id", [row.values.get(task.id_column) for row, _ in piece]
    yield "rule", ["; ".join(fault.rule for fault in faults) for _, faults in piece]
    yield "reason", ["; ".join(fault.reason for fault in faults) for _, faults in piece]
    raw = [json.dumps(row.raw, ensure_ascii=False, sort_keys=True) for row, _ in piece]
    # A lone surrogate is a reason for quarantine, and has no bytes in UTF-8.
    yield "raw", [text.encode("utf8", "backslashreplace").decode() for text in raw]


def write_texts(path: Path, validated: Validated, task: TaskOptions, splitting: Splitting) -> None:
    """Write id and text (and the given split) of every row that has both and whose id is its own, sorted by id: no label is looked at.

    Rows that share an id are left out, as each of them is quarantined whatever its label says; so are rows without a
    place in a given split.
    """
    masks, split, order = [], splitting.column, splitting.order
    for number, table in enumerate(validated.store.tables):
        usable = table[WHOLE].to_numpy()
        if task.id is not None:  # made ones are unique
            usable = usable & ~validated.repeats[task.id].masks[number]
        for name in (task.id_column, *task.texts):
            usable &= table[value(name)].is_valid().to_numpy()
        if task.text_pair is not None:
            for name in task.texts:
                usable &= ~table[breaks(f"{name}.without")].to_numpy()
        if split is not None:
            usable &= table[value(split)].is_valid().to_numpy() & ~table[breaks(f"{split}.valid_values")].to_numpy()
        if order is not None:
            usable &= np.array([item is not None and order.places(item) for item in table[value(order.column)].to_pylist()], bool)
        masks.append(usable)
    sources = {"id": (task.id_column,), "text": task.texts, **({"split": (splitting.key,)} if splitting.key is not None else {})}
    _write_sorted(path, validated, task.id_column, masks, sources, {"split": splitting.of} if order is not None else {})


def write_accepted(path: Path, validated: Validated, task: TaskOptions) -> None:
    """Write id, text, label, then every other column by name, sorted by id. A column whose name is taken becomes ``column.<name>``.

    The two texts of a pair are written as one (:mod:`regraft.data.pairs`).
    """
    sources = {"id": (task.id_column,), "text": task.texts, "label": (task.label,)}
    others = sorted(validated.columns() - {name for columns in sources.values() for name in columns})
    sources |= {f"column.{name}" if name in sources else name: (name,) for name in others}
    _write_sorted(path, validated, task.id_column, validated.accepted, sources)


def misread(validated: Validated, task: TaskOptions) -> str | None:
    """What is said of accepted rows whose text looks read in a wrong encoding; None: no row's does."""
    found = Misread()
    for table, accepted in zip(validated.store.tables, validated.accepted, strict=True):
        texts = [table[value(name)] for name in task.texts]
        plain = np.logical_and.reduce([pc.string_is_ascii(column).to_numpy() for column in map(_filled, texts)])
        rows = np.flatnonzero(accepted & ~plain)
        for key, *parts in zip(*(column.take(rows).to_pylist() for column in (table[value(task.id_column)], *texts)), strict=True):
            found.note(" ".join(parts), key)
    return found.sentence


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, "")


def _write_sorted(
    path: Path,
    validated: Validated,
    key: str,
    kept: Sequence[np.ndarray[Any, Any]],
    sources: Mapping[str, tuple[str, ...]],
    made: Mapping[str, Callable[[str], str]] = MappingProxyType({}),
) -> None:
    """Write the columns of ``sources``, each made of one column of the data or of two, sorted by ``key``.

    :param made: column -> what makes its values of those in the data.
    """
    schema = pa.schema([(name, pa.string()) for name in sources])
    columns = list(dict.fromkeys(value(name) for name in (key, *(name for names in sources.values() for name in names))))
    with TableWriter(path, schema) as writer:
        for bucket in validated.store.in_order(value(key), kept, columns):
            columns_out = {column: _one([bucket[value(name)] for name in names]) for column, names in sources.items()}
            columns_out |= {column: pa.array(map(make, columns_out[column].to_pylist()), pa.string()) for column, make in made.items()}
            writer.write(pa.table(list(columns_out.values()), schema=schema))


def _one(columns: Sequence[Any]) -> Any:
    """A column as it is, or two as pairs."""
    if len(columns) == 1:
        return columns[0]
    return pa.array([join(*texts) for texts in zip(*(column.to_pylist() for column in columns), strict=True)], pa.string())


def write_counts(path: Path, validated: Validated, summary: Told, labels: Counter[str], order: Order | None = None) -> None:
    """Write how many rows were read = accepted + quarantined, how often each rule is broken, and the accepted rows of each label.

    ``order`` has the borders of a split by a column that orders the rows.
    """
    counts = {"read": validated.read, "accepted": validated.kept, "quarantined": validated.quarantined}
    borders = {"order": order.document()} if order is not None else {}
    files.write_json(path, {**counts, "by_rule": dict(summary.by_rule), "by_label": dict(labels), **borders})
