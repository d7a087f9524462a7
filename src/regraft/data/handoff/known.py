"""The rows that a pipeline has, as numbers to compare others with: 40 bytes a row, and its id.

A text, what else a row holds, and a text without case and white space are 64 bits each. Two different values are taken for one another
with a probability of 10**-19 for each pair that is compared; of 2,000,000 texts any two are alike by chance with 10**-7.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from regraft.data.options import TaskOptions
from regraft.data.rows import Row
from regraft.data.uniqueness import FIRST

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
PIECE = 2**16


@dataclass(frozen=True)
class Numbers:
    """What some rows hold, by row: ``text`` as it stands, ``alike`` as it is compared, ``label`` (a code), ``rest``: all other columns,
    ``length``: characters of the text."""

    text: Hashes
    alike: Hashes
    label: Ints
    rest: Hashes
    length: Ints


class Labels:
    """Labels and the codes that stand for them; -1 is none."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str | None, int] = {None: -1}

    def code(self, label: str | None) -> int:
        if (code := self._codes.get(label)) is None:
            code = self._codes[label] = len(self.names)
            self.names.append(str(label))
        return code

    def name(self, code: int) -> str | None:
        return None if code < 0 else self.names[code]


def alike(text: str) -> str:
    """A text as it is compared: without case, and each run of white space one blank (as :func:`regraft.data.dedup.normalise`)."""
    if text.isascii():  # a third of the time
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def numbers(values: Sequence[dict[str, str | None]], task: TaskOptions, labels: Labels) -> Numbers:
    """Of rows, given as their values."""
    texts = [text_of(row, task) or "" for row in values]
    used = {task.id_column, task.label, *task.texts}
    rest = ["\x1e".join(f"{name}\x1f{row[name]}" for name in sorted(row) if name not in used and row[name] is not None) for row in values]
    codes = np.array([labels.code(row.get(task.label)) for row in values], np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return Numbers(hashed(texts), hashed([alike(text) for text in texts]), codes, hashed(rest), lengths)


def text_of(values: dict[str, str | None], task: TaskOptions) -> str | None:
    """The text of a row, of a pair both; None: it has none."""
    texts = [values.get(name) for name in task.texts]
    return None if None in texts else "\x1f".join(map(str, texts))


def hashed(texts: Sequence[str]) -> Hashes:
    """64 bits of each (SipHash-2-4 by pandas: 0.13 µs a value)."""
    import pandas as pd

    hashes: Hashes = pd.util.hash_array(np.array(texts, dtype=object), hash_key=FIRST, categorize=False)
    return hashes


@dataclass
class Known:
    """Rows by their id, in the order of reading."""

    task: TaskOptions
    labels: Labels = field(default_factory=Labels)
    position: dict[str, int] = field(default_factory=dict)
    """id -> its first row."""
    ids: list[str | None] = field(default_factory=list)
    numbers: Numbers = field(default_factory=lambda: _joined([]))

    @classmethod
    def of(cls, rows: Iterable[Row], task: TaskOptions) -> Known:
        """Of ``rows``, of which each has to be whole."""
        known, pieces = cls(task), list[Numbers]()
        for piece in in_pieces(rows):
            for row in piece:
                key = row.values.get(task.id_column)
                if key is not None:
                    known.position.setdefault(key, len(known.ids))
                known.ids.append(key)
            pieces.append(numbers([row.values for row in piece], task, known.labels))
        known.numbers = _joined(pieces)
        return known

    def __len__(self) -> int:
        return len(self.ids)

    def by_label(self) -> Counter[str]:
        """How many rows have each label."""
        codes, counts = np.unique(self.numbers.label[self.numbers.label >= 0], return_counts=True)
        return Counter({self.labels.names[code]: count for code, count in zip(codes.tolist(), counts.tolist(), strict=True)})


def in_pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """``rows``, so many at a time as are compared at once."""
    remaining = iter(rows)
    while piece := list(islice(remaining, PIECE)):
        yield piece


def _joined(pieces: Sequence[Numbers]) -> Numbers:
    none, no_label = np.empty(0, np.uint64), np.empty(0, np.int64)
    return Numbers(
        np.concatenate([none, *(piece.text for piece in pieces)]),
        np.concatenate([none, *(piece.alike for piece in pieces)]),
        np.concatenate([no_label, *(piece.label for piece in pieces)]),
        np.concatenate([none, *(piece.rest for piece in pieces)]),
        np.concatenate([no_label, *(piece.length for piece in pieces)]),
    )
