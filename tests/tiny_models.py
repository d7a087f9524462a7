"""Small models of any architecture with random weights, and a tokenizer of the tiny workspace's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyspace import COMMON, TOPICS

from regraft.core import files
from regraft.models.families.decoder import DECODERS

SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "head_dim": 16,
    "max_position_embeddings": 64, "embedding_size": 32, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "pad_token_id": 0,
    "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, "num_key_value_heads": 2, "attention_window": 8,
    "conv_kernel_size": 3, "num_groups": 1, "head_ratio": 1, "num_landmarks": 8, "input_embedding_size": 32, "output_embedding_size": 32,
    "q_groups": 2, "k_groups": 2, "v_groups": 2, "post_attention_groups": 1, "intermediate_groups": 2, "output_groups": 2,
    "true_hidden_size": 32, "intra_bottleneck_size": 32, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_inner": 48,
    "rotary_dim": 8, "window_size": 16, "sliding_window": 16, "d_model": 32, "d_kv": 16, "d_ff": 48, "decoder_start_token_id": 0,
}  # fmt: skip
"""A small model of any type: each reads of it what it knows."""
OF_TYPE: dict[str, dict[str, Any]] = {
    "gpt_neo": {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    "t5": {"num_layers": 2, "num_heads": 2, "eos_token_id": 1},
}
T5 = ("mt5", "t5", "umt5")
OF_TYPE |= dict.fromkeys(T5, OF_TYPE["t5"])
FRAMED = frozenset({"gemma", "gemma2", "llama"})
"""Decoders of which the tokenizer puts a token before each text."""


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make(folder: Path, model_type: str, kind: Any = None, **more: Any) -> Path:
    """Write a model of ``model_type`` and its tokenizer; ``kind``: the class it is built as, by default that without a head."""
    if model_type == "encoder-decoder":
        return make_pair(folder)
    import torch
    from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    size = write_tokenizer(folder, model_type)
    torch.manual_seed(3)
    config = CONFIG_MAPPING[model_type](**{"vocab_size": size, **SMALL, **OF_TYPE.get(model_type, {}), **more})
    if model_type in T5:
        kind = kind or AutoModelForSeq2SeqLM
    (kind or AutoModel).from_config(config).save_pretrained(folder)
    return folder


def make_pair(folder: Path) -> Path:
    """Write an ``EncoderDecoderModel`` of two small BERTs, as ``from_encoder_decoder_pretrained`` leaves it: no first token, no padding."""
    import torch
    from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel

    folder.mkdir(parents=True)
    size = write_tokenizer(folder, "encoder-decoder")
    torch.manual_seed(3)
    parts = [BertConfig(**{"vocab_size": size, **SMALL}) for _ in range(2)]
    EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(*parts)).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, model_type: str) -> int:
    """As the architecture has it; returns the size of its vocabulary. Decoders name no token to pad with, as GPT-2 and Llama do not."""
    if model_type == "qwen2":  # AutoTokenizer takes its class, whatever the folder says
        return _as_qwen2(folder)
    if model_type in T5:
        return _as_t5(folder)
    causal = model_type in DECODERS
    free = [*(f"[unused{number}]" for number in range(20)), *sorted(TOPICS)] if model_type == "encoder-decoder" else []
    tokenizer = _of_bytes(framed=model_type in FRAMED) if causal else _of_words(free)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = ("bos_token", "eos_token") if causal else ("cls_token", "sep_token", "pad_token", "mask_token", "unk_token")
    names = dict(zip(roles, ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"), strict=False))
    files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **names})
    return int(tokenizer.get_vocab_size())


def _as_qwen2(folder: Path) -> int:
    from transformers import Qwen2Tokenizer

    model = json.loads(_of_bytes(framed=False).to_str())["model"]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], eos_token="[SEP]")
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def _as_t5(folder: Path) -> int:
    from transformers import T5Tokenizer

    letters = sorted({letter for word in _words() for letter in word})
    words = sorted({*_words(), *TOPICS})
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((f"▁{word}", -4.0) for word in words)]
    tokenizer = T5Tokenizer(vocab=[*vocabulary, *((letter, -9.0) for letter in letters)], extra_ids=20)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def _words() -> list[str]:
    return sorted({*COMMON, *(word for topic in TOPICS.values() for word in topic)})


def _of_words(more: list[str]) -> Any:
    """One token a word, ``more``, and a frame of two."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    known = {token: number for number, token in enumerate([*SPECIAL, *more, *_words()])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", known["[SEP]"]), ("[CLS]", known["[CLS]"]))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _of_bytes(*, framed: bool) -> Any:
    """Pairs of bytes, as GPT-2's; ``framed``: with a token before each text, as Llama's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([f" {word}" for word in _words()], trainer)
    before = [processors.TemplateProcessing(single="[CLS] $A", pair="[CLS] $A [CLS] $B", special_tokens=[("[CLS]", 2)])] if framed else []
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), *before])
    return tokenizer
