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

    What is in no layer, such as the embeddings, is with the lowest; the head is left out.
    """
    from regraft.training.phase import Group

    layers: list[nn.Module] = list(family.layers(model).children())[::-1]
    seen = {id(p) for module in family.head(model) for p in module.parameters()}
    members: list[list[nn.Parameter]] = []
    for layer in layers:
        members.append([p for p in layer.parameters() if id(p) not in seen])
        seen |= {id(p) for p in members[-1]}
    members[-1] += [p for p in model.parameters() if id(p) not in seen]
    rates = [rate / decay**depth for depth in range(len(members))]
    return [Group(each, own, "finetune.learning_rate") for each, own in zip(members, rates, strict=True) if each]
