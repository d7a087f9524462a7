"""Everything random is a function of (seed, place): no state to save, none to lose.

Random numbers are raw Philox words. numpy keeps the streams of bit generators between versions, but not those of
``Generator``'s methods.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from regraft.core.files import canonical, sha256_text


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
    return [visit(place, count, seed) for place in range(step * batch, (step + 1) * batch)]


def visit(place: int, count: int, seed: int) -> tuple[int, int]:
    """``(epoch, index)`` of the sequence at one place of a training that reads ``count`` of them again and again."""
    return place // count, int(order(count, seed, place // count)[place % count])
