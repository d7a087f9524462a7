"""Which rows share a value that has to be unique, over any number of rows.

Great Expectations sees one chunk at a time, so what it says of uniqueness ends where the chunk ends. Here a value is
its hash: 64 bits of every value tell which can stand there twice at all, 64 further bits of those settle it. Two
different values among 10,000,000 then count as one with a probability of 10**14 / 2**129, below 10**-24.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from regraft.data.chunks import Bools, ChunkStore

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
FIRST, SECOND = "regraft 1st half", "regraft 2nd half"
"""Keys of SipHash, 16 characters each."""


def hashes(values: Sequence[str | None], key: str = FIRST) -> pa.Array:
    """64 bits a value (SipHash-2-4, pandas' own); null for a missing one. 0.13 µs a value."""
    import pandas as pd

    missing = np.fromiter((value is None for value in values), np.bool_, len(values))
    filled = np.array([value or "" for value in values], dtype=object)
    return pa.array(pd.util.hash_array(filled, hash_key=key, categorize=False), mask=missing)


class Repeats:
    """The rows of one column whose value another row has too: 16 bytes of memory for each, none for the rest."""

    def __init__(self, store: ChunkStore, column: str, hashed: str) -> None:
        suspects, first, second = _suspects(store, column, hashed)
        order = np.lexsort((suspects, second, first))
        first, second, ordered = first[order], second[order], suspects[order]
        begins = (
            np.flatnonzero(np.r_[True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])]) if len(ordered) else np.empty(0, np.int64)
        )
        sizes = np.diff(np.r_[begins, len(ordered)])
        group = np.repeat(np.arange(len(begins)), sizes)
        several = (sizes > 1)[group] if len(group) else np.empty(0, np.bool_)
        self._ordered, self._begins, self._sizes = ordered, begins, sizes
        """Rows by value, then by number; where each value begins; how many rows have it."""
        by_row = np.argsort(ordered[several])
        self._rows: Numbers = ordered[several][by_row]
        self._groups: Numbers = group[several][by_row]
        self.masks: list[Bools] = [self._mask(start, len(chunk)) for start, chunk in zip(store.starts, store.tables, strict=True)]
        """Which rows share their value, a mask for every chunk."""

    def _mask(self, start: int, rows: int) -> Bools:
        low, high = np.searchsorted(self._rows, [start, start + rows])
        mask = np.zeros(rows, np.bool_)
        mask[self._rows[low:high] - start] = True
        return mask

    def sharing(self, row: int, most: int) -> tuple[list[int], int]:
        """The first ``most`` rows that have the value of ``row``, itself among them, and how many have it."""
        group = self._groups[np.searchsorted(self._rows, row)]
        begin, size = int(self._begins[group]), int(self._sizes[group])
        return self._ordered[begin : begin + min(size, most)].tolist(), size


def _suspects(store: ChunkStore, column: str, hashed: str) -> tuple[Numbers, Hashes, Hashes]:
    """Numbers of the rows whose first hash stands there more than once, with both hashes."""
    every = np.concatenate([np.empty(0, np.uint64), *(table[hashed].drop_null().to_numpy() for table in store.tables)])
    every.sort()
    twice = np.unique(every[1:][every[1:] == every[:-1]])
    del every  # 80 MB for 10,000,000 rows
    rows, first, second = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for start, table in zip(store.starts, store.tables, strict=True) if len(twice) else ():
        chunk_hashes = table[hashed].fill_null(0).to_numpy()
        at = np.minimum(np.searchsorted(twice, chunk_hashes), len(twice) - 1)
        suspects = np.flatnonzero((twice[at] == chunk_hashes) & table[hashed].is_valid().to_numpy())
        if len(suspects):
            rows.append(suspects + start)
            first.append(chunk_hashes[suspects])
            second.append(hashes(table[column].take(pa.array(suspects)).to_pylist(), SECOND).to_numpy())
    return np.concatenate(rows), np.concatenate(first), np.concatenate(second)
