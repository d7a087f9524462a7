"""What can be added to training in one file: methods of fine-tuning and objectives of pretraining.

A plug-in carries its own ``version``, raised whenever the models it gives may differ. It enters the sections that name the plug-in
(:func:`versions_of`), so that a changed method makes the models trained by it anew, and no others.
Importing this module, or a plug-in, loads no torch: that happens in the functions that train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.registry import Registry
from regraft.data.task_types import TASK_TYPES
from regraft.models.families import FAMILIES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.data.packing import Packed

    Ints = NDArray[np.int64]
    Batch = tuple[Ints, Ints]
    """Ids as the model sees them, ``[rows, length]``, and labels, of which IGNORED ones count for nothing; of the same shape where they
    stand for those ids."""

Start = Literal["base", "adapted"]
"""Which encoder a method begins at: the base model as it came, or after the pretraining."""


@dataclass(frozen=True)
class Learning:
    """What a method is given to make a model of."""

    name: str
    """What the training is called where its progress is told, such as ``finetune``."""
    source: Path | None
    """Folder of the encoder it begins at; None for a method that begins at none."""
    training: pd.DataFrame
    """Rows to learn from: columns id, text, label."""
    dev: pd.DataFrame
    """Rows that it may choose its own settings on; may be empty. They calibrate the model afterwards."""
    labels: Sequence[str]
    """The classes, in the order of the model's outputs."""
    task: str
    """Name of the task type."""
    seed: int
    out: Path
    """Folder for the model."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """Candidate -> folder of its model, of those that the method's options name as ``of`` or ``teacher``."""
    documents: Path | None = None
    """The corpus as a table with the column ``text``, of which no document holds a text of a test row; None where the method's options
    name no ``teacher``."""
    tasks: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Rows of other tasks, of those that the method's options name as ``tasks``: columns id, text, label."""

    @property
    def words(self) -> int:
        """Words of the training rows: what a method gives as ``tokens`` that reads none of them, because `plan` compares by it."""
        return int(sum(text.count(" ") + 1 for text in self.training["text"]))


class Method(Protocol):
    """A way to make a model for the task."""

    name: str
    version: int
    """Raised when the models it gives may differ."""
    rank: int
    """Where it stands in the order from simple to dear: of two candidates that are as good, the lower one is chosen."""
    kind: str
    """Kind of the model folder it writes."""
    options: Any
    """The class of its options, a :class:`regraft.training.options.MethodOptions`."""
    starts: tuple[Start, ...]
    """Where it can begin; none: it reads no encoder."""
    extra: str | None
    """The extra of regraft that brings what it needs; None: it needs nothing more."""
    modules: tuple[str, ...]
    """Modules of that extra."""

    def describe(self, options: Any) -> dict[str, Any]:
        """What the kind of model reads in ``serving.json``."""

    def train(self, learning: Learning, options: Any) -> dict[str, float]:
        """Write a model of :attr:`kind` to ``learning.out``; returns ``tokens``, and what else is worth a number in the record."""


class Corruption(Protocol):
    """What an objective hides of a text."""

    def batch(self, ids: Ints, seed: int, places: Sequence[tuple[int, int]]) -> Batch:
        """What the model sees of ``ids`` ``[rows, length]``, and what it is to say: functions of (seed, epoch, index) alone."""


class Objective(Protocol):
    """What a pretraining learns to guess, and what a wrong guess costs."""

    name: str
    version: int
    """Raised when the models it gives may differ."""
    options: Any
    """The class of its options, a :class:`regraft.training.options.PretrainOptions`."""
    families: frozenset[str]
    """The families of models that it can train."""

    def load(self, source: Path) -> tuple[PreTrainedModel, bool]:
        """The model in ``source`` with the head that the objective needs, and whether that head is new."""

    def begin(self, model: PreTrainedModel, shard: Packed) -> None:
        """Prepare a new head for the text in ``shard``; it is then trained with the rest of the model frozen."""

    def corruption(self, source: Path, options: Any, vocabulary: int) -> Corruption:
        """How texts are changed for a model with the tokenizer in ``source`` and so many outputs. ConfigError where it cannot be."""

    def loss(self, model: PreTrainedModel, options: Any) -> Callable[[Batch], tuple[Tensor, int]]:
        """batch -> (mean loss in nats, number of guesses it is the mean of)."""


METHODS: Registry[Method] = Registry(
    "regraft.methods",
    "method",
    {
        "full": "regraft.training.methods.full:FULL",
        "upper_layers": "regraft.training.methods.upper_layers:UPPER_LAYERS",
        "lora": "regraft.training.methods.lora:LORA",
        "l2sp": "regraft.training.methods.l2sp:L2SP",
        "ewc": "regraft.training.methods.ewc:EWC",
        "gradual_unfreezing": "regraft.training.methods.gradual_unfreezing:GRADUAL_UNFREEZING",
        "interpolate": "regraft.training.methods.interpolate:INTERPOLATE",
        "linear_probe": "regraft.training.methods.linear_probe:LINEAR_PROBE",
        "prototype": "regraft.training.methods.prototype:PROTOTYPE",
        "zero_shot": "regraft.training.methods.zero_shot:ZERO_SHOT",
        "contrastive": "regraft.training.methods.contrastive:CONTRASTIVE",
        "self_training": "regraft.training.methods.self_training:SELF_TRAINING",
        "multi_task": "regraft.training.methods.multi_task:MULTI_TASK",
        "meta": "regraft.training.methods.meta:META",
        "soup": "regraft.training.methods.soup:SOUP",
        "ensemble": "regraft.training.methods.ensemble:ENSEMBLE",
        "tfidf": "regraft.training.methods.tfidf:TFIDF",
    },
)
OBJECTIVES: Registry[Objective] = Registry(
    "regraft.objectives",
    "objective",
    {
        "mlm": "regraft.training.objectives.mlm:MLM",
        "clm": "regraft.training.objectives.clm:CLM",
        "span_corruption": "regraft.training.objectives.span_corruption:SPAN_CORRUPTION",
        "contrastive": "regraft.training.objectives.contrastive:CONTRASTIVE",
    },
)


SEAMS: dict[str, Registry[Any]] = {"method": METHODS, "objective": OBJECTIVES, "family": FAMILIES, "task": TASK_TYPES}


def versions_of(**names: str) -> dict[str, int]:
    """Seam -> version of the plug-in that a section names: ``versions_of(method="lora", task="text-classification")``.

    Version 1 of a registry's first plug-in is left out, so that sections of pipelines that use no other are what they were.
    """
    versions = {seam: SEAMS[seam][name].version for seam, name in names.items()}
    return {seam: version for seam, version in versions.items() if (names[seam], version) != (SEAMS[seam].first, 1)}


def require_versions(written: Mapping[str, int], **names: str) -> None:
    """Refuse a section that was made for other versions of its plug-ins than those that are installed.

    :raises ConfigError: naming the plug-in.
    """
    here = versions_of(**names)
    for seam, name in names.items():
        was, now = written.get(seam, 1), here.get(seam, 1)
        if was != now:
            raise ConfigError(f"the resolved file was made for version {was} of the {seam} {name!r}, and here is {now}", fix="regraft dvc")


def require_installed(method: Method) -> None:
    """Refuse a method whose libraries are not here.

    :raises EnvironmentFault: naming the command that installs them.
    """
    missing = [module for module in method.modules if find_spec(module) is None]
    if missing:
        raise EnvironmentFault(
            f"finetune.method {method.name!r} needs {', '.join(missing)}, which is not installed",
            fix=f"pip install 'regraft[{method.extra}]'",
        )
