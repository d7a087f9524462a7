"""A text and one of several classes.

The stock architectures, so that plain transformers can serve the result: of encoders first token, pooler, linear layer (Devlin et al.
2019, "BERT", section 4.1); of decoders a linear layer on the last token (Radford et al. 2018, "Improving Language Understanding by
Generative Pre-Training", section 3.2). Encoder-decoders write the name of the class (Raffel et al. 2020, "Exploring the Limits of Transfer
Learning with a Unified Text-to-Text Transformer", section 2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    Ints = NDArray[np.int64]


class TextClassification:
    """Each row has a text and the name of a class."""

    name = "text-classification"
    version = 1
    families = frozenset({"encoder", "decoder", "encoder_decoder"})

    def model(self, source: Path, labels: Sequence[str]) -> PreTrainedModel:
        """``AutoModelForSequenceClassification``, its outputs named by ``labels``; an encoder-decoder as it is, and the names beside it."""
        from transformers import AutoModelForSequenceClassification

        from regraft.models import encoder, tokenizer, written_names
        from regraft.models.families import family, family_in

        if "encoder_decoder" in family_in(source).stands_for:
            return written_names.load(source, labels)
        names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        model = encoder.load(AutoModelForSequenceClassification, source, num_labels=len(labels), **names)[0]
        if "decoder" in family(model).stands_for:
            model.config.pad_token_id = tokenizer.load(source).pad_token_id  # the last token is the last that is not this one
            model.config.use_cache = False
        return model

    def encode(self, source: Path, rows: pd.DataFrame, max_length: int) -> list[Ints]:
        """The column ``text`` through the tokenizer in ``source``, special tokens included; of pairs ``first`` and ``second`` together."""
        import numpy as np

        from regraft.models import tokenizer
        from regraft.models.kinds.sequence_classification import encode

        texts = list(zip(rows["first"], rows["second"], strict=True)) if "second" in rows else rows["text"].tolist()
        ids = encode(tokenizer.load(source), texts, max_length)
        return [np.asarray(row, dtype=np.int64) for row in ids]

    def truth(self, rows: pd.DataFrame, labels: Sequence[str]) -> Ints:
        """The column ``label`` as places in ``labels``."""
        import numpy as np

        number = {label: i for i, label in enumerate(labels)}
        return np.asarray([number[label] for label in rows["label"]], dtype=np.int64)

    def serving(self, folder: Path, labels: Sequence[str]) -> dict[str, Any]:
        """Nothing; of an encoder-decoder the kind that makes it answer, and the names that it may write."""
        from regraft.models import written_names
        from regraft.models.families import family_in

        of = family_in(folder)
        return {"kind": "verbalised", "names": written_names.names(labels)} if "encoder_decoder" in of.stands_for else {}

    def loss(
        self, model: PreTrainedModel, ids: Tensor, mask: Tensor, truth: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """Cross-entropy in nats a row; of a name that is written, summed over its tokens, and smoothed over all that could be written."""
        from torch import nn

        from regraft.models import written_names

        if (names := getattr(model, written_names.BUFFER, None)) is not None:
            return written_names.loss(model, ids, mask, names[truth], smoothing, weights), len(truth)
        logits = model(input_ids=ids, attention_mask=mask).logits
        if weights is None:
            return nn.functional.cross_entropy(logits.float(), truth, label_smoothing=smoothing), len(truth)
        costs = nn.functional.cross_entropy(logits.float(), truth, label_smoothing=smoothing, reduction="none")
        return (costs * weights).mean(), len(truth)


TEXT_CLASSIFICATION = TextClassification()
