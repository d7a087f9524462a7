"""Pairs of texts that are probably alike, in memory that does not grow with their number.

A MinHash signature (rensa) is cut into bands; texts that agree in a band are candidates (Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", section 3.4). Of each text two things stay, on disk: a 32-bit key of every band, and the
low byte of every permutation's minimum (b-bit minwise hashing, Li and König 2010). A candidate whose bytes agree too
rarely for the threshold goes unread: of 1,000,000 documents each meets some 70 others in a band, and hardly one of
them is like it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from regraft.data.spool import on_disk

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Pairs = tuple[Ints, Ints]

SHINGLE = 5
"""Characters in a shingle: the usual choice for short texts (Mining of Massive Datasets, 3.2.2)."""
PERMUTATIONS = 128
RECALL = 0.999
"""Probability with which a pair exactly at the threshold becomes a candidate."""
MISSED = 1e-12
"""Probability with which the bytes of a pair exactly at the threshold agree too rarely."""
BATCH_CHARS = 500_000
"""Characters hashed at once: 4 MB of shingle hashes."""
PAIRS = 10_000
"""Pairs compared at once: 2.6 MB of their bytes, which fit into the cache of a core."""
ALONE = np.uint32(2**32 - 1)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: Knuth, TAOCP 3, section 6.4


@dataclass(frozen=True)
class Sketches:
    """What is kept of each text."""

    keys: npt.NDArray[np.uint32]
    """Key of each band, [bands, texts]."""
    bytes: npt.NDArray[np.uint8]
    """Low byte of each permutation's minimum, [texts, PERMUTATIONS]."""


def windows(text: str, width: int) -> Hashes:
    """64-bit hashes of all ``width``-character windows of ``text``; one hash of the whole if it is shorter.

    The hash is a polynomial in :data:`MULTIPLIER`, so that of a window follows from those of its halves: 4
    multiplications for 16 characters.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    if not len(codes):
        return np.zeros(1, np.uint64)
    hashes, span, power = codes, 1, int(MULTIPLIER)
    for bit in f"{min(width, len(codes)):b}"[1:]:
        hashes = hashes[:-span] * np.uint64(power) + hashes[span:]
        span, power = 2 * span, power * power % 2**64
        if bit == "1":
            hashes = hashes[:-1] * MULTIPLIER + codes[span:]
            span, power = span + 1, power * int(MULTIPLIER) % 2**64
    return hashes ^ (hashes >> np.uint64(32))


def bands_for(threshold: float) -> int:
    """Fewest bands of the signature that still find a pair at ``threshold`` with probability :data:`RECALL`.

    A pair of similarity s shares one of b bands of r rows with probability 1 - (1 - s^r)^b.
    """
    for bands in (1, 2, 4, 8, 16, 32, 64):
        if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= RECALL:
            return bands
    return PERMUTATIONS


def least_agreement(threshold: float) -> int:
    """Permutations in which a pair at ``threshold`` agrees at least, but for a probability of :data:`MISSED`.

    Their number is binomial: 67 of 128 at 0.8. Bytes agree where the minima do, and by chance.
    """
    below = 0.0
    for agreeing in range(PERMUTATIONS):
        below += math.comb(PERMUTATIONS, agreeing) * threshold**agreeing * (1 - threshold) ** (PERMUTATIONS - agreeing)
        if below > MISSED:
            return agreeing
    return PERMUTATIONS


def sketch(texts: Iterable[str], count: int, bands: int, seed: int, folder: Path) -> Sketches:
    """The sketches of ``count`` texts, below ``folder``: 256 bytes a text with 32 bands."""
    sketches = Sketches(on_disk(folder, np.uint32, (bands, count)), on_disk(folder, np.uint8, (count, PERMUTATIONS)))
    start = 0
    for batch in _batches(texts):
        signatures = _signatures(batch, seed)
        end = start + len(batch)
        sketches.keys[:, start:end] = _keys(signatures, bands).T
        sketches.bytes[start:end] = signatures.astype(np.uint8)
        start = end
    return sketches


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _signatures(texts: list[str], seed: int) -> npt.NDArray[np.uint32]:
    """MinHash signatures, [texts, PERMUTATIONS]."""
    hashed = [windows(text, SHINGLE) for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(hashes) for hashes in hashed])]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(hashed), offsets, num_perm=PERMUTATIONS, seed=seed)
    return np.array(matrix.to_rows(), np.uint32)


def _keys(signatures: npt.NDArray[np.uint32], bands: int) -> npt.NDArray[np.uint32]:
    """A 32-bit hash of each band, [texts, bands]; two that meet by chance are one more candidate to look at."""
    rows = signatures.reshape(len(signatures), bands, PERMUTATIONS // bands).astype(np.uint64)
    keys = np.zeros((len(rows), bands), np.uint64)
    for column in range(rows.shape[2]):
        keys = (keys ^ rows[:, :, column]) * MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return (keys >> np.uint64(32)).astype(np.uint32)


class Buckets:
    """Which texts share a band. Of the texts seen so far only those that stayed are remembered.

    The members of a bucket stand side by side in ``_members``, in as many places as there are texts in it. A cluster
    of m texts that repeat each other costs about m comparisons, not m squared.
    """

    def __init__(self, sketches: Sketches, threshold: float, folder: Path) -> None:
        self._bytes, self._least = sketches.bytes, least_agreement(threshold)
        self._heads = sketches.keys
        """Where the bucket begins in its band's part of ``_members``, or ALONE, [bands, texts]."""
        for band in self._heads:
            band[:] = _heads(band)
        self._count = self._heads.shape[1]
        self._members = on_disk(folder, np.uint32, (self._heads.size,))
        self._filled = on_disk(folder, np.uint32, (self._heads.size,))
        """How many members a bucket has so far, at its beginning."""

    def with_kept(self, texts: Ints) -> Pairs:
        """Probably similar pairs (text, kept text), sorted, each once."""
        bucket, text = self._shared(texts)
        return self._alike(
            (text[entry], self._members[bucket[entry] + offset].astype(np.int64)) for entry, offset in _expanded(self._filled[bucket])
        )

    def within(self, texts: Ints) -> Pairs:
        """Probably similar pairs (text, earlier text) inside ``texts``, sorted, each once."""
        bucket, text = self._shared(texts)
        return self._alike((text[entry], text[entry - 1 - offset]) for entry, offset in _expanded(_places(bucket)))

    def keep(self, texts: Ints) -> None:
        """Remember ``texts``, which come after all that were kept before."""
        bucket, text = self._shared(texts)
        places = _places(bucket)
        self._members[bucket + self._filled[bucket] + places] = text
        last = np.flatnonzero(np.append(bucket[1:] != bucket[:-1], True)[: len(bucket)])
        self._filled[bucket[last]] += (places[last] + 1).astype(np.uint32)

    def _shared(self, texts: Ints) -> tuple[Ints, Ints]:
        """(bucket, text) of the sorted ``texts`` in buckets that hold more than one, sorted."""
        heads = self._heads[:, texts]
        band, place = np.nonzero(heads != ALONE)
        bucket = band * self._count + heads[band, place]
        order = np.argsort(bucket, kind="stable")
        return bucket[order], texts[place[order]]

    def _alike(self, candidates: Iterable[Pairs]) -> Pairs:
        """The candidates whose bytes agree often enough."""
        codes = [np.empty(0, np.int64)]
        for left, right in candidates:
            equal = np.take(self._bytes, left, axis=0) == np.take(self._bytes, right, axis=0)  # 5 times faster than [left]
            agreeing = equal.sum(axis=1, dtype=np.uint8)
            alike = agreeing >= self._least
            codes.append(left[alike] * self._count + right[alike])
        return np.divmod(np.unique(np.concatenate(codes)), self._count)


def _heads(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The place of each key's first among the sorted keys, or ALONE if there is no second."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    alone = first & np.append(first[1:], True)
    places = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0)).astype(np.uint32)
    heads = np.empty_like(places)
    heads[order] = np.where(alone, ALONE, places)
    return heads


def _places(bucket: Ints) -> Ints:
    """0, 1, 2 ... inside each run of equal numbers."""
    numbers = np.arange(len(bucket))
    first = np.append(True, bucket[1:] != bucket[:-1])[: len(bucket)]
    return numbers - np.maximum.accumulate(np.where(first, numbers, 0))


def _expanded(sizes: npt.NDArray[np.integer]) -> Iterator[tuple[Ints, Ints]]:
    """(entry, 0), (entry, 1) ... (entry, sizes[entry] - 1) of every entry, about :data:`PAIRS` at a time."""
    ends = np.cumsum(sizes, dtype=np.int64)
    cuts = np.unique(ends // PAIRS, return_index=True)[1].tolist()
    for start, end in zip(cuts, [*cuts[1:], len(sizes)], strict=False):
        entry = np.repeat(np.arange(start, end), sizes[start:end])
        yield entry, np.arange(len(entry)) + (ends[start] - sizes[start]) - (ends - sizes)[entry]
