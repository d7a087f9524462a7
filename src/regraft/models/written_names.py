"""Encoder-decoders that are trained to write the name of a class; :mod:`regraft.models.kinds.verbalised` is how they answer.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

BUFFER = "written_names"
"""Where a model has the token ids of the names, ``[labels, longest]``, and NOTHING behind a name."""
NOTHING = -100
"""torch's ``ignore_index``."""


def names(labels: Sequence[str]) -> list[str]:
    """What is written for each label: itself, and spaces for underscores."""
    return [label.replace("_", " ") for label in labels]


def load(source: Path, labels: Sequence[str]) -> PreTrainedModel:
    """The encoder-decoder in ``source``, and beside its weights, in no checkpoint and no file, the names.

    :raises ConfigError: the tokenizer makes the same of two names.
    """
    import torch

    from regraft.models import tokenizer, writing
    from regraft.models.kinds.verbalised import name_ids

    model, ids = writing.load(source), name_ids(tokenizer.load(source), names(labels))
    for place, own in enumerate(ids):
        if own in ids[:place]:
            other = labels[ids.index(own)]
            raise ConfigError(
                f"the tokenizer of the base model ({source}) makes the same tokens of the labels {other!r} and {labels[place]!r}, so no "
                "model can write the one or the other",
                fix="rename one of them in data.labelled, or name another base_model",
            )
    longest = max(map(len, ids))
    table = torch.tensor([own + [NOTHING] * (longest - len(own)) for own in ids])
    model.register_buffer(BUFFER, table, persistent=False)
    return model


def loss(model: PreTrainedModel, ids: Tensor, mask: Tensor, written: Tensor, smoothing: float, weights: Tensor | None = None) -> Tensor:
    """Nats that writing costs, ``written`` being token ids ``[rows, longest]``: summed over the tokens of a row, the mean over rows.

    :param smoothing: share of the target that is spread over all tokens (Vaswani et al. 2017, "Attention Is All You Need", section 5.4).
    :param weights: what each row's cost is multiplied by, ``[rows]``; None: 1.
    """
    from torch import nn

    from regraft.models.writing import shifted

    logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=shifted(written, model), use_cache=False).logits
    words, truth = logits.flatten(0, 1).float(), written.flatten()
    if weights is None:
        return nn.functional.cross_entropy(words, truth, label_smoothing=smoothing, reduction="sum") / len(written)
    costs = nn.functional.cross_entropy(words, truth, label_smoothing=smoothing, reduction="none")
    return (costs.view(written.shape).sum(dim=1) * weights).mean()
