"""``full``: every weight is trained, the new head at a rate of its own (Devlin et al. 2019, "BERT", section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from regraft.training.gradient import Gradient
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.training.phase import Group


class FullOptions(GradientOptions):
    """Task fine-tuning: a new pooler and linear head on the first token, everything trained."""

    method: Literal["full"] = Field("full", exclude_if=lambda _: True)
    """Every weight is trained. `auto`: a fixed list of candidates is tried instead, and dev rows choose."""
    layer_decay: float | None = Field(None, ge=0.1, le=1, exclude_if=lambda decay: decay is None)
    """Which share of the rate of the layer above it a layer has, the embeddings that of the lowest (Clark et al. 2020, "ELECTRA", takes 0.8
    and 0.9). By default all have `learning_rate`, as the top one has anyway."""


class Full(Gradient):
    """The encoder at ``learning_rate``, the head at ``head_learning_rate``."""

    name = "full"
    version = 3
    rank = 40
    options: Any = FullOptions

    def groups(self, model: PreTrainedModel, family: ModelFamily, options: GradientOptions) -> list[Group]:
        from regraft.training.phase import Group

        head = [p for module in family.head(model) for p in module.parameters()]
        groups = [*_body(model, family, head, options), Group(head, options.head_learning_rate, "finetune.head_learning_rate")]
        return [group for group in groups if group.parameters]  # an encoder-decoder has no head


def _body(model: PreTrainedModel, family: ModelFamily, head: list[nn.Parameter], options: GradientOptions) -> list[Group]:
    """What is not the head's: in one group, or a group a layer."""
    from regraft.core.progress import warn_once
    from regraft.training.layer_groups import layer_groups
    from regraft.training.phase import Group

    decay: float | None = getattr(options, "layer_decay", None)  # methods that train like this one need not have it
    if decay is not None:
        groups = layer_groups(model, family, options.learning_rate, 1 / decay)
        if len(groups) == 1:
            warn_once("finetune.layer_decay changes nothing: this model has one layer, or one set of weights for all, as ALBERT has")
        return groups
    new = {id(p) for p in head}
    return [Group([p for p in model.parameters() if id(p) not in new], options.learning_rate, "finetune.learning_rate")]


FULL = Full()
