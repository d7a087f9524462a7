"""``interpolate``: the head is trained on the encoder as it came, then everything; the model is a point on the line between the two.

Wortsman et al. 2022, "Robust Fine-Tuning of Zero-Shot Models" (WiSE-FT), section 3. Models that were fine-tuned from one start lie so near
one another that what is between them is a model too, and often better on rows unlike the training rows than either end. The end of the
line at 0 needs a head: one that was trained on the frozen encoder, from which training then goes on (Kumar et al. 2022, "Fine-Tuning can
Distort Pretrained Features and Underperform Out-of-Distribution": LP-FT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from regraft.training.methods.full import Full
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.training.fitting import Fitting
    from regraft.training.phase import Phase

PLACE = "regraft_start_"
"""Begin of the names of the buffers that hold a head."""


class InterpolateOptions(GradientOptions):
    """Between the probed and the tuned model (Wortsman et al. 2022, "WiSE-FT")."""

    method: Literal["interpolate"]
    """The model is between two others."""
    mix: float = Field(0.5, ge=0, le=1)
    """Where between: 0 is the encoder as it came with a head trained for it, 1 the fine-tuned model. The paper's choice where nothing
    is known about the rows to come is 0.5 (section 4)."""
    head_epochs: int = Field(2, ge=1, le=100)
    """How many of the `epochs` train the head alone, first."""

    @model_validator(mode="after")
    def _both_ends_are_trained(self) -> Self:
        if self.head_epochs >= self.epochs:
            raise ValueError(
                f"`head_epochs` ({self.head_epochs}) leaves none of `epochs` ({self.epochs}) for the encoder; "
                f"write head_epochs: {max(1, self.epochs // 4)} or epochs: {self.head_epochs + 1}"
            )
        return self


class Interpolate(Full):
    """Two phases. The head between them is kept inside the model, so that a checkpoint has it; the encoder there is the one that came."""

    name = "interpolate"
    version = 2
    rank = 46
    options = InterpolateOptions
    families = frozenset({"encoder", "decoder"})
    """Whose head is new."""

    def prepare(self, model: PreTrainedModel, family: ModelFamily, seed: int, options: InterpolateOptions) -> None:
        """Make place for the head at the line's other end."""
        for number, parameter in enumerate(_head(model, family)):
            model.register_buffer(_place(number), parameter.detach().clone())

    def phases(self, fitting: Fitting, options: InterpolateOptions) -> list[Phase]:
        import torch

        from regraft.training.methods.l2sp import started

        model, head, came = fitting.model, _head(fitting.model, fitting.family), started(fitting.model)
        everything = self.groups(model, fitting.family, options)

        @torch.no_grad()
        def keep() -> dict[str, float]:
            for number, parameter in enumerate(head):
                model.get_buffer(_place(number)).copy_(parameter)
            return {}

        @torch.no_grad()
        def mix() -> dict[str, float]:
            for parameter, start in [*came, *((parameter, model.get_buffer(_place(number))) for number, parameter in enumerate(head))]:
                parameter.copy_(between(start, parameter, options.mix))
            return {}

        return [
            fitting.phase("head", options.head_epochs, everything[1:], after=keep),
            fitting.phase("all", options.epochs - options.head_epochs, everything, first=options.head_epochs, after=mix),
        ]

    def finish(self, model: PreTrainedModel) -> None:
        """Take the other end's head out."""
        for name in [name for name, _ in model.named_buffers(recurse=False) if name.startswith(PLACE)]:
            delattr(model, name)


def between(start: Tensor, end: Tensor, mix: float) -> Tensor:
    """``(1 - mix) * start + mix * end``; the ends themselves to the bit."""
    return start if mix == 0 else end if mix == 1 else start.lerp(end, mix)


def _head(model: PreTrainedModel, family: ModelFamily) -> list[nn.Parameter]:
    return [parameter for module in family.head(model) for parameter in module.parameters()]


def _place(number: int) -> str:
    return f"{PLACE}{number}"


INTERPOLATE = Interpolate()
