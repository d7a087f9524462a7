"""Tasks that a model learns besides its own: each a head on the body that all of them share, and rows of its own.

Caruana 1997, "Multitask Learning", section 1: what is learned for one task is at hand for the others because the layers below the
heads are the same. The heads go when training ends, and a plain model of the pipeline's own task is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from regraft.core.errors import ConfigError
from regraft.core.randomness import seed_of, words
from regraft.models.task_types import task_type
from regraft.training.fitting import Fitting
from regraft.training.gradient import fresh_head
from regraft.training.rows import Rows

HEADS = "side_tasks"
"""What the model calls the other tasks' models while it is trained."""


def fittings(fitting: Fitting, max_length: int | None) -> list[Fitting]:
    """The other tasks, each fitted as ``fitting`` is: a model of its own that has the body of the pipeline's, which keeps it until
    :func:`leave` takes it away.

    :param max_length: as the pipeline's rows are cut; :func:`regraft.training.finetuning.finetune` has chosen one where none was written.
    :raises ConfigError: the step hands on no rows of other tasks.
    """
    assert max_length is not None
    tasks = fitting.learning.tasks
    if not tasks:
        raise ConfigError("tasks/finetune.py hands on no rows of other tasks, which finetune.tasks names", fix="regraft init --upgrade .")
    made = [_fitted(fitting, name, rows, max_length) for name, rows in tasks.items()]
    setattr(fitting.model, HEADS, nn.ModuleList([side.model for side in made]))
    return made


def _fitted(fitting: Fitting, name: str, rows: pd.DataFrame, max_length: int) -> Fitting:
    learning, task, source = fitting.learning, task_type(fitting.learning.task), fitting.learning.source
    assert source is not None
    labels, seed = sorted(set(rows["label"])), seed_of(learning.seed, "side task", name)
    model = task.model(source, labels)
    fresh_head(model, seed)
    setattr(model, model.base_model_prefix, fitting.model.base_model)
    nn.Module.to(model, fitting.machine.device)
    ids, truth = task.encode(source, rows, max_length), task.truth(rows, labels)
    own = Rows(ids, truth, fitting.rows.batch_size, fitting.rows.pad_id, seed, rows["id"].tolist())
    return replace(fitting, model=model, rows=own, learning=replace(learning, training=rows, labels=labels), weights=None)


def heads(sides: Sequence[Fitting]) -> list[list[nn.Parameter]]:
    """What each of the other tasks has for itself."""
    shared = {id(parameter) for side in sides for parameter in side.model.base_model.parameters()}
    return [[parameter for parameter in side.model.parameters() if id(parameter) not in shared] for side in sides]


def leave(model: PreTrainedModel) -> None:
    """Take the other tasks' heads away."""
    delattr(model, HEADS)


@dataclass(frozen=True)
class Turns:
    """Which task each step trains: a function of (seed, step). The first task is the pipeline's own, and each epoch reads it once."""

    rows: Sequence[Rows]
    temperature: float
    """A task's share of the steps grows with the number of its rows to the power of 1 over this."""
    seed: int

    @cached_property
    def of_epoch(self) -> list[int]:
        """Steps of each task in one epoch, one at least."""
        weights = [len(rows.ids) ** (1 / self.temperature) for rows in self.rows]
        first = self.rows[0].steps
        return [first, *(max(1, round(first * weight / weights[0])) for weight in weights[1:])]

    @property
    def steps(self) -> int:
        """Steps of one epoch, of all tasks."""
        return sum(self.of_epoch)

    @cached_property
    def _orders(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return {}

    def turn(self, step: int) -> tuple[int, int]:
        """(task, which of its own steps) of one step; a task that is read through begins anew."""
        epoch, place = divmod(step, self.steps)
        if epoch not in self._orders:
            self._orders.clear()
            tasks = np.repeat(np.arange(len(self.rows)), self.of_epoch)
            tasks = tasks[np.argsort(words(len(tasks), self.seed, "turns", epoch), kind="stable")]
            own = np.zeros_like(tasks)
            for task in range(len(self.rows)):
                own[tasks == task] = epoch * self.of_epoch[task] + np.arange(self.of_epoch[task])
            self._orders[epoch] = tasks, own
        tasks, own = self._orders[epoch]
        return int(tasks[place]), int(own[place])
