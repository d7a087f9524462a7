"""Order and masks as functions of (seed, epoch, index): no state to save, none to lose.

Random numbers are raw Philox words. numpy keeps the streams of bit generators between versions, but not those of
``Generator``'s methods, and the stock collator draws from a stateful generator, so that a run resumed inside an
epoch sees other masks than one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.core.randomness import uniform

IGNORED = -100
"""Label of a position that is not predicted (torch's ``ignore_index``)."""


@dataclass(frozen=True)
class Masking:
    """The 80/10/10 rule of Devlin et al. 2019 ("BERT", section 3.1), drawn anew each epoch (RoBERTa, section 4.1)."""

    probability: float
    mask_id: int
    special_ids: frozenset[int]
    """Never predicted: [CLS], [SEP] and the like."""
    vocabulary: int
    """Random replacements are drawn from ``range(vocabulary)``."""
    begins: NDArray[np.bool_] | None = None
    """Of each id, whether a word begins with it: all tokens of a word are then predicted, or none (Cui et al. 2021, "Pre-Training With
    Whole Word Masking for Chinese BERT", section 3). None: each token is drawn by itself."""

    def one(self, ids: NDArray[np.int64], seed: int, *where: str | int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Masked ids and labels of one sequence, both int64 of the shape of ``ids``; labels are IGNORED elsewhere."""
        chance, kind, other = uniform(3 * len(ids), seed, "mask", *where).reshape(3, -1)
        chance = chance if self.begins is None else chance[self._first_of_word(ids)]
        chosen = (chance < self.probability) & ~np.isin(ids, list(self.special_ids))
        masked = np.where(chosen & (kind < 0.8), self.mask_id, ids)
        masked = np.where(chosen & (kind >= 0.9), (other * self.vocabulary).astype(np.int64), masked)
        return masked, np.where(chosen, ids, IGNORED)

    def _first_of_word(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each token the place at which its word begins, ``[length]``; what follows a special token begins one."""
        assert self.begins is not None
        special = np.isin(ids, list(self.special_ids))
        begins = self.begins[ids] | special | np.concatenate([[True], special[:-1]])
        return np.maximum.accumulate(np.where(begins, np.arange(len(ids)), 0))

    def batch(self, ids: NDArray[np.int64], seed: int, places: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """:meth:`one` for each row of ``ids`` at its (epoch, index): both ``[rows, length]``."""
        pairs = [self.one(row, seed, epoch, index) for row, (epoch, index) in zip(ids, places, strict=True)]
        return np.stack([ids for ids, _ in pairs]), np.stack([labels for _, labels in pairs])
