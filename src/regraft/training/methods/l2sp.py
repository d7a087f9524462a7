"""``l2sp``: every weight is trained, and the encoder's are drawn back to those it began with.

Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", section 3.2. What an encoder knew lies in
its weights, so what stays near them is forgotten least; the head is new and has nothing to stay near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.methods.full import Full
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class L2SpOptions(GradientOptions):
    """Full fine-tuning that stays near its start (Li et al. 2018)."""

    method: Literal["l2sp"]
    """The distance from the start costs."""
    strength: float = Field(0.1, ge=0, le=1e4)
    """Half of it times the squared distance of the encoder's weights from their start is added to the loss."""


class L2Sp(Full):
    """The groups and rates of ``full``."""

    name = "l2sp"
    version = 2
    rank = 42
    options = L2SpOptions

    def penalty(self, model: PreTrainedModel, options: L2SpOptions) -> Callable[[], Tensor] | None:
        return distance(started(model), options.strength)


def started(model: PreTrainedModel) -> list[tuple[nn.Parameter, Tensor]]:
    """The encoder's parameters, each with a copy of itself; the pooler is new, and belongs to the head."""
    from regraft.models.families import family

    new = {id(p) for module in family(model).head(model) for p in module.parameters()}
    return [(p, p.detach().clone()) for p in model.parameters() if id(p) not in new]


def distance(
    began: Iterable[tuple[nn.Parameter, Tensor]], strength: float, weights: Iterable[Tensor] | None = None
) -> Callable[[], Tensor] | None:
    """What the distance from the start costs, as a function of the weights as they are when it is called; None: nothing.

    :param weights: what each squared difference is multiplied by first; None: by 1.
    """
    pairs = list(began)
    by = list(weights) if weights is not None else None
    if not strength or not pairs:
        return None

    def cost() -> Tensor:
        squares = [(weight - start).square() for weight, start in pairs]
        if by is not None:
            squares = [square * one for square, one in zip(squares, by, strict=True)]
        total = squares[0].sum()
        for square in squares[1:]:
            total = total + square.sum()
        return strength / 2 * total

    return cost


L2SP = L2Sp()
