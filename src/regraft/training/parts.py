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
CHUNK = 1 << 18
"""Elements of a chunk: 1 MB of fp32, of which an encoder of 22M weights has 180."""


def share(rows: Sequence[T], part: int, parts: int) -> Sequence[T]:
    """The rows of one part: as many as of any other, or one more; none where there are fewer rows than parts."""
    return rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]


def summed(low: int, high: int, leaf: Callable[[int, int], Sequence[Tensor]], depth: int = 0) -> Sequence[Tensor]:
    """The sum of the parts ``low`` to ``high - 1``, a power of two many, as the tree has it.

    :param leaf: (part, place) -> its gradients, in tensors that may be added to. Places are numbered from ``depth``: a part may
        lie where an earlier one of the same number lay, whose sum is taken by then. There are :func:`places` of them.
    """
    if high - low == 1:
        return leaf(low, depth)
    middle = (low + high) // 2
    left = summed(low, middle, leaf, depth)
    torch._foreach_add_(list(left), list(summed(middle, high, leaf, depth + 1)))
    return left


def places(parts: int) -> int:
    """How many sets of gradients :func:`summed` has at a time, of so many parts."""
    return parts.bit_length()


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
