"""Rows that keep the contract are accepted, the others are quarantined with reasons; nothing else happens to a row.

A row is quarantined once, however many rules it breaks. Of rows that share an id all are quarantined: nothing says
which of them is right.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft import files
from regraft.config import TaskOptions
from regraft.data.contract import Contract
from regraft.data.reading import Fault, Row
from regraft.data.tables import write_table
from regraft.data.validate import validate
from regraft.errors import Problem

MEND = "mend the row or remove it"


@dataclass(frozen=True)
class Judged:
    """Every row that was read, on one of two sides."""

    accepted: list[Row]
    quarantined: list[tuple[Row, tuple[Fault, ...]]]
    """With the rules it breaks; never none."""
    result: Any
    """Great Expectations' own result; None where no row could be told apart."""

    @property
    def read(self) -> int:
        return len(self.accepted) + len(self.quarantined)

    def problems(self) -> list[Problem]:
        """Every broken rule of every quarantined row."""
        return [
            Problem(message=fault.reason, file=row.file, row=row.number, column=fault.column, value=fault.value, rule=fault.rule, fix=MEND)
            for row, faults in self.quarantined
            for fault in faults
        ]


def judge(rows: Sequence[Row], contract: Contract) -> Judged:
    """Sort ``rows`` by whether they keep ``contract``; the order of reading stays."""
    whole = [row for row in rows if row.whole]
    broken, result = validate(whole, contract) if whole else ({}, None)
    faults = {id(row): broken.get(index, []) for index, row in enumerate(whole)}
    judged = Judged([], [], result)
    for row in rows:
        unreadable = {fault.column for fault in row.faults}  # a value that could not be read is not also missing
        found = (*row.faults, *(fault for fault in faults.get(id(row), ()) if fault.column not in unreadable))
        if found:
            judged.quarantined.append((row, found))
        else:
            judged.accepted.append(row)
    return judged


def usable_texts(rows: Sequence[Row], task: TaskOptions) -> list[tuple[str, str]]:
    """(id, text) of every row that has both and whose id is its own, sorted by id: no label is looked at.

    Rows that share an id are left out, as each of them is quarantined whatever its label says.
    """
    pairs = [(row.values.get(task.id), row.values.get(task.text)) for row in rows if row.whole]
    times = Counter(key for key, _ in pairs)
    return sorted((key, text) for key, text in pairs if key is not None and text is not None and times[key] == 1)


def write_accepted(path: Path, accepted: Sequence[Row], task: TaskOptions) -> None:
    """id, text, label, then every other column by name, sorted by id. A column whose name is taken becomes ``column.<name>``."""
    rows = sorted((row.values for row in accepted), key=lambda values: values[task.id] or "")
    named = {"id": task.id, "text": task.text, "label": task.label}
    others = sorted({name for row in rows for name in row} - set(named.values()))
    named |= {f"column.{name}" if name in named else name: name for name in others}
    write_table(path, {name: [row.get(column) for row in rows] for name, column in named.items()})


def write_quarantine(path: Path, judged: Judged, task: TaskOptions) -> None:
    """file, row, id, rule, reason (joined by "; " where several are broken) and the row as it was read, as JSON."""
    import pyarrow as pa

    table = _listed(judged, task)
    raw = [json.dumps(row.raw, ensure_ascii=False, sort_keys=True) for row, _ in judged.quarantined]
    # A lone surrogate is a reason for quarantine, and has no bytes in UTF-8.
    table["raw"] = [text.encode("utf8", "backslashreplace").decode() for text in raw]
    write_table(path, table, row=pa.int64())


def quarantine_csv(judged: Judged, task: TaskOptions) -> str:
    """The quarantine for a spreadsheet, without the raw rows."""
    table = _listed(judged, task)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def _listed(judged: Judged, task: TaskOptions) -> dict[str, list[Any]]:
    return {
        "file": [row.file for row, _ in judged.quarantined],
        "row": [row.number for row, _ in judged.quarantined],
        "id": [row.values.get(task.id) for row, _ in judged.quarantined],
        "rule": ["; ".join(fault.rule for fault in faults) for _, faults in judged.quarantined],
        "reason": ["; ".join(fault.reason for fault in faults) for _, faults in judged.quarantined],
    }


def write_counts(path: Path, judged: Judged, task: TaskOptions) -> None:
    """read = accepted + quarantined, how often each rule is broken, and accepted rows a label."""
    rules = Counter(fault.rule for _, faults in judged.quarantined for fault in faults)
    labels = Counter(row.values[task.label] or "" for row in judged.accepted)
    counts = {"read": judged.read, "accepted": len(judged.accepted), "quarantined": len(judged.quarantined)}
    files.write_json(path, {**counts, "by_rule": dict(rules), "by_label": dict(labels)})
