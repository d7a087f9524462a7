"""Order and masks as functions of (seed, epoch, index): no state to save, none to lose.

Random numbers are raw Philox words. numpy keeps the streams of bit generators between versions, but not those of
``Generator``'s methods, and the stock collator draws from a stateful generator, so that a run resumed inside an
epoch sees other masks than one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from regraft.core.files import canonical, sha256_text

IGNORED = -100
"""Label of a position that is not predicted (torch's ``ignore_index``)."""


def seed_of(seed: int, *where: str | int) -> int:
    """A 63-bit seed for one place of a run, such as ``seed_of(17, "dropout", 12)``."""
    return int(sha256_text(canonical([seed, *where]))[:16], 16) >> 1


def words(count: int, seed: int, *where: str | int) -> NDArray[np.uint64]:
    """``count`` random 64-bit words that belong to one place of a run."""
    return np.random.Philox(key=seed_of(seed, *where)).random_raw(count)


def uniform(count: int, seed: int, *where: str | int) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1): the top 53 bits of :func:`words`."""
    return np.asarray((words(count, seed, *where) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


@lru_cache(maxsize=4)
def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of ``range(count)`` for one epoch. Equal words, if ever, keep their order."""
    return np.argsort(words(count, seed, "order", epoch), kind="stable")


def visits(step: int, batch: int, count: int, seed: int) -> list[tuple[int, int]]:
    """``(epoch, index)`` of the sequences in one step; a batch at the end of an epoch runs into the next one."""
    return [(place // count, int(order(count, seed, place // count)[place % count])) for place in range(step * batch, (step + 1) * batch)]


@dataclass(frozen=True)
class Masking:
    """The 80/10/10 rule of Devlin et al. 2019 ("BERT", section 3.1), drawn anew each epoch (RoBERTa, section 4.1)."""

    probability: float
    mask_id: int
    special_ids: frozenset[int]
    """Never predicted: [CLS], [SEP] and the like."""
    vocabulary: int
    """Random replacements are drawn from ``range(vocabulary)``."""

    def one(self, ids: NDArray[np.int64], seed: int, *where: str | int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Masked ids and labels of one sequence, both int64 of the shape of ``ids``; labels are IGNORED elsewhere."""
        chance, kind, other = uniform(3 * len(ids), seed, "mask", *where).reshape(3, -1)
        chosen = (chance < self.probability) & ~np.isin(ids, list(self.special_ids))
        masked = np.where(chosen & (kind < 0.8), self.mask_id, ids)
        masked = np.where(chosen & (kind >= 0.9), (other * self.vocabulary).astype(np.int64), masked)
        return masked, np.where(chosen, ids, IGNORED)

    def batch(self, ids: NDArray[np.int64], seed: int, places: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """:meth:`one` for each row of ``ids`` at its (epoch, index): both ``[rows, length]``."""
        pairs = [self.one(row, seed, epoch, index) for row, (epoch, index) in zip(ids, places, strict=True)]
        return np.stack([ids for ids, _ in pairs]), np.stack([labels for _, labels in pairs])
