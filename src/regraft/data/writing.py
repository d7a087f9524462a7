"""Parquet files that are written piece by piece and are the same bytes as if they had been written whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 2**20
"""Rows in a row group: pyarrow's own limit, so that a table written in pieces is the same bytes as one written whole."""
GROUP_BYTES = 2**27
"""Pieces are written out at 128 MB at the latest, however long their texts are."""


class TableWriter:
    """One Parquet file from tables that come one after the other; never more than a row group of them in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._written = False

    def write(self, table: pa.Table) -> None:
        """Take in ``table``."""
        self._waiting.append(table)
        while (rows := sum(len(part) for part in self._waiting)) >= GROUP_ROWS or sum(part.nbytes for part in self._waiting) >= GROUP_BYTES:
            whole = pa.concat_tables(self._waiting)
            self._waiting = [whole.slice(GROUP_ROWS)] if rows > GROUP_ROWS else []
            self._group(whole.slice(0, GROUP_ROWS))

    def _group(self, table: pa.Table) -> None:
        self._writer.write_table(table.combine_chunks(), row_group_size=GROUP_ROWS)
        self._written = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and (self._waiting or not self._written):
            self._group(pa.concat_tables([self._schema.empty_table(), *self._waiting]))
        self._writer.close()
