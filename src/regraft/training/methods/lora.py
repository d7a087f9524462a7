"""``lora``: the encoder's weights stay, and low-rank changes to them are trained beside a new head; merged at the end.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". Every linear layer of the encoder gets one, not attention alone
(Dettmers et al. 2023, "QLoRA", section 4). A model that was trained so serves like any other: the changes are added to the weights,
and nothing of peft is left in the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.gradient import Gradient
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.training.phase import Group


class LoraOptions(GradientOptions):
    """Low-rank changes to a frozen encoder, and a new pooler and head (Hu et al. 2021, "LoRA"); needs `regraft[lora]`."""

    method: Literal["lora"]
    """Low-rank changes are trained, and merged at the end."""
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    """Peak rate of the low-rank changes, which take higher ones than the encoder itself; schedule as of `full`."""
    rank: int = Field(16, ge=1, le=512)
    """Width of each change: two matrices of `rank` columns and rows."""
    alpha: float | None = Field(None, gt=0, le=4096)
    """A change is multiplied by `alpha` / `rank`. By default twice the rank."""
    adapter_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of each change's inputs that is dropped in training."""
    target_modules: tuple[str, ...] | None = Field(None, min_length=1)
    """Ends of the names of the linear layers that are changed, such as `[query, value]`. By default all of the encoder's layers have."""


class Lora(Gradient):
    """Adapters by peft inside the model itself, so that the loop, its checkpoints and the loss see a model like any other."""

    name = "lora"
    version = 3
    rank = 30
    options = LoraOptions
    extra = "lora"
    modules = ("peft",)

    def prepare(self, model: PreTrainedModel, family: ModelFamily, seed: int, options: LoraOptions) -> None:
        """Put adapters in, initialised from the seed alone: the first matrix random, the second 0.

        :raises ConfigError: ``target_modules`` names what the encoder does not have.
        """
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        from regraft.core.randomness import seed_of

        torch.manual_seed(seed_of(seed, "lora"))
        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha or 2 * options.rank,  # type: ignore[arg-type]  # any number; annotated as int
            lora_dropout=options.adapter_dropout,
            target_modules=targets(model, family, options.target_modules),
        )
        inject_adapter_in_model(config, model)

    def groups(self, model: PreTrainedModel, family: ModelFamily, options: LoraOptions) -> list[Group]:
        from regraft.training.phase import Group

        adapters = [parameter for name, parameter in model.named_parameters() if ".lora_" in name]
        head = [parameter for module in family.head(model) for parameter in module.parameters()]
        groups = [
            Group(adapters, options.learning_rate, "finetune.learning_rate"),
            Group(head, options.head_learning_rate, "finetune.head_learning_rate"),
        ]
        return [group for group in groups if group.parameters]  # an encoder-decoder has no head

    def finish(self, model: PreTrainedModel) -> None:
        """Add every change to its layer's weight, and put the layer back in its place."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        adapted = [(name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
        for name, module in adapted:
            module.merge()
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module.get_base_layer())


def targets(model: PreTrainedModel, family: ModelFamily, wanted: tuple[str, ...] | None) -> list[str]:
    """Full names of the linear layers that get an adapter; those of ``wanted`` ends, or all inside the encoder's layers.

    :raises ConfigError: an end fits none.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    from regraft.core.errors import ConfigError
    from regraft.core.suggest import guess

    inside = set(family.layers(model).modules())
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D) and module in inside]
    if wanted is None:
        return linear
    ends = sorted({name.rpartition(".")[2] for name in linear})
    for end in wanted:
        if not any(f".{name}".endswith(f".{end}") for name in linear):
            otherwise = f"; its linear layers are called {', '.join(ends)}"
            raise ConfigError(
                f"finetune.target_modules: the encoder has no linear layer {end!r}{guess(end, ends, otherwise)}",
                fix=f"finetune.target_modules: [{', '.join(ends)}]",
            )
    return [name for name in linear if any(f".{name}".endswith(f".{end}") for end in wanted)]


LORA = Lora()
