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

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.data.contamination import Overlap
from regraft.data.tables import write_table
from regraft.evaluation.label_issues import Suspect
from regraft.gates.evidence import unchanged
from regraft.gates.options import GateOptions
from regraft.gates.row_quality import RowQuality

OVERLAP, SUSPECTS = "overlap.parquet", "suspects.parquet"
FILES = (OVERLAP, SUSPECTS)
SHARED = ("kind", "source", "share", "of")
DOUBT = ("suggested", "p_label", "p_suggested")


def keep(artifacts: Path, evidence: Path, gates: Sequence[GateOptions]) -> dict[str, str]:
    """Copy what ``gates`` need into the evidence; ``{file: its sha256}``, empty for most pipelines.

    :param artifacts: the folder with the outputs of the pipeline's steps.
    """
    digests = {}
    if any(gate.rows for gate in gates):
        source = artifacts / "overlap" / "out" / OVERLAP
        if not source.is_file():
            raise EnvironmentFault(f"{source} is not there: the step 'overlap' never ran here", fix=f"regraft run {artifacts.name}")
        files.write_bytes(evidence / OVERLAP, source.read_bytes())
        digests[OVERLAP] = files.sha256_file(evidence / OVERLAP)
    source = artifacts / "suspects" / "out" / SUSPECTS
    if any(gate.negative_flips for gate in gates) and source.is_file():  # a workspace of an earlier version lacks the step
        suspects = pq.read_table(source, filters=[("split", "=", "test")]).to_pydict()
        evidence.mkdir(parents=True, exist_ok=True)
        _write(evidence / SUSPECTS, {name: suspects[name] for name in ("id", *DOUBT)})
        digests[SUSPECTS] = files.sha256_file(evidence / SUSPECTS)
    return digests


def read(evidence: Path, kept: Mapping[str, str]) -> RowQuality:
    """What :func:`keep` kept. EnvironmentFault where a file is not the one that was kept."""
    tables = {name: pq.read_table(unchanged(evidence / name, sha)).to_pydict() for name, sha in kept.items()}
    return RowQuality(
        _by_id(tables[OVERLAP], Overlap, *SHARED) if OVERLAP in tables else None,
        _by_id(tables[SUSPECTS], Suspect, *DOUBT) if SUSPECTS in tables else None,
    )


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
