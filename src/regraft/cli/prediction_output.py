"""Answers of a model as a file that a spreadsheet, a notebook or a database reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.sheets import cell

if TYPE_CHECKING:
    from regraft.cli.prediction_input import Asked
    from regraft.evaluation.answering import Answer

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def require_format(path: Path) -> None:
    """ConfigError before anything is asked, where the name says no format, or there is no folder for it."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {path}: answers are written as {', '.join(FORMATS)}", fix=f"--out {path.with_suffix('.csv')}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out {path}: the folder is not there", fix=f"mkdir -p {path.parent}")


def write(path: Path, questions: Sequence[Asked], answers: Sequence[Answer]) -> None:
    """One row an answer, in the order of the questions; columns that no row has a value for are left out."""
    rows: list[dict[str, Any]] = [
        {
            "id": item.id,
            "file": item.file,
            "row": item.row,
            "text": item.text,
            "label": reply.label,
            "p": round(reply.p, 6),
            "abstains": reply.abstains,
        }
        for item, reply in zip(questions, answers, strict=True)
    ]
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else ["text", "label", "p"]
    if "id" in columns and all(row["id"] is not None for row in rows):
        columns = [name for name in columns if name not in ("file", "row")]
    try:
        files.write_bytes(path, _bytes(path.suffix.lower(), columns, rows))
    except OSError as fault:
        raise EnvironmentFault(f"{path} cannot be written: {fault.strerror or fault}", fix=f"ls -ld {path.parent}") from fault


def _bytes(suffix: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in columns}), sink, compression="zstd")
        return sink.getvalue()
    if suffix == ".jsonl":
        lines = (json.dumps({name: row[name] for name in columns}, ensure_ascii=False) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()
    text = io.StringIO()
    sheet = csv.writer(text, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
    sheet.writerow(columns)
    sheet.writerows([[cell(row[name]) for name in columns] for row in rows])
    return text.getvalue().encode()
