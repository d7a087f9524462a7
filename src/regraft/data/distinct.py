"""Every text once, in the order in which texts are compared, on disk.

Labelled rows come first, as they are given; documents follow, ordered by the sha256 of their normalised text, so that
neither the order of files nor that of lines has any influence. Of documents that are the same when normalised the one
with the smallest text, then place, stays. Texts lie in a :class:`regraft.data.spool.Spool`, first as they were read,
then in this order: about 100 bytes of each are in memory, 16 of them its hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from regraft.core.progress import watched
from regraft.data.dedup import normalise
from regraft.data.documents import Document
from regraft.data.spool import Spool

Ints = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint64]
"""First 128 bits of a sha256 as two numbers, [texts, 2]: two of 10**12 texts share them with probability 1e-15."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A text that equals another one when normalised."""

    name: str
    of: int
    """The number of the other in the spool."""
    labelled: bool


@dataclass(frozen=True)
class Distinct:
    """The texts that differ, and the copies of them."""

    texts: Spool
    """(id, text) of labelled rows, then (place, text) of documents, by number."""
    rows: int
    """So many of ``texts`` are labelled rows."""
    read: int
    """Documents read, copies included."""
    copies: list[Copy]


def find_distinct(rows: Sequence[tuple[str, str]], documents: Iterable[Document], scratch: Path) -> Distinct:
    """The distinct texts among labelled ``rows`` (id, text) and ``documents``, below ``scratch``."""
    every_text = Spool(scratch)
    hashes = bytearray()
    document_texts = ((document.where, document.text) for document in watched(documents, "documents"))
    for name, text in chain(rows, document_texts):
        every_text.append(name, text)
        hashes += hashlib.sha256(normalise(text).encode()).digest()[:16]
    every_text.flush()
    digests = np.frombuffer(hashes, ">u8").reshape(-1, 2).astype(np.uint64)
    order = np.concatenate([np.arange(len(rows)), len(rows) + _sorted(digests[len(rows) :])])
    firsts = _firsts(digests[order])
    _smallest_first(order, firsts, len(rows), every_text)

    texts = Spool(scratch)
    is_first = firsts == np.arange(len(firsts))
    for number in order[is_first].tolist():
        texts.append(*every_text[number])
    texts.flush()
    numbers = np.cumsum(is_first) - 1
    again = np.flatnonzero(~is_first)
    copies = [
        Copy(every_text[number][0], of, place < len(rows))
        for place, number, of in zip(again.tolist(), order[again].tolist(), numbers[firsts[again]].tolist(), strict=True)
    ]
    return Distinct(texts, int(np.count_nonzero(is_first[: len(rows)])), len(every_text) - len(rows), copies)


def _sorted(digests: Digests) -> Ints:
    return np.lexsort((digests[:, 1], digests[:, 0]))


def _firsts(digests: Digests) -> Ints:
    """The first place with the same digest, for each place."""
    order = _sorted(digests)  # stable: equal ones keep their order
    ordered = digests[order]
    new = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))[: len(order)]
    firsts = np.empty(len(order), np.int64)
    firsts[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return firsts


def _smallest_first(order: Ints, firsts: Ints, rows: int, texts: Spool) -> None:
    """Put the document with the smallest (text, place) first among those with the same digest; they stand side by side."""
    heads, counts = np.unique(firsts[rows:], return_counts=True)
    several = (counts > 1) & (heads >= rows)
    for head, count in zip(heads[several].tolist(), counts[several].tolist(), strict=True):
        best = min(range(head, head + count), key=lambda place: texts[int(order[place])][::-1])
        order[[head, best]] = order[[best, head]]
