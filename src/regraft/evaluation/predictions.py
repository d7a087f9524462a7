"""Predictions as evidence: one Parquet file per model and set of rows, the same bytes for the same numbers.

Columns: id, label, pred (strings) and p (list<float32>, in the order of the labels in the file's metadata), sorted
by id. Probabilities differ by about 1e-8 with the padding of a batch, so what decides is always the stored file,
never a second pass of the model. Pages carry checksums: a bit that flipped on disk is an error, not another number.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats.paired import Predictions

LABELS, MODEL, ROWS = b"regraft.labels", b"regraft.model", b"regraft.rows"
COLUMNS = ("id", "label", "pred", "p")


@dataclass(frozen=True)
class Table:
    """The predictions of one model: parallel columns, sorted by id."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    """True labels."""
    preds: tuple[str, ...]
    p: NDArray[np.float32]
    """[rows, classes]"""
    classes: tuple[str, ...]
    """What the columns of ``p`` stand for."""
    model: str | None = None
    """Digest of the model; None where the file does not say it."""
    rows: str | None = None
    """Digest of the rows; None where the file does not say it."""

    @classmethod
    def of(cls, ids: Sequence[str], labels: Sequence[str], p: NDArray[np.float32], classes: Sequence[str]) -> Table:
        """The table of rows that come in any order; the prediction is the most probable class, the first of equals."""
        if p.shape != (len(ids), len(classes)):
            raise ValueError(f"probabilities have shape {p.shape} for {len(ids)} rows and {len(classes)} classes")
        order = sorted(range(len(ids)), key=ids.__getitem__)
        p = np.ascontiguousarray(p[order], dtype=np.float32)
        return cls(
            ids=tuple(ids[i] for i in order),
            labels=tuple(labels[i] for i in order),
            preds=tuple(classes[i] for i in p.argmax(axis=1)),
            p=p,
            classes=tuple(classes),
        )

    def for_gates(self) -> Predictions:
        """What the gates read: answers, and the rows whose probabilities are unusable."""
        bad = np.flatnonzero(~np.isfinite(self.p).all(axis=1))
        return Predictions(self.ids, self.labels, self.preds, tuple(self.ids[i] for i in bad), self.p, self.classes)


def write(path: Path, table: Table, *, model: str | None = None, rows: str | None = None) -> None:
    """Write ``table``; ``model`` and ``rows`` are digests that a store wants to find in the file."""
    metadata = {LABELS: json.dumps(table.classes, ensure_ascii=False).encode()}
    metadata |= {key: value.encode() for key, value in ((MODEL, model), (ROWS, rows)) if value is not None}
    offsets = pa.array(np.arange(len(table.ids) + 1) * len(table.classes), pa.int32())
    probabilities = pa.ListArray.from_arrays(offsets, pa.array(table.p.reshape(-1), pa.float32()))
    columns = [pa.array(column, pa.string()) for column in (table.ids, table.labels, table.preds)]
    arrow = pa.table([*columns, probabilities], names=list(COLUMNS)).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd", write_page_checksum=True)
    files.write_bytes(path, buffer.getvalue())


def read(path: Path) -> Table:
    """Read a file of :func:`write`. EnvironmentFault when it is not one, or its bytes changed on disk."""
    try:
        arrow = pq.read_table(io.BytesIO(path.read_bytes()), page_checksum_verification=True)
        metadata = arrow.schema.metadata or {}
        classes = tuple(json.loads(metadata[LABELS]))
        ids, labels, preds = (tuple(arrow.column(name).to_pylist()) for name in COLUMNS[:3])
        p = arrow.column("p").combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(ids), len(classes))
    except (OSError, pa.ArrowException, KeyError, ValueError) as fault:
        raise EnvironmentFault(f"{path} does not hold predictions that can be read: {fault}") from fault
    model, rows = (metadata[key].decode() if key in metadata else None for key in (MODEL, ROWS))
    return Table(ids, labels, preds, p, classes, model, rows)


def rows_digest(ids: Iterable[str], texts: Iterable[str], labels: Iterable[str]) -> str:
    """Digest of test rows: of what they say, not of the file they came from or their order in it."""
    return files.sha256_text(files.canonical(sorted(zip(ids, texts, labels, strict=True))))
