"""``gradual_unfreezing``: the head first, then with each epoch a group of layers more, from the top down; lower layers at lower rates.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (ULMFiT), sections 3.2 and 3.3: discriminative
rates, slanted triangular rates, gradual unfreezing. A new head would send large gradients into layers that are fine as they
are; here it is no longer new when they begin to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from regraft.training.gradient import Gradient
from regraft.training.options import GradientOptions
from regraft.training.schedules import slanted

if TYPE_CHECKING:
    from regraft.training.fitting import Fitting
    from regraft.training.phase import Group, Phase


class GradualOptions(GradientOptions):
    """One group of layers more with each epoch, lower ones at lower rates (Howard & Ruder 2018, "ULMFiT")."""

    method: Literal["gradual_unfreezing"]
    """Layers are unfrozen from the top down."""
    groups: int = Field(3, ge=1, le=64)
    """How many groups the layers are cut into, the embeddings with the lowest. The first epoch trains the head alone, each one after
    it a group more, and those that are left everything."""
    schedule: Literal["slanted"] = Field("slanted", exclude_if=lambda _: True)
    """Within each phase the rate rises for a tenth of the steps and falls to 1/32; there is no other."""
    rate_decay: float = Field(2.6, ge=1, le=10)
    """How many times the rate of the layer below it a layer has; the top one has `learning_rate`."""

    @model_validator(mode="after")
    def _every_group_gets_its_epoch(self) -> Self:
        if self.epochs <= self.groups:
            raise ValueError(
                f"`epochs` ({self.epochs}) leaves no epoch for some of `groups` ({self.groups}): the head takes one, each group one; "
                f"write epochs: {self.groups + 1} or groups: {max(1, self.epochs - 1)}"
            )
        return self


class GradualUnfreezing(Gradient):
    """A phase for the head, one for each group that joins, with an optimizer and a triangle of rates of its own."""

    name = "gradual_unfreezing"
    version = 3
    rank = 44
    options = GradualOptions
    families = frozenset({"encoder", "decoder"})
    """Whose head is new."""

    def phases(self, fitting: Fitting, options: GradualOptions) -> list[Phase]:
        from regraft.core.progress import warn_once
        from regraft.training.layer_groups import layer_groups
        from regraft.training.phase import Group

        head = [p for module in fitting.family.head(fitting.model) for p in module.parameters()]
        trained = [Group(head, options.head_learning_rate, "finetune.head_learning_rate")]
        phases = [_slanted(fitting, "head", 1, trained, 0)]
        layers = layer_groups(fitting.model, fitting.family, options.learning_rate, options.rate_decay)
        if len(layers) < options.groups:
            warn_once(f"finetune.groups is {options.groups}, and the layers of this model are {len(layers)}: they join in as many epochs")
        joining = cut(layers, options.groups)
        for number, group in enumerate(joining, start=1):
            trained = [*trained, *group]
            epochs = 1 if number < len(joining) else options.epochs - number
            phases.append(_slanted(fitting, f"group {number}", epochs, trained, number))
        return phases


def _slanted(fitting: Fitting, name: str, epochs: int, groups: list[Group], first: int) -> Phase:
    steps = fitting.rows.steps * epochs
    return fitting.phase(name, epochs, groups, first=first, factor=lambda step: slanted(step, steps))


def cut(layers: list[Group], groups: int) -> list[list[Group]]:
    """``layers`` in ``groups`` runs of like length, the longer ones last; in fewer where there are fewer layers."""
    runs = min(groups, len(layers))
    return [layers[number * len(layers) // runs : (number + 1) * len(layers) // runs] for number in range(runs)]


GRADUAL_UNFREEZING = GradualUnfreezing()
