"""Encoders: text in, one vector a token out; each token sees all others (Devlin et al. 2019, "BERT", section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from regraft.data.packing import Frame

ENCODERS = frozenset({
    "albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "eurobert", "longformer", "megatron-bert", "mobilebert", "modernbert", "mpnet", "nomic_bert", "nystromformer",
    "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "yoso",
})  # fmt: skip
"""The text encoders among the model types of transformers 5.23's AutoModelForMaskedLM (modeling_auto.py)."""


class Encoder:
    """What transformers builds as ``AutoModelForMaskedLM``, and its task models: a body, and beside it a head."""

    name = "encoder"
    version = 1
    stands_for = frozenset({"encoder"})
    model_types = ENCODERS
    pretrained = "AutoModelForMaskedLM"
    objective = "mlm"
    method = "full"

    def frame(self, tokenizer: PreTrainedTokenizerBase) -> Frame:
        """What stands round a text for the tokenizer stands round each sequence; the last token of it ends a document, too."""
        from regraft.data.packing import frame_of

        return frame_of(tokenizer.backend_tokenizer)

    def body(self, model: PreTrainedModel) -> nn.Module:
        """The encoder, without any head."""
        return model.base_model

    def head(self, model: PreTrainedModel) -> list[nn.Module]:
        """What is beside the encoder, and the encoder's pooler, which masked-language modelling drops."""
        beside = [module for module in model.children() if module is not model.base_model]
        pooler = getattr(model.base_model, "pooler", None)
        return beside if pooler is None else [pooler, *beside]

    def layers(self, model: PreTrainedModel) -> nn.Module:
        """The longest list of modules in the encoder: architectures call it by many names."""
        from torch import nn

        lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)]
        return max(lists, key=len)


ENCODER = Encoder()
