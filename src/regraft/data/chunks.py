"""Rows on disk in the order of reading, given back in the order of a key: an external merge sort on Arrow files.

A chunk of rows is one uncompressed Arrow file, mapped into memory when it is read, so that what is in memory at any
time is one chunk and one bucket of the result, however many rows there are. Chunks are sorted one by one; a sample of
their keys cuts the range of keys into buckets; each bucket gathers its slice of every chunk and is sorted in memory.
(Knuth, The Art of Computer Programming 3, section 5.4.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.uint32]

BUCKET_ROWS = 2**16
BUCKET_BYTES = 2**25
"""A bucket's share of the store at most, on average: long texts make it hold fewer rows."""
SAMPLES = 64
"""Keys looked at for each bucket that the result will have: they differ from their mean by an eighth."""


class ChunkStore:
    """Chunks of rows below ``folder``, in the order in which they were appended."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.tables: list[pa.Table] = []
        self.starts: list[int] = []
        """Number of the first row of each chunk."""
        self.rows = 0

    def append(self, columns: Mapping[str, pa.Array]) -> None:
        """Write one chunk."""
        path = self._folder / f"{len(self.tables):06d}.arrow"
        table = pa.table(dict(columns))
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        with pa.memory_map(str(path)) as mapped:
            self.tables.append(pa.ipc.open_file(mapped).read_all())
        self.starts.append(self.rows)
        self.rows += len(table)

    def place(self, row: int) -> tuple[pa.Table, int]:
        """The chunk that holds the ``row``-th row, and its index there."""
        chunk = bisect_right(self.starts, row) - 1
        return self.tables[chunk], row - self.starts[chunk]

    def in_order(self, key: str, kept: Sequence[Bools], columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows where ``kept`` holds, by ``key`` (strings, by their UTF-8 bytes, which is by code points; none missing).

        A column that a chunk does not have is missing in its rows.
        """
        runs = [_run(table[key], mask) for table, mask in zip(self.tables, kept, strict=True)]
        begun = [0] * len(runs)
        for limit in [*self._cuts(key, runs), None]:
            parts = []
            for number, (table, run) in enumerate(zip(self.tables, runs, strict=True)):
                start, end = begun[number], _end(table[key].chunk(0), run, begun[number], limit)
                if end > start:
                    parts.append(_taken(table, run[start:end], columns))
                begun[number] = end
            if parts:
                bucket = pa.concat_tables(parts).combine_chunks()
                yield bucket.take(pc.sort_indices(bucket[key])) if len(parts) > 1 else bucket

    def _cuts(self, key: str, runs: Sequence[Positions]) -> list[str]:
        """Keys between the buckets, ascending."""
        total = sum(map(len, runs))
        size = sum(table.nbytes for table in self.tables)
        buckets = max(-(-total // BUCKET_ROWS), -(-size // BUCKET_BYTES))
        if buckets < 2 or not total:
            return []
        every = max(1, total // (buckets * SAMPLES))
        sample = sorted(
            k for table, run in zip(self.tables, runs, strict=True) for k in table[key].take(pa.array(run[::every])).to_pylist()
        )
        return sorted({sample[len(sample) * cut // buckets] for cut in range(1, buckets)})


def _run(keys: pa.ChunkedArray, mask: Bools) -> Positions:
    """Positions where ``mask`` holds, by key."""
    chosen: Positions = np.flatnonzero(mask).astype(np.uint32)
    order: npt.NDArray[np.uint64] = pc.sort_indices(keys.take(pa.array(chosen))).to_numpy()
    return chosen[order]


def _end(keys: pa.StringArray, run: Positions, start: int, limit: str | None) -> int:
    """Where the keys above ``limit`` begin in ``run``: a key equal to the limit belongs to the bucket that ends with it."""
    return len(run) if limit is None else bisect_right(range(len(run)), limit, lo=start, key=lambda at: str(keys[int(run[at])]))


def _taken(table: pa.Table, positions: Positions, columns: Sequence[str]) -> pa.Table:
    rows = pa.array(positions)
    absent = pa.nulls(len(rows), pa.string())
    return pa.table({name: table[name].take(rows) if name in table.column_names else absent for name in columns})
