"""Gradient checkpointing: a layer's inputs are kept, and what it computed of them is computed once more when its gradient is due.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 3.2: memory of one layer's activations in the place of all
layers', for one forward pass more. Dropout draws what it drew. The switch of transformers is no way, as it is off where a model is
trained without dropout, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache


@contextmanager
def recomputed(layers: Iterable[nn.Module], *, wanted: bool = True) -> Iterator[None]:
    """Inside it, ``layers`` keep nothing of what they compute, where that is ``wanted``; processes that are forked meanwhile do as well."""
    changed = [layer for layer in dict.fromkeys(layers) if wanted and "forward" not in vars(layer)]
    try:
        for layer in changed:
            layer.forward = _Recomputed(layer.forward)
        yield
    finally:
        for layer in changed:
            del layer.forward


class _Recomputed:
    """``forward`` of one layer."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._forward(*inputs, **named)
        without = {name: _no_cache(value) for name, value in named.items()} | ({"use_cache": False} if "use_cache" in named else {})
        return checkpoint(self._forward, *map(_no_cache, inputs), use_reentrant=False, **without)


def _no_cache(value: Any) -> Any:
    """``value``, or None for a cache of keys and values, which a layer that is computed twice would fill twice."""
    return None if isinstance(value, Cache) else value
