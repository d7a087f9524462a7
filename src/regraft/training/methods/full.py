"""``full``: every weight is trained, the new head at a rate of its own (Devlin et al. 2019, "BERT", section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from regraft.training.gradient import Gradient
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.training.phase import Group


class FullOptions(GradientOptions):
    """Task fine-tuning: a new pooler and linear head on the first token, everything trained."""

    method: Literal["full"] = Field("full", exclude_if=lambda _: True)
    """Every weight is trained. `auto`: a fixed list of candidates is tried instead, and dev rows choose."""


class Full(Gradient):
    """The encoder at ``learning_rate``, the head at ``head_learning_rate``."""

    name = "full"
    version = 1
    rank = 40
    options: Any = FullOptions

    def groups(self, model: PreTrainedModel, family: ModelFamily, options: GradientOptions) -> list[Group]:
        from regraft.training.phase import Group

        head = [p for module in family.head(model) for p in module.parameters()]
        new = {id(p) for p in head}
        old = [p for p in model.parameters() if id(p) not in new]
        groups = [
            Group(old, options.learning_rate, "finetune.learning_rate"),
            Group(head, options.head_learning_rate, "finetune.head_learning_rate"),
        ]
        return [group for group in groups if group.parameters]  # an encoder-decoder has no head


FULL = Full()
