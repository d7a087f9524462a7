"""What speaks against single test rows, as files: made by the steps ``overlap`` and ``suspects``, kept with a decision.

Both steps exist only where a gate needs them, and only then are their files part of the evidence::

    overlap.parquet    id, kind, source, share, of            of every test row
    suspects.parquet   id, suggested, p_label, p_suggested    of test rows whose label is suspect

``suspects`` looks at all labelled rows and leaves split, text and label beside these. No text goes into the evidence of a
decision; the report keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from regraft.data.contamination import Overlap
from regraft.data.tables import write_table
from regraft.evaluation.label_issues import Suspect

OVERLAP, SUSPECTS = "overlap.parquet", "suspects.parquet"
FILES = (OVERLAP, SUSPECTS)
SHARED = ("kind", "source", "share", "of")
DOUBT = ("suggested", "p_label", "p_suggested")


def load_overlap(path: Path) -> dict[str, Overlap]:
    """What every test row shares with training texts, by id."""
    return _by_id(pq.read_table(path).to_pydict(), Overlap, *SHARED)


def keep_suspects(source: Path, target: Path) -> bool:
    """Copy those of test rows, without their texts."""
    suspects = pq.read_table(source, filters=[("split", "=", "test")]).to_pydict()
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, {name: suspects[name] for name in ("id", *DOUBT)})
    return True


def load_suspects(path: Path) -> dict[str, Suspect]:
    """What :func:`keep_suspects` kept, by id."""
    return _by_id(pq.read_table(path).to_pydict(), Suspect, *DOUBT)


def write_overlap(path: Path, overlaps: Mapping[str, Overlap]) -> None:
    """Write the output of the step ``overlap``, by id."""
    ids = sorted(overlaps)
    _write(path, {"id": ids, **{name: [getattr(overlaps[row], name) for row in ids] for name in SHARED}})


def write_suspects(path: Path, rows: Mapping[str, Sequence[Any]], suspects: Mapping[int, Suspect]) -> None:
    """Write the output of the step ``suspects``: of the labelled ``rows`` (id, split, text, label) those in ``suspects``, in its order."""
    columns = {name: [rows[name][row] for row in suspects] for name in ("id", "split", "text", "label")}
    _write(path, {**columns, **{name: [getattr(suspect, name) for suspect in suspects.values()] for name in DOUBT}})


def _write(path: Path, columns: Mapping[str, list[Any]]) -> None:
    numbers = {"share", "p_label", "p_suggested"} & columns.keys()
    write_table(path, columns, **dict.fromkeys(sorted(numbers), pa.float64()))


def _by_id(columns: Mapping[str, list[Any]], kind: Callable[..., Any], *names: str) -> dict[str, Any]:
    return {row: kind(*values) for row, *values in zip(columns["id"], *(columns[name] for name in names), strict=True)}
