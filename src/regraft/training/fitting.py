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
from regraft.training.options import MOST_PARTS, ON_DEV
from regraft.training.phase import Batches, Group, Look, Phase
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
    dev: Rows | None = None
    """Rows whose loss is measured after every epoch, for the curve; None: no curve is wanted, or there are none."""

    def look(self, steps: int) -> Look | None:
        """The loss of :attr:`dev` after every ``steps`` steps; None: there are no such rows."""
        return Look(steps, self._measured) if self.dev is not None else None

    @torch.no_grad()
    def _measured(self) -> dict[str, float]:
        """The mean loss of the dev rows, with smoothing and class weights as in training, so that both curves can be compared."""
        assert self.dev is not None
        was_training, total, count = self.model.training, 0.0, 0
        self.model.train(False)
        for numbers in self.dev.by_length():
            with self.machine.autocast():
                loss, rows = self.loss(self.dev.padded(numbers))
            total, count = total + loss.item() * rows, count + rows
        self.model.train(was_training)
        return {ON_DEV: total / count}

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
        taken, tokens = Taken(lambda step: (self, before + step), longest=self), sum(map(len, rows.ids)) / rows.steps
        factor = factor or factor_of(self.schedule, rows.steps * epochs)
        look = self.look(rows.steps)
        return taken.phase(name, rows.steps * epochs, groups, tokens=tokens, penalty=penalty, factor=factor, after=after, look=look)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        """Of ids, mask and truth: the mean loss of the rows, and how many they are."""
        ids, mask, truth = (part.to(self.machine.device) for part in batch)
        task = task_type(self.learning.task)
        if self.weights is None:
            return task.loss(self.model, ids, mask, truth, self.smoothing)
        return task.loss(self.model, ids, mask, truth, self.smoothing, weights=self.weights.to(self.machine.device)[truth])


@dataclass(frozen=True)
class Taken:
    """Which rows the steps of a phase take, where they may be those of several tasks."""

    at: Callable[[int], tuple[Fitting, int]]
    """Step of the phase -> what it trains, and which step of that one's rows it takes."""
    longest: Fitting
    """The one that has the longest row."""

    def phase(
        self,
        name: str,
        steps: int,
        groups: Sequence[Group],
        *,
        tokens: float,
        penalty: Callable[[], Tensor] | None = None,
        factor: Callable[[int], float] | None = None,
        after: Callable[[], dict[str, float]] = dict,
        look: Look | None = None,
    ) -> Phase:
        """So many ``steps`` as a :class:`Phase`, and what a person is told of them."""

        def loss(step: int) -> tuple[Tensor, int]:
            task, own = self.at(step)
            return task.loss(task.rows.batch(own))

        def part(step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
            task, own = self.at(step)
            batch = task.rows.part(own, part, parts)
            return None if batch is None else task.loss(batch)

        def chosen(step: int) -> tuple[Rows, list[int]]:
            task, own = self.at(step)
            return task.rows, task.rows.chosen(own).tolist()

        def names(step: int) -> list[str]:
            rows, places = chosen(step)
            return [rows.names[place] for place in places]

        def length(step: int) -> int:
            rows, places = chosen(step)
            return max(len(rows.ids[place]) for place in places)

        def largest(count: int) -> tuple[Tensor, int]:
            rows = self.longest.rows
            return self.longest.loss(rows.padded(rows.longest(count)))

        accumulated = ("finetune.gradient_accumulation", MOST_PARTS)
        batches = Batches("finetune.batch_size", rows=names, length=length, largest=largest, accumulated=accumulated)
        return Phase(
            name, steps, loss, groups, after=after, batches=batches, penalty=penalty, part=part, tokens=tokens, factor=factor, look=look
        )  # fmt: skip


def balanced(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Rows / (classes that have some * rows of the class), ``[classes]``: each class costs as much as any other, and the mean row 1."""
    counts = np.bincount(labels, minlength=classes)
    return torch.from_numpy(len(labels) / ((counts > 0).sum() * np.maximum(counts, 1))).float()
