"""Encoder-decoders as they are trained: a model that knows what a text begins with, and what its decoder reads to write one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from regraft.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def load(source: Path) -> PreTrainedModel:
    """The model in ``source``, which knows what a text begins with and is padded by.

    ``EncoderDecoderModel.from_encoder_decoder_pretrained`` leaves both open; a text then begins with what the tokenizer puts first.

    :raises ConfigError: neither the model nor its tokenizer knows a first token.
    """
    from regraft.models import encoder, tokenizer

    model, _ = encoder.load_pretrained(source)
    config: Any = model.config
    fast = tokenizer.load(source)
    if config.pad_token_id is None:
        config.pad_token_id = fast.pad_token_id
    if config.decoder_start_token_id is None:
        config.decoder_start_token_id = next((one for one in (fast.cls_token_id, fast.bos_token_id) if one is not None), None)
    if config.decoder_start_token_id is None:
        raise ConfigError(
            f"the decoder of the base model ({source}) begins a text with no token", fix="write decoder_start_token_id into config.json"
        )
    return model


def shifted(written: Tensor, model: PreTrainedModel) -> Tensor:
    """What the decoder reads to write ``written`` ``[rows, length]``: its first token, and each one but the last.

    What is below 0, because nothing is written there, is padding.
    """
    import torch

    start = torch.full_like(written[:, :1], cast(Any, model.config).decoder_start_token_id)
    before = torch.cat([start, written[:, :-1]], dim=1)
    return before.masked_fill(before < 0, cast(Any, model.config).pad_token_id or 0)
