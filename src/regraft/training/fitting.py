"""A model and the labelled rows that it is fitted to: what phases of fine-tuning are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from regraft.models.families import ModelFamily
from regraft.models.machine import Machine
from regraft.models.task_types import task_type
from regraft.training.phase import Batches, Group, Phase
from regraft.training.plugins import Learning
from regraft.training.rows import Rows
from regraft.training.schedules import Schedule, factor_of


@dataclass(frozen=True)
class Fitting:
    """What a method that trains by gradient descent has at hand when it says its phases."""

    model: PreTrainedModel
    family: ModelFamily
    rows: Rows
    learning: Learning
    machine: Machine
    smoothing: float
    """Share of the target that is spread over all classes."""
    schedule: Schedule = "linear"
    """How rates go where a method says nothing else."""
    weights: Tensor | None = None
    """What a row of each class costs, ``[classes]``, fp32, the mean over the rows 1; None: all cost the same."""

    def phase(
        self,
        name: str,
        epochs: int,
        groups: Sequence[Group],
        *,
        first: int = 0,
        penalty: Callable[[], Tensor] | None = None,
        factor: Callable[[int], float] | None = None,
        after: Callable[[], dict[str, float]] = dict,
    ) -> Phase:
        """The rows, ``epochs`` times, the first of which is epoch ``first`` of the training; the rest as :class:`Phase` has it."""
        rows, before = self.rows, first * self.rows.steps

        def part(step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
            batch = rows.part(before + step, part, parts)
            return None if batch is None else self.loss(batch)

        batches = Batches(
            "finetune.batch_size",
            rows=lambda step: [rows.names[i] for i in rows.chosen(before + step)],
            length=lambda step: max(len(rows.ids[i]) for i in rows.chosen(before + step)),
            largest=lambda count: self.loss(rows.padded(rows.longest(count))),
        )
        return Phase(
            name,
            rows.steps * epochs,
            lambda step: self.loss(rows.batch(before + step)),
            groups,
            after=after,
            batches=batches,
            penalty=penalty,
            part=part,
            tokens=sum(map(len, rows.ids)) / rows.steps,
            factor=factor or factor_of(self.schedule, rows.steps * epochs),
        )

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        """Of ids, mask and truth: the mean loss of the rows, and how many they are."""
        ids, mask, truth = (part.to(self.machine.device) for part in batch)
        task = task_type(self.learning.task)
        if self.weights is None:
            return task.loss(self.model, ids, mask, truth, self.smoothing)
        return task.loss(self.model, ids, mask, truth, self.smoothing, weights=self.weights.to(self.machine.device)[truth])


def balanced(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Rows / (classes that have some * rows of the class), ``[classes]``: each class costs as much as any other, and the mean row 1."""
    counts = np.bincount(labels, minlength=classes)
    return torch.from_numpy(len(labels) / ((counts > 0).sum() * np.maximum(counts, 1))).float()
