"""Encoder-decoders: text in, text out; a decoder reads what an encoder made of the text (Raffel et al. 2020, "Exploring the Limits of
Transfer Learning with a Unified Text-to-Text Transformer", section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from regraft.models.families.encoder import Encoder

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from regraft.data.packing import Frame

ENCODER_DECODERS = frozenset({"encoder-decoder", "mt5", "t5", "umt5"})
"""Of the types of transformers 5.23's AutoModelForSeq2SeqLM those that learned, or can learn, from text with runs cut out, and ask for no
language beside it."""


class EncoderDecoder(Encoder):
    """What transformers builds as ``AutoModelForSeq2SeqLM``. A task changes its weights and gives it no head: it answers in words."""

    name = "encoder_decoder"
    version = 1
    stands_for = frozenset({"encoder_decoder"})
    model_types = ENCODER_DECODERS
    pretrained = "AutoModelForSeq2SeqLM"
    objective = "span_corruption"
    method = "full"

    def frame(self, tokenizer: PreTrainedTokenizerBase) -> Frame:
        """What stands round a text for the tokenizer stands round each sequence, of T5 an end alone; after each document is an end, too."""
        from regraft.data.packing import Frame

        *begin, end = tokenizer("")["input_ids"]
        return Frame(begin=tuple(begin), end=(end,), after=(end,))

    def body(self, model: PreTrainedModel) -> nn.Module:
        """The encoder: what it makes of a text is what a probe reads."""
        return cast("nn.Module", cast(Any, model).get_encoder())

    def head(self, model: PreTrainedModel) -> list[nn.Module]:
        """None: the matrix that writes words is as much part of the model as the one that reads them."""
        return []

    def layers(self, model: PreTrainedModel) -> nn.Module:
        """Those of the encoder, and those of the decoder after them."""
        from torch import nn

        return nn.ModuleList([layer for part in (self.body(model), cast(Any, model).get_decoder()) for layer in _outermost(part)])


def _outermost(part: Any) -> Any:
    """The layers: inside one of T5 is a list again, of three, which is longer than a decoder of two layers."""
    from torch import nn

    return next(module for module in part.modules() if isinstance(module, nn.ModuleList))


ENCODER_DECODER = EncoderDecoder()
