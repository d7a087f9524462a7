"""Tokenized labelled rows, and which of them a step of training sees: a function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regraft.core.randomness import order, words
from regraft.training.parts import share

POOL = 16  # batches among which rows are sorted by length: nearly no padding, and still a random order


@dataclass(frozen=True)
class Rows:
    """Tokenized training rows, and which of them a step sees."""

    ids: Sequence[NDArray[np.int64]]
    labels: NDArray[np.int64]
    batch_size: int
    pad_id: int
    seed: int
    names: Sequence[str]
    """The rows' own ids."""

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return math.ceil(len(self.ids) / self.batch_size)

    @cached_property
    def _epochs(self) -> dict[int, list[NDArray[np.int64]]]:
        return {}

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of one epoch, as row numbers: each row once, rows of like length together, batches in random order."""
        if number not in self._epochs:
            self._epochs.clear()
            shuffled = order(len(self.ids), self.seed, number)
            span = self.batch_size * POOL
            batches = []
            for start in range(0, len(shuffled), span):
                pool = sorted(shuffled[start : start + span].tolist(), key=lambda i: len(self.ids[i]))
                batches += [np.array(pool[i : i + self.batch_size]) for i in range(0, len(pool), self.batch_size)]
            self._epochs[number] = [batches[i] for i in np.argsort(words(len(batches), self.seed, "batches", number), kind="stable")]
        return self._epochs[number]

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and attention mask ``[rows, longest]`` and labels ``[rows]`` of one step, int64."""
        return self.padded(self.chosen(step))

    def part(self, step: int, part: int, parts: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """:meth:`batch` of one part of the step's rows, padded to its own longest; None: it has no row."""
        chosen = share(self.chosen(step).tolist(), part, parts)
        return self.padded(np.array(chosen)) if chosen else None

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Numbers of the rows of one step."""
        return self.epoch(step // self.steps)[step % self.steps]

    def by_length(self) -> Iterator[NDArray[np.int64]]:
        """Numbers of all rows, in batches of like length: to be measured, not to be learned."""
        ranked = np.argsort([len(ids) for ids in self.ids], kind="stable")
        yield from (ranked[start : start + self.batch_size] for start in range(0, len(ranked), self.batch_size))

    def longest(self, count: int) -> NDArray[np.int64]:
        """Numbers of the ``count`` longest rows, some more than once where there are fewer."""
        ranked = np.argsort([-len(ids) for ids in self.ids], kind="stable")
        return np.resize(ranked[:count], count)

    def padded(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and attention mask ``[rows, longest]`` and labels ``[rows]`` of the rows with these numbers, int64."""
        longest = max(len(self.ids[i]) for i in chosen)
        ids = np.full((len(chosen), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, i in enumerate(chosen):
            ids[place, : len(self.ids[i])] = self.ids[i]
            mask[place, : len(self.ids[i])] = 1
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(self.labels[chosen])
