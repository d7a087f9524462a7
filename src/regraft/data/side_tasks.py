"""Labelled rows of other tasks, which a model learns beside its own or before it.

Nothing is quarantined: a row with a fault is an error, as where earlier tasks are measured, because what was read has to be said.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault, Problem
from regraft.core.progress import current
from regraft.data.earlier_tasks import read_pairs
from regraft.data.options import SideRows
from regraft.data.sources import Source, reject


def read_side_task(name: str, rows: SideRows) -> list[tuple[str, str]]:
    """(text, label) of every different row of the task ``name``, sorted; its file is relative to the current folder.

    :raises DataRejected: a file or a row cannot be read, or there are not two classes.
    :raises EnvironmentFault: the files are not those of ``rows.digest``.
    """
    path, key = Path(rows.data), f"finetune.tasks.{name}.data"
    if not path.exists() or files.digest(path) != rows.digest:
        raise EnvironmentFault(
            f"{key} ({rows.data}) changed since the run began; nothing was kept", fix=f"regraft run {current().pipeline}"
        )
    source = Source(key, path, rows.data)
    read = sorted(set(read_pairs(source, rows, {})))
    classes = Counter(label for _, label in read)
    if len(classes) < 2:
        message = f"every row is of the class {next(iter(classes))!r}" if classes else "there is no row"
        fix = f"add rows of another class to {rows.data}, or take the task out"
        reject(f"{key} ({rows.data}) is nothing to learn", [Problem(message=message, file=rows.data, rule="classes.enough", fix=fix)])
    return read
