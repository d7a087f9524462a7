"""Steps that GPUs share, one of each rank: every rank computes its parts of a batch one after the other, and takes the whole step.

What a part is and in which order their gradients are added is said in :mod:`regraft.training.parts`; so one GPU that computes all parts
ends with the bits of several. Gradients travel through the memory of the machine, where a + b is what it is on the GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regraft.core.randomness import seed_of
from regraft.models.machine import Machine
from regraft.training.parts import summed
from regraft.training.phase import Phase
from regraft.training.ranks import Ranks


@dataclass
class Divided:
    """Takes the steps of one phase."""

    phase: Phase
    model: nn.Module
    optimizer: torch.optim.Optimizer
    machine: Machine
    seed: int
    ranks: Ranks

    def step(self, step: int, factor: float, clip: float) -> tuple[float, float]:
        """One step at ``factor`` of the peak rates: its loss, and the norm of its gradient; no weight changes where one is not finite."""
        self.model.train(self.phase.dropout)
        parameters = [parameter for group in self.phase.groups for parameter in group.parameters]
        for group, options in zip(self.phase.groups, self.optimizer.param_groups, strict=True):
            options["lr"] = group.rate * factor
        value = self._gradients(step, parameters)
        norm = nn.utils.clip_grad_norm_(parameters, clip).item()
        if math.isfinite(value) and math.isfinite(norm):
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return value, norm

    def _gradients(self, step: int, parameters: Sequence[nn.Parameter]) -> float:
        """Leave the gradient of the mean over the batch, of all ranks; returns the mean, with the penalty."""
        share = self.machine.shards // self.ranks.count
        losses: dict[int, tuple[float, int]] = {}
        present = [False] * len(parameters)

        def leaf(part: int, _: int) -> Sequence[Tensor]:
            torch.manual_seed(seed_of(self.seed, "dropout", self.phase.name, step, part))
            assert self.phase.part is not None
            with self.machine.autocast():
                own = self.phase.part(step, part, self.machine.shards)
            for parameter in parameters:
                parameter.grad = None
            if own is not None and own[1]:
                loss = own[0] * own[1]
                losses[part] = loss.item(), own[1]
                loss.backward()  # type: ignore[no-untyped-call]
            present[:] = [before or parameter.grad is not None for before, parameter in zip(present, parameters, strict=True)]
            return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]

        sums = summed(self.ranks.number * share, (self.ranks.number + 1) * share, leaf)
        self.ranks.add(sums)
        told = self.ranks.gather((losses, present))
        everywhere = {part: loss for parts, _ in told for part, loss in parts.items()}
        weight = max(1, sum(count for _, count in everywhere.values()))
        for parameter, total, has in zip(parameters, sums, map(any, zip(*(has for _, has in told), strict=True)), strict=True):
            parameter.grad = total.div_(weight) if has else None
        mean = math.fsum(loss for loss, _ in everywhere.values()) / weight
        if self.phase.penalty is None:
            return mean
        with self.machine.autocast():
            penalty = self.phase.penalty()
        penalty.backward()  # type: ignore[no-untyped-call]
        return mean + penalty.item()

    def close(self) -> None:
        """Nothing is held."""
