"""Where a row belongs is a hash of its id: data that grows or shrinks never moves a row."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Literal, get_args

Split = Literal["test", "dev", "train"]
PRIORITY: tuple[Split, ...] = ("test", "dev", "train")
"""The order of splits: of two near-duplicates the one in the earlier split stays, so test beats dev beats train (beats the corpus)."""


SPLITS: tuple[Split, ...] = tuple(sorted(get_args(Split)))
"""What a given split column may say."""


def uniform(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on ``seed`` and ``key`` alone: the first 53 bits of a sha256."""
    # 53 bits fit a float exactly; 64 would round the last ones up to 1.0.
    return (int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big") >> 11) / 2**53


def split_of(seed: int, key: str, test: float, dev: float, spent: Collection[str] = ()) -> Split:
    """The split of the row ``key`` where ``test`` and ``dev`` are the shares held out; a row that is ``spent`` tests no more."""
    if key in spent:
        return "train"
    value = uniform(seed, key)
    if value < test:
        return "test"
    return "dev" if value < test + dev else "train"
