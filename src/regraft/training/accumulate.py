"""In a worker: where the gradients of a part go, and weights in the precision that they are multiplied in.

A gradient is added to memory that stays as soon as autograd has it, so no second set of them is ever there. Under bf16 autocast a
linear layer reads a copy of its weight that the optimizer's step left (:func:`low`), instead of casting the weight in every worker at
every step, and its gradient goes from bf16 straight into the fp32 sum. The values are those of autocast, to the bit, but for a layer
that is read more than once: autocast adds its gradients in bf16. An embedding gives the rows that were looked up, not 30,522 of which
most are zero. Together that is 11 % of a worker's time with 22M weights and 8 sequences of 128 tokens (docs/log.md, 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regraft.models.machine import Machine

Low = Mapping[Tensor, Tensor]
"""A bf16 copy of each weight that is multiplied with."""


def linears(model: nn.Module) -> list[nn.Linear]:
    """Layers that are exactly ``nn.Linear`` and compute as it does; of a subclass nobody knows what it does with its weight."""
    plain = [module for module in model.modules() if type(module) is nn.Linear and "forward" not in vars(module)]
    return [module for module in plain if isinstance(module.weight, nn.Parameter) and module.weight.dtype == torch.float32]


def low(model: nn.Module, machine: Machine) -> list[Tensor]:
    """The weights of which a copy in bf16 saves casts here: each once, also where it is tied."""
    return list(dict.fromkeys(module.weight for module in linears(model))) if machine.precision == "bf16" else []


class Accumulator:
    """Takes what :meth:`Tensor.backward` finds for ``parameters``. It changes ``model``, so it belongs into a process of its own."""

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter], low: Low) -> None:
        self._number: dict[Tensor, int] = {parameter: number for number, parameter in enumerate(parameters)}
        self._sums: Sequence[Tensor] = ()
        self.present: list[bool] = []
        """Of each parameter: whether the loss depends on it, since :meth:`begin`."""
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]
        for module in linears(model):
            if module.weight in low:
                module.forward = _Linear(self, module, low[module.weight])  # type: ignore[method-assign, assignment]
        for embedding in (module for module in model.modules() if type(module) is nn.Embedding):
            embedding.sparse = not embedding.scale_grad_by_freq

    def begin(self, sums: Sequence[Tensor]) -> None:
        """What is found from now on belongs into ``sums``, one of each parameter, whatever they hold."""
        self._sums, self.present = sums, [False] * len(sums)

    def end(self) -> None:
        """Zero the sums of parameters on which nothing depended."""
        for there, own in zip(self.present, self._sums, strict=True):
            if not there:
                own.zero_()

    def add(self, parameter: Tensor, gradient: Tensor) -> None:
        """The first is written, and further ones are added, in autograd's order."""
        number = self._number[parameter]
        own = self._sums[number]
        if self.present[number]:
            own.add_(gradient)
        elif gradient.is_sparse:
            own.zero_().add_(gradient)
        else:
            own.copy_(gradient)
        self.present[number] = True

    def takes(self, parameter: Tensor) -> bool:
        """Whether ``parameter`` is trained."""
        return parameter in self._number

    def _take(self, parameter: Tensor) -> None:
        if parameter.grad is not None:  # None: its gradient was added by _Weight, all of it
            self.add(parameter, parameter.grad)
            parameter.grad = None


class _Linear:
    """``nn.Linear.forward`` on the copy of the weight, where autocast would make one."""

    def __init__(self, accumulator: Accumulator, module: nn.Linear, low: Tensor) -> None:
        self._accumulator, self._module, self._low = accumulator, module, low

    def __call__(self, inputs: Tensor) -> Tensor:
        module, weight = self._module, self._low
        if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != weight.dtype:
            return nn.functional.linear(inputs, module.weight, module.bias)
        if self._accumulator.takes(module.weight):
            weight = _Weight.apply(module.weight, weight, self._accumulator)  # type: ignore[no-untyped-call]
        return nn.functional.linear(inputs, weight, module.bias)


class _Weight(torch.autograd.Function):
    """The copy in the place of the weight; its gradient goes to the accumulator, and autograd is told of none."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, low: Tensor, accumulator: Accumulator) -> Tensor:
        ctx.weight, ctx.accumulator = weight, accumulator
        return low.view_as(low)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.accumulator.add(ctx.weight, gradient)
        return None, None, None
