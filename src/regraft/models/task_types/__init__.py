"""Task types: what a row is to a model, how it is encoded, and what a wrong answer costs. One file each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from regraft.data.task_types import TASK_TYPES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    Ints = NDArray[np.int64]


class TaskType(Protocol):
    """What training has to know of a task. Importing one loads no torch."""

    name: str
    version: int
    """Raised when the models trained for the task may differ."""
    families: frozenset[str]
    """The families of models that can be trained for it."""

    def model(self, source: Path, labels: Sequence[str]) -> PreTrainedModel:
        """The encoder in ``source`` with a head for these classes, whose weights are whatever transformers leaves in them."""

    def encode(self, source: Path, rows: pd.DataFrame, max_length: int) -> list[Ints]:
        """Token ids of each row for the model in ``source``, cut at ``max_length``."""

    def serving(self, folder: Path, labels: Sequence[str]) -> dict[str, Any]:
        """What ``serving.json`` says of a model in ``folder`` besides what its method says: ``kind``, where it is not a
        ``sequence_classification``, and what that kind reads."""

    def truth(self, rows: pd.DataFrame, labels: Sequence[str]) -> Ints:
        """What the model should answer to each row: ``[rows]``, numbers of classes."""

    def loss(
        self, model: PreTrainedModel, ids: Tensor, mask: Tensor, truth: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """(mean loss of a batch, how many losses it is the mean of).

        :param ids: and ``mask``, int64 ``[rows, longest]``, on the model's device as ``truth`` is.
        :param smoothing: share of the target that is spread over all classes.
        :param weights: what each row's loss is multiplied by, ``[rows]``; the mean is still over the number of rows. None: 1. A task type
            without it works, and `plan` refuses `finetune.class_weights` with it.
        """


def task_type(name: str) -> TaskType:
    """The task type called ``name``. ConfigError where there is none."""
    return cast(TaskType, cast(Any, TASK_TYPES)[name])
