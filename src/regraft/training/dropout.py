"""Dropout that draws a quarter of the random numbers: four decisions of 16 bits each from one number of 64 bits.

PyTorch draws one number of 64 bits for each element, which is a fifth of a pretraining's time (docs/log.md, 2026-11-29). Here a value is
dropped where its 16 bits lie below ``round(65,536 * p)``: with p = 0.1 in 6,554 of 65,536 cases, and never further than 1 / 131,072 from
what was asked for. What stays is divided by the share that stays in truth, so that the mean is that of the values. The numbers are those
of torch's own generator, so that they follow from its seed as before. A GPU draws as PyTorch does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

CASES = 1 << 16
LOWEST = -(1 << 63)
"""Of int64. From here on, and up to no end, ``random_`` gives all 64 bits; as it comes the highest is always 0, and a quarter of the
numbers would have 15 bits."""


@contextmanager
def quarter_draws() -> Iterator[None]:
    """Inside it, dropout on a CPU is this one, whoever calls for it; processes that are forked meanwhile have it as well."""
    former = nn.functional.dropout
    nn.functional.dropout = _instead_of(former)
    try:
        yield
    finally:
        nn.functional.dropout = former


def _instead_of(former: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        cases = round(CASES * p)
        if not training or inplace or input.device.type != "cpu" or not 0 < cases < CASES:
            return former(input, p, training, inplace)
        return input * factors(input.shape, cases, input.dtype)

    return dropout


def factors(shape: torch.Size, cases: int, dtype: torch.dtype) -> Tensor:
    """What values are multiplied with: 0 with the probability ``cases / 65,536``, else what makes the mean 1; independent of each other.

    Kept for the gradient in the type of the values, as PyTorch does: bool would be less memory, and 4 ns an element more in the gradient.
    """
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(LOWEST, None)
    stays = words.view(torch.int16)[:count].view(shape) >= cases - CASES // 2
    return stays.to(dtype).mul_(CASES / (CASES - cases))
