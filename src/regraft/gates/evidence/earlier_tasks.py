"""What linear probes said of earlier tasks, as the step ``earlier_tasks`` left it and as a decision keeps it: ``earlier_tasks.parquet``.

Columns: task, label, and the answer at every stage, a held-out row a line; no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from regraft.data.tables import write_table
from regraft.evaluation.retention import EarlierAnswers
from regraft.gates.stages import STAGES

FILE = "earlier_tasks.parquet"


def write(path: Path, tasks: Mapping[str, EarlierAnswers]) -> None:
    """Write the answers of all ``tasks``, one after the other."""
    columns = {
        "task": [name for name, task in tasks.items() for _ in task.labels],
        "label": [label for task in tasks.values() for label in task.labels],
    }
    write_table(path, {**columns, **{stage: [answer for task in tasks.values() for answer in task.answers[stage]] for stage in STAGES}})


def load(path: Path) -> dict[str, EarlierAnswers]:
    """Read a file of :func:`write`, a task at a time."""
    columns = pq.read_table(path).to_pydict()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(columns["task"]):
        rows.setdefault(name, []).append(row)
    by_task = {
        name: {column: [columns[column][row] for row in places] for column in columns if column != "task"} for name, places in rows.items()
    }
    return {name: EarlierAnswers(answers.pop("label"), answers) for name, answers in by_task.items()}
