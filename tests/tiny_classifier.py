"""A random classifier of three labels, deployable, 30 kB. Load it with ``runpy.run_path``."""

from __future__ import annotations

import json
from pathlib import Path

LABELS = ("numpy", "pandas", "torch")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "array", "frame", "tensor", "the", "of")


def make(folder: Path, seed: int) -> Path:
    """Write model, tokenizer, labels.json and serving.json to ``folder``; the weights are a function of ``seed``."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "labels.json").write_text(json.dumps(LABELS))
    (folder / "serving.json").write_text(json.dumps({"text_column": "text", "max_length": 32}))
    return folder
