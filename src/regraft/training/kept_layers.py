"""Layers that stay as they are, and what they make of each row: computed once, and read again in every epoch.

Nothing below the lowest trained layer changes, and no dropout is drawn there, so its output is the same in every epoch. Rows of one
length are computed together, in the order of their numbers and in one thread, so that what is kept follows from rows and weights alone:
a training that goes on from a checkpoint, or on another number of cores, reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regraft.core.progress import watched
from regraft.models.machine import Machine
from regraft.training.rows import Rows

TOGETHER = 1_024
"""Tokens that are computed at a time."""
MOST_BYTES = 1 << 30
"""Most that is kept, in fp32; beyond it the layers below compute every batch anew."""


class _Reached(Exception):
    """Ends a forward pass behind the last layer whose output is wanted."""


@dataclass
class KeptLayers:
    """The ``below`` lowest of a model's layers, whose output stands in for them while the others are trained."""

    model: nn.Module
    below: Sequence[nn.Module]
    upcoming: Sequence[Tensor] = ()
    """What is kept of the rows of the batch that comes next, each ``[tokens, width]``, fp32."""
    _is_tuple: bool = False
    _taken: Tensor | None = None

    def fit(self, *tables: Rows) -> bool:
        """Whether what would be kept of the rows of ``tables`` is no more than :data:`MOST_BYTES`."""
        width = int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        return 4 * width * sum(len(ids) for rows in tables for ids in rows.ids) <= MOST_BYTES

    @torch.no_grad()
    def computed(self, rows: Rows, machine: Machine) -> RowsOfKept:
        """``rows`` with what the layers make of each, read once; weights on ``machine`` already.

        :raises Interrupted: asked to stop.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self.model.eval()
        handle = self.below[-1].register_forward_hook(self._take)
        outputs = [torch.empty(0)] * len(rows.ids)
        try:
            for numbers in watched(list(_alike(rows)), "rows", len(rows.ids), len):
                for row, output in zip(numbers, self._output(rows, numbers, machine), strict=True):
                    outputs[row] = output.clone()
        finally:
            handle.remove()
            torch.set_num_threads(threads)
        return RowsOfKept(**{each.name: getattr(rows, each.name) for each in fields(Rows)}, kept=self, outputs=outputs)

    def stand_in(self) -> None:
        """Put what was computed in the place of the layers: from now on the model answers to :class:`RowsOfKept` alone."""
        for layer in self.below:
            layer.forward = self._stand_in if layer is self.below[-1] else self._pass

    def _output(self, rows: Rows, numbers: Sequence[int], machine: Machine) -> Tensor:
        ids, mask, _ = (part.to(machine.device) for part in rows.padded(np.array(numbers)))
        try:
            with machine.autocast():
                self.model(input_ids=ids, attention_mask=mask)
        except _Reached:
            assert self._taken is not None
            return self._taken.float()
        raise AssertionError("the last of the layers below was not reached")

    def _take(self, _: nn.Module, __: Any, output: Any) -> None:
        self._is_tuple = isinstance(output, tuple)
        self._taken = output[0] if self._is_tuple else output
        raise _Reached

    def _as_layers_do(self, states: Tensor) -> Any:
        return (states,) if self._is_tuple else states

    def _pass(self, states: Tensor, *_: Any, **__: Any) -> Any:
        return self._as_layers_do(states)

    def _stand_in(self, states: Tensor, *_: Any, **__: Any) -> Any:
        read = torch.zeros(states.shape, dtype=torch.float32, device=states.device)
        for place, output in enumerate(self.upcoming):
            read[place, : len(output)] = output
        return self._as_layers_do(read)


def _alike(rows: Rows) -> Iterator[list[int]]:
    """Numbers of rows of one length, of :data:`TOGETHER` tokens at most, in a fixed order."""
    ordered = sorted(range(len(rows.ids)), key=lambda row: len(rows.ids[row]))
    for length, same in groupby(ordered, key=lambda row: len(rows.ids[row])):
        numbers, size = list(same), max(1, TOGETHER // length)
        yield from (numbers[start : start + size] for start in range(0, len(numbers), size))


def never_dropped(modules: Iterable[nn.Module]) -> None:
    """Draw no dropout in ``modules``, whose output is computed with every batch and not kept."""
    for module in modules:
        module.eval()
        module.train = partial(_stays, module)  # type: ignore[method-assign]


def _stays(module: nn.Module, _: bool = True) -> nn.Module:
    return module


def as_before(modules: Iterable[nn.Module]) -> None:
    """Let ``modules`` compute again what their class says."""
    for module in modules:
        for name in ("forward", "train"):
            vars(module).pop(name, None)


@dataclass(frozen=True)
class RowsOfKept(Rows):
    """Rows that say what is kept of those in the next batch."""

    kept: KeptLayers
    outputs: Sequence[Tensor]
    """Of each row, ``[tokens, width]``, fp32."""

    def padded(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        self.kept.upcoming = [self.outputs[row] for row in chosen]
        return super().padded(chosen)
