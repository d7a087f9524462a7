"""Parquet files that are the same bytes for the same rows: plain strings, no index, no pandas metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_table(path: Path, columns: Mapping[str, Iterable[Any]], **types: pa.DataType) -> None:
    """Write ``columns`` (strings unless ``types`` says otherwise), all of one length, rows in the order given."""
    table = pa.table({name: pa.array(list(values), types.get(name, pa.string())) for name, values in columns.items()})
    pq.write_table(table, path, compression="zstd")


def write_documents(path: Path, documents: Sequence[tuple[str, bool]]) -> None:
    """Write (text, held out) pairs as the columns text and heldout."""
    write_table(path, {"text": [text for text, _ in documents], "heldout": [held for _, held in documents]}, heldout=pa.bool_())
