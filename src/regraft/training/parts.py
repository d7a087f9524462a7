"""A step's gradient as the sum over a fixed number of parts of its rows, added up in one fixed order.

Which process computes a part changes no bit: a part is a fixed range of rows with dropout of its own, computed in one thread, and
parts are added as the leaves of one binary tree. Whoever holds a subtree may add it up alone. What happens to the sum afterwards, its
norm, clipping and the optimizer, happens to fixed runs of each parameter's elements (:class:`Chunk`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Gradients = list[Tensor | None]
"""One of each parameter; None: nothing depends on it."""

CHUNK = 1 << 18
"""Elements of a chunk: 1 MB of fp32, of which an encoder of 22M weights has 180."""


def share(rows: Sequence[T], part: int, parts: int) -> Sequence[T]:
    """The rows of one part: as many as of any other, or one more; none where there are fewer rows than parts."""
    return rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]


def summed(low: int, high: int, leaf: Callable[[int], Gradients]) -> Gradients:
    """The sum of the parts ``low`` to ``high - 1``, a power of two many, as the tree has it.

    At most ``log2(high - low) + 1`` sets of gradients are there at a time.
    """
    if high - low == 1:
        return leaf(low)
    middle = (low + high) // 2
    left = summed(low, middle, leaf)
    return added(left, summed(middle, high, leaf))


def added(left: Gradients, right: Gradients) -> Gradients:
    """``left + right``, computed in the place of ``left``."""
    both = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    return [b if a is None else a for a, b in zip(left, right, strict=True)]


def gradients(loss: Tensor, parameters: Sequence[Tensor]) -> Gradients:
    """The gradient of ``loss``, each in memory of its own, so that it may be added to in place."""
    seen: set[int] = set()
    owned: Gradients = []
    for gradient in torch.autograd.grad(loss, list(parameters), allow_unused=True):
        if gradient is None:
            owned.append(None)
            continue
        place = gradient.untyped_storage().data_ptr()  # the gradients of a + b are one tensor; that of a sum is one expanded number
        owned.append(gradient.clone(memory_format=torch.contiguous_format) if place in seen or not gradient.is_contiguous() else gradient)
        seen.add(place)
    return owned


@dataclass(frozen=True)
class Chunk:
    """Elements ``start`` to ``stop`` of a parameter, flattened."""

    parameter: int
    """Its place among those that are trained."""
    start: int
    stop: int

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """A view of the chunk's elements, ``[stop - start]``."""
        return tensors[self.parameter].view(-1)[self.start : self.stop]


def chunks(parameters: Sequence[Tensor]) -> list[Chunk]:
    """Every element of ``parameters`` in one chunk: where they are cut follows from their sizes alone."""
    return [
        Chunk(place, start, min(start + CHUNK, parameter.numel()))
        for place, parameter in enumerate(parameters)
        for start in range(0, parameter.numel(), CHUNK)
    ]
