"""Duplicates and near-duplicates: who comes first stays.

Two texts are near-duplicates when the Jaccard similarity of their sets of 5-character shingles reaches a threshold
(Broder 1997, "On the resemblance and containment of documents"). MinHash finds candidates (:mod:`regraft.data.minhash`);
each is then checked with its true similarity, so nothing is dropped on an estimate.

The rule is greedy over an order the caller chooses: a text is dropped if it repeats an *earlier text that stayed*.
What happens to the first n texts therefore never depends on what follows them.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.core.progress import watched
from regraft.data.minhash import SHINGLE, Buckets, Hashes, Pairs, bands_for, sketch, windows
from regraft.data.pairs import apart

ANCHOR = 16
"""Characters of a text by which it is looked for inside documents; shorter texts are not looked for."""
BLOCK = 250
"""Texts whose candidates are looked up at once."""
CACHED = 4_000_000
"""Shingle hashes kept for the next comparison: 32 MB."""


@dataclass(frozen=True)
class Twin:
    """The earlier text that a dropped one repeats."""

    index: int
    similarity: float


def normalise(text: str) -> str:
    """Text as compared: NFKC, case folded, runs of white space as one blank."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def find_duplicates(
    texts: Sequence[str], threshold: float, seed: int, folder: Path | None = None, *, pairs: bool = False
) -> list[Twin | None]:
    """For each of the normalised ``texts`` the earliest kept text that it repeats, or None: it stays.

    With ``pairs``, a text that is one (:mod:`regraft.data.pairs`) repeats another where both of its texts do.

    ``texts`` is read once in order and then here and there: it need not be in memory. ``folder`` is where 512 bytes a
    text are kept meanwhile (those for a threshold of 0.8).
    """
    scratch = folder or Path(tempfile.gettempdir())
    sketches = sketch(watched(texts, "texts", len(texts)), len(texts), bands_for(threshold), seed, scratch)
    buckets = Buckets(sketches, threshold, scratch)
    shingles = _Shingles(texts, pairs)
    twins: list[Twin | None] = [None] * len(texts)

    def judge(pairs: Pairs) -> None:
        for index, other in zip(*(side.tolist() for side in pairs), strict=True):
            if twins[index] is None and twins[other] is None:
                similarity = _alike(shingles.of(index), shingles.of(other), threshold)
                if similarity >= threshold:
                    twins[index] = Twin(other, similarity)

    for start in watched(range(0, len(texts), BLOCK), "blocks of texts"):
        block = np.arange(start, min(start + BLOCK, len(texts)))
        judge(buckets.with_kept(block))  # first: they are earlier than any text of the block
        block = block[[twins[index] is None for index in block]]
        judge(buckets.within(block))
        buckets.keep(block[[twins[index] is None for index in block]])
    return twins


class _Shingles:
    """The sets of shingles of texts that were compared a moment ago: a cluster asks for the same one again and again."""

    def __init__(self, texts: Sequence[str], pairs: bool) -> None:
        self._texts, self._pairs = texts, pairs
        self._held: OrderedDict[int, tuple[Hashes, ...]] = OrderedDict()
        self._size = 0

    def of(self, index: int) -> tuple[Hashes, ...]:
        """The hashes of the shingles of text ``index``, of a pair those of both texts: sorted, each once."""
        if index in self._held:
            self._held.move_to_end(index)
        else:
            self._held[index] = tuple(np.unique(windows(text, SHINGLE)) for text in self._parts(index))
            self._size += sum(map(len, self._held[index]))
            while self._size > CACHED and len(self._held) > 1:
                self._size -= sum(map(len, self._held.popitem(last=False)[1]))
        return self._held[index]

    def _parts(self, index: int) -> tuple[str, ...]:
        return apart(self._texts[index]) if self._pairs else (self._texts[index],)


def _alike(left: tuple[Hashes, ...], right: tuple[Hashes, ...], at_least: float) -> float:
    """How much two texts have in common; of two pairs the less similar texts decide, so a premise may have many hypotheses.

    A pair and a single text are no duplicates of one another; :func:`find_contained` looks for the one inside the other.
    """
    if len(left) != len(right):
        return 0.0
    return min(jaccard(one, other, at_least) for one, other in zip(left, right, strict=True))


def jaccard(left: Hashes, right: Hashes, at_least: float = 0.0) -> float:
    """Intersection over union of two sorted arrays without repeats; 0.0 if their sizes alone rule ``at_least`` out."""
    small, large = sorted((len(left), len(right)))
    if small < at_least * large:
        return 0.0
    common = int(np.intersect1d(left, right, assume_unique=True).size)
    return common / (small + large - common)


def find_contained(documents: Iterable[str], texts: Sequence[str]) -> dict[int, int]:
    """``{document: text}``: the first of ``texts`` that stands word for word inside each document (all normalised)."""
    anchors: defaultdict[int, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        if len(text) >= ANCHOR:
            anchors[int(windows(text[:ANCHOR], ANCHOR)[0])].append(index)
    low = np.zeros(2**16, np.bool_)  # most windows end here: 2.3 s for 54,000 docstrings; np.intersect1d took 7.8
    low[np.array([anchor & 0xFFFF for anchor in anchors], np.int64)] = True
    contained: dict[int, int] = {}
    for index, document in enumerate(documents):
        hashes = windows(document, ANCHOR)
        hits = set(hashes[low[hashes & np.uint64(0xFFFF)]].tolist()) & anchors.keys()
        inside = sorted(text for hit in hits for text in anchors[hit] if texts[text] in document)
        if inside:
            contained[index] = inside[0]
    return contained
