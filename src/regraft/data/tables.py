"""Parquet files that are the same bytes for the same rows: plain strings, no index, no pandas metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS, GROUP_CHARS = 2**16, 2**25
"""A row group of documents ends at the first of these: whoever reads or writes one holds that much."""


def write_table(path: Path, columns: Mapping[str, Iterable[Any]], **types: pa.DataType) -> None:
    """Write ``columns`` (strings unless ``types`` says otherwise), all of one length, rows in the order given."""
    table = pa.table({name: pa.array(list(values), types.get(name, pa.string())) for name, values in columns.items()})
    pq.write_table(table, path, compression="zstd")


def write_documents(path: Path, documents: Iterable[tuple[str, bool]]) -> None:
    """Write (text, held out) pairs as the columns text and heldout, a row group at a time."""
    schema = pa.schema({"text": pa.string(), "heldout": pa.bool_()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(documents):
            columns = zip(*group, strict=True)
            writer.write_table(
                pa.table([pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)], schema=schema)
            )


def _groups(documents: Iterable[tuple[str, bool]]) -> Iterator[list[tuple[str, bool]]]:
    group: list[tuple[str, bool]] = []
    size = 0
    for text, heldout in documents:
        group.append((text, heldout))
        size += len(text)
        if len(group) == GROUP_ROWS or size >= GROUP_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group
