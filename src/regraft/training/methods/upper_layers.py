"""``upper_layers``: the embeddings and the lower layers stay as they are; the upper ones and a new head are trained.

Lee, Tang & Lin 2019, "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning": a fourth to a half of the layers is enough to
come near the quality of a full fine-tuning. What the lower layers make of a row never changes, so it is computed once and read again in
every epoch (:mod:`regraft.training.kept_layers`); nothing below is differentiated, and no moments of its weights are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.gradient import Gradient
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from regraft.training.fitting import Fitting
    from regraft.training.phase import Group, Phase


class UpperOptions(GradientOptions):
    """The upper layers and a new head are trained (Lee, Tang & Lin 2019, "What Would Elsa Do?")."""

    method: Literal["upper_layers"]
    """The embeddings and the lower layers stay as they are."""
    frozen_layers: int | None = Field(None, ge=1, le=200)
    """How many layers stay, from the lowest up. By default half of them, rounded down."""

    @property
    def effort(self) -> float:
        """Measured with half of the layers (docs/log.md, 2026-11-29)."""
        return 0.5


class UpperLayers(Gradient):
    """The rates of ``full``, for what lies above the frozen layers."""

    name = "upper_layers"
    version = 2
    rank = 38
    options = UpperOptions
    families = frozenset({"encoder"})
    """Whose layers read nothing but states and masks."""

    def phases(self, fitting: Fitting, options: UpperOptions) -> list[Phase]:
        from regraft.training.kept_layers import KeptLayers, never_dropped

        below = self._below(fitting, options)
        kept, read = KeptLayers(fitting.model, below), [fitting.rows, *([fitting.dev] if fitting.dev else [])]
        if kept.fit(*read):
            rows, *dev = [kept.computed(table, fitting.machine) for table in read]
            kept.stand_in()
            fitting = replace(fitting, rows=rows, dev=dev[0] if dev else None)
        else:
            never_dropped(_all_below(fitting, below))
        return [fitting.phase("all", options.epochs, self._groups(fitting, options, len(below)))]

    def finish(self, model: PreTrainedModel) -> None:
        from regraft.training.kept_layers import as_before

        as_before(model.modules())

    def _below(self, fitting: Fitting, options: UpperOptions) -> list[nn.Module]:
        """The layers that stay. ConfigError where none would be trained."""
        from regraft.core.errors import ConfigError

        layers = list(fitting.family.layers(fitting.model).children())
        frozen = len(layers) // 2 if options.frozen_layers is None else options.frozen_layers
        if len(layers) < 2:
            why = "this model has one layer, or one set of weights for all, as ALBERT has: nothing is left to freeze"
            raise ConfigError(f"finetune.method upper_layers: {why}", fix="finetune.method: full")
        if frozen >= len(layers):
            why = f"finetune.frozen_layers is {frozen}, and this model has {len(layers)} layers: none is left to train"
            raise ConfigError(why, fix=f"finetune.frozen_layers: {len(layers) // 2}")
        return layers[:frozen]

    def _groups(self, fitting: Fitting, options: UpperOptions, frozen: int) -> list[Group]:
        from regraft.training.layer_groups import layer_groups
        from regraft.training.phase import Group

        layers = layer_groups(fitting.model, fitting.family, options.learning_rate, 1.0)
        body = [p for group in layers[: len(layers) - frozen] for p in group.parameters]
        head = [p for module in fitting.family.head(fitting.model) for p in module.parameters()]
        return [
            Group(body, options.learning_rate, "finetune.learning_rate"),
            Group(head, options.head_learning_rate, "finetune.head_learning_rate"),
        ]


def _all_below(fitting: Fitting, below: list[nn.Module]) -> list[nn.Module]:
    """``below`` and what turns tokens into vectors."""
    from torch import nn

    layers = fitting.family.layers(fitting.model)
    inside = set(layers.modules())
    outside = [module for module in fitting.family.body(fitting.model).modules() if module not in inside]
    embeds = [module for module in outside if any(isinstance(part, nn.Embedding) for part in module.children())]
    return [*embeds, *below]


UPPER_LAYERS = UpperLayers()
