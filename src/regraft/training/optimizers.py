"""What takes a step: the optimizers, as a pipeline file names them. Importable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

OptimizerName = Literal["adamw", "adam", "sgd"]
WEIGHT_DECAY = 0.01
"""Devlin et al. 2019, "BERT", appendix A.2."""
MOMENTUM = 0.9
"""Of ``sgd``; without it fine-tuning takes many times the steps (Sutskever et al. 2013, "On the importance of initialization and momentum
in deep learning")."""
MOMENTS: Mapping[str, tuple[str, ...]] = {
    "adamw": ("exp_avg", "exp_avg_sq"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
}
"""What torch calls the tensors that an optimizer keeps of each parameter. All begin at 0: a first step of momentum is then the gradient."""


@dataclass(frozen=True)
class Optimizer:
    """An optimizer that is still to be made, of the parameters of a phase."""

    name: OptimizerName = "adamw"
    weight_decay: float = WEIGHT_DECAY

    def of(self, groups: Sequence[Mapping[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of ``groups``, each ``{params, lr}``; ``lr`` may be left out where it is set before every step."""
        import torch

        given = [dict(group) for group in groups]
        if self.name == "sgd":
            return torch.optim.SGD(given, momentum=MOMENTUM, weight_decay=self.weight_decay, fused=True)
        kind = torch.optim.AdamW if self.name == "adamw" else torch.optim.Adam
        return kind(given, weight_decay=self.weight_decay, fused=True)

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of the tensors that it keeps of each parameter, of its shape."""
        return MOMENTS[self.name]

    @property
    def counts(self) -> bool:
        """Whether it keeps the number of steps of each parameter as well, as ``step``."""
        return self.name != "sgd"


ADAMW = Optimizer()
