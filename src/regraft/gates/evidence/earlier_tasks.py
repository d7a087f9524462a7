"""What linear probes said of earlier tasks, as the step ``earlier_tasks`` left it and as a decision keeps it: ``earlier_tasks.parquet``.

Columns: task, label, and the answer at every stage, a held-out row a line; no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from regraft.core import files
from regraft.data.tables import write_table
from regraft.evaluation.retention import EarlierAnswers
from regraft.gates.evidence import unchanged
from regraft.gates.options import GateOptions
from regraft.gates.stages import STAGES

FILE = "earlier_tasks.parquet"


def write(path: Path, tasks: Mapping[str, EarlierAnswers]) -> None:
    """Write the answers of all ``tasks``, one after the other."""
    columns = {
        "task": [name for name, task in tasks.items() for _ in task.labels],
        "label": [label for task in tasks.values() for label in task.labels],
    }
    write_table(path, {**columns, **{stage: [answer for task in tasks.values() for answer in task.answers[stage]] for stage in STAGES}})


def keep(artifacts: Path, evidence: Path, gates: Sequence[GateOptions]) -> str | None:
    """Copy the answers that a gate asks for into the evidence; their sha256, None where none asks or the step left none."""
    source = artifacts / "earlier_tasks" / "out" / FILE
    if not any(gate.earlier_tasks for gate in gates) or not source.is_file():
        return None
    files.write_bytes(evidence / FILE, source.read_bytes())
    return files.sha256_file(evidence / FILE)


def read(evidence: Path, sha: str | None) -> dict[str, EarlierAnswers] | None:
    """The answers, a task at a time; None where none were kept. EnvironmentFault where the file is not the one that was kept."""
    if sha is None:
        return None
    columns = pq.read_table(unchanged(evidence / FILE, sha)).to_pydict()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(columns["task"]):
        rows.setdefault(name, []).append(row)
    by_task = {name: {column: [columns[column][row] for row in places] for column in ("label", *STAGES)} for name, places in rows.items()}
    return {name: EarlierAnswers(answers.pop("label"), answers) for name, answers in by_task.items()}
