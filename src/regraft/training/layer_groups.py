"""Layers at rates of their own: what lies lower knows more general things, and has less to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.training.phase import Group


def layer_groups(model: PreTrainedModel, family: ModelFamily, rate: float, decay: float) -> list[Group]:
    """Each layer, from the top down, the top one at ``rate`` and each other at that of the one above it divided by ``decay``.

    Embeddings, and what stands before the first layer, are with the lowest; what stands behind a layer and in none, such as a last norm
    or a matrix that writes words, is with that layer. The head is left out.
    """
    from regraft.training.phase import Group

    layers: list[nn.Module] = list(family.layers(model).children())
    depth = {id(p): number for number, layer in enumerate(layers) for p in layer.parameters()}
    lowest = _embeddings(model, layers)
    left_out = {id(p) for module in family.head(model) for p in module.parameters()}
    members: list[list[nn.Parameter]] = [[] for _ in layers]
    behind = 0
    for parameter in model.parameters():  # in the order in which architectures build their parts, which is that of computing
        own = depth.get(id(parameter))
        behind = behind if own is None else own
        if id(parameter) not in left_out:
            members[0 if id(parameter) in lowest else behind].append(parameter)
    rates = [rate / decay**below for below in range(len(members))]
    return [Group(each, own, "finetune.learning_rate") for each, own in zip(members[::-1], rates, strict=True) if each]


def _embeddings(model: PreTrainedModel, layers: list[nn.Module]) -> set[int]:
    """Ids of what turns tokens into vectors: every embedding outside of the layers, and what shares a module with one, such as its norm."""
    from torch import nn

    inside = {module for layer in layers for module in layer.modules()}
    outside = [module for module in model.modules() if module not in inside]
    beside = [module for module in outside if any(isinstance(part, nn.Embedding) for part in module.children())]
    whole = [module for module in beside if not inside & set(module.modules())]
    tables = [part for module in beside for part in module.children() if isinstance(part, nn.Embedding)]
    return {id(p) for module in [*whole, *tables] for p in module.parameters()}
