"""Duplicates and near-duplicates: who comes first stays.

Two texts are near-duplicates when the Jaccard similarity of their sets of 5-character shingles reaches a threshold
(Broder 1997, "On the resemblance and containment of documents"). MinHash signatures (rensa) cut into bands find
candidates (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4); each candidate is then checked
with its true similarity, so nothing is dropped on an estimate.

The rule is greedy over an order the caller chooses: a text is dropped if it repeats an *earlier text that stayed*.
What happens to the first n texts therefore never depends on what follows them.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

Hashes = npt.NDArray[np.uint64]

SHINGLE = 5
"""Characters in a shingle: the usual choice for short texts (Mining of Massive Datasets, 3.2.2)."""
PERMUTATIONS = 128
RECALL = 0.999
"""Probability with which a pair exactly at the threshold becomes a candidate."""
ANCHOR = 16
"""Characters of a text by which it is looked for inside documents; shorter texts are not looked for."""
BATCH_CHARS = 2_000_000
"""Characters hashed at once: 16 MB of shingle hashes."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: Knuth, TAOCP 3, section 6.4


@dataclass(frozen=True)
class Twin:
    """The earlier text that a dropped one repeats."""

    index: int
    similarity: float


def normalise(text: str) -> str:
    """Text as compared: NFKC, case folded, runs of white space as one blank."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def windows(text: str, width: int) -> Hashes:
    """64-bit hashes of all ``width``-character windows of ``text``; one hash of the whole if it is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    count = max(len(codes) - width + 1, 1)
    hashes = np.zeros(count, np.uint64)
    for offset in range(min(width, len(codes))):
        hashes = hashes * MULTIPLIER + codes[offset : offset + count]
    return hashes ^ (hashes >> np.uint64(32))


def find_duplicates(texts: Sequence[str], threshold: float, seed: int) -> list[Twin | None]:
    """For each of the normalised ``texts`` the earliest kept text that it repeats, or None: it stays.

    86,000 docstrings (30 MB) take about 8 s on one core.
    """
    twins: list[Twin | None] = [None] * len(texts)
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if (earlier := first.setdefault(text, index)) != index:
            twins[index] = Twin(earlier, 1.0)
    distinct = list(first.values())
    near = _near_duplicates([texts[index] for index in distinct], threshold, seed)
    for position, twin in near.items():
        twins[distinct[position]] = Twin(distinct[twin.index], twin.similarity)
    return [_stays(twins, twin) for twin in twins]


def _stays(twins: Sequence[Twin | None], twin: Twin | None) -> Twin | None:
    """An exact copy of a dropped text points at what that text repeats."""
    beyond = twins[twin.index] if twin else None
    return beyond or twin


def _near_duplicates(texts: Sequence[str], threshold: float, seed: int) -> dict[int, Twin]:
    buckets, shared = _buckets(_signatures(texts, seed), bands_for(threshold))
    members: defaultdict[int, list[int]] = defaultdict(list)
    shingles: dict[int, Hashes] = {}
    found: dict[int, Twin] = {}
    for index in np.flatnonzero(shared.any(axis=1)).tolist():
        mine = buckets[index][shared[index]].tolist()
        candidates = sorted({other for bucket in mine for other in members[bucket]})
        for other in candidates:
            for needed in (index, other):
                if needed not in shingles:
                    shingles[needed] = np.unique(windows(texts[needed], SHINGLE))
            similarity = jaccard(shingles[index], shingles[other], threshold)
            if similarity >= threshold:
                found[index] = Twin(other, similarity)
                del shingles[index]
                break
        else:
            for bucket in mine:
                members[bucket].append(index)
    return found


def jaccard(left: Hashes, right: Hashes, at_least: float = 0.0) -> float:
    """Intersection over union of two sorted arrays without repeats; 0.0 if their sizes alone rule ``at_least`` out."""
    small, large = sorted((len(left), len(right)))
    if small < at_least * large:
        return 0.0
    common = int(np.intersect1d(left, right, assume_unique=True).size)
    return common / (small + large - common)


def bands_for(threshold: float) -> int:
    """Fewest bands of the signature that still find a pair at ``threshold`` with probability :data:`RECALL`.

    A pair of similarity s shares one of b bands of r rows with probability 1 - (1 - s^r)^b.
    """
    for bands in (1, 2, 4, 8, 16, 32, 64):
        if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= RECALL:
            return bands
    return PERMUTATIONS


def _signatures(texts: Sequence[str], seed: int) -> npt.NDArray[np.uint32]:
    """MinHash signatures, [texts, PERMUTATIONS]."""
    parts = [np.empty((0, PERMUTATIONS), np.uint32)]
    for batch in _batches(texts):
        hashed = [windows(text, SHINGLE) for text in batch]
        offsets = np.concatenate([[0], np.cumsum([len(hashes) for hashes in hashed])]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(hashed), offsets, num_perm=PERMUTATIONS, seed=seed)
        parts.append(np.array(matrix.to_rows(), np.uint32))
    return np.concatenate(parts)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
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


def _buckets(signatures: npt.NDArray[np.uint32], bands: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Bucket numbers [texts, bands], and which of them hold more than one text: only those need a table."""
    rows = signatures.reshape(len(signatures), bands, PERMUTATIONS // bands).astype(np.uint64)
    keys = np.tile(np.arange(bands, dtype=np.uint64), (len(rows), 1))
    for column in range(rows.shape[2]):
        keys = (keys ^ rows[:, :, column]) * MULTIPLIER
        keys ^= keys >> np.uint64(29)
    _, buckets, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    buckets = buckets.reshape(keys.shape)
    return buckets, sizes[buckets] > 1


def find_contained(documents: Sequence[str], texts: Sequence[str]) -> dict[int, int]:
    """``{document: text}``: the first of ``texts`` that stands word for word inside each document (all normalised)."""
    anchors: defaultdict[int, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        if len(text) >= ANCHOR:
            anchors[int(windows(text[:ANCHOR], ANCHOR)[0])].append(index)
    low = np.zeros(2**16, np.bool_)  # most windows end here: 2.3 s for 54,000 docstrings; np.intersect1d took 7.8
    low[np.array([anchor & 0xFFFF for anchor in anchors], np.int64)] = True
    found: dict[int, int] = {}
    for index, document in enumerate(documents):
        hashes = windows(document, ANCHOR)
        hits = set(hashes[low[hashes & np.uint64(0xFFFF)]].tolist()) & anchors.keys()
        inside = sorted(text for hit in hits for text in anchors[hit] if texts[text] in document)
        if inside:
            found[index] = inside[0]
    return found
