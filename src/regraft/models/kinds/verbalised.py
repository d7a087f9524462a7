"""An encoder-decoder that answers with the name of a class: each class is as likely as its name is to follow the text.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section 2.4; of all texts that the
decoder could write only the names are weighed, so that every answer is a class. Self-contained: json, numpy, torch and transformers,
nothing of regraft; the file travels with the registered model. ``serving.json`` says ``max_length``, in tokens, and ``names``, in the order
of the labels; the rest is what ``AutoModelForSeq2SeqLM`` and ``AutoTokenizer`` load.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REQUIREMENTS = ("torch", "transformers", "safetensors")
PAIRS = True
"""A pair comes as a tuple and is encoded as one."""


@dataclass(frozen=True)
class Verbalised:
    """An encoder-decoder, and the token ids of the names that it may answer."""

    model: Any
    tokenizer: Any
    names: Sequence[Sequence[int]]
    max_length: int

    def logits(self, rows: Sequence[str | tuple[str, str]], batch_size: int) -> NDArray[np.float32]:
        """``[rows, labels]`` log-likelihoods in nats. Batches are made by length, and equal lengths by content: order changes nothing."""
        import torch

        ids = encode(self.tokenizer, rows, self.max_length)
        by_length = sorted(range(len(ids)), key=lambda i: (len(ids[i]), ids[i]))
        result = np.zeros((len(ids), len(self.names)), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(ids), batch_size):
                chosen = by_length[start : start + batch_size]
                result[chosen] = self._likelihoods([ids[i] for i in chosen]).cpu().numpy()
        return result

    def _likelihoods(self, rows: Sequence[Sequence[int]]) -> Any:
        """``[rows, labels]``; the encoder reads the rows once."""
        import torch

        batch = self.tokenizer.pad({"input_ids": list(rows)}, padding_side="right", return_attention_mask=True, return_tensors="pt")
        ids, mask = batch["input_ids"].to(self.model.device), batch["attention_mask"].to(self.model.device)
        read = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        columns = []
        for name in self.names:
            target = torch.tensor([name] * len(rows), device=ids.device)
            began = torch.cat([torch.full_like(target[:, :1], self.model.config.decoder_start_token_id), target[:, :-1]], dim=1)
            logits = self.model(encoder_outputs=read, attention_mask=mask, decoder_input_ids=began, use_cache=False).logits.float()
            columns.append(logits.log_softmax(dim=-1).gather(-1, target.unsqueeze(-1)).sum(dim=(1, 2)))
        return torch.stack(columns, dim=1)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax: what is left where no other text may be written."""
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)


def encode(tokenizer: Any, rows: Sequence[str | tuple[str, str]], max_length: int) -> list[list[int]]:
    """Token ids of each row, cut at ``max_length``, the longer text of a pair first, as in training."""
    pairs = bool(len(rows)) and not isinstance(rows[0], str)
    texts = tuple(map(list, zip(*rows, strict=True))) if pairs else (list(rows),)
    ids: list[list[int]] = tokenizer(*texts, truncation="longest_first", max_length=max_length, return_token_type_ids=False)["input_ids"]
    return [row or [tokenizer.pad_token_id] for row in ids]


def name_ids(tokenizer: Any, names: Sequence[str]) -> list[list[int]]:
    """What the decoder writes for each name: its tokens, and what ends a text."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return [[*tokenizer(name, add_special_tokens=False)["input_ids"], end] for name in names]


def load(folder: Path, device: str | None) -> Verbalised:
    """The model in ``folder``, in fp32 and evaluation mode; weights from safetensors only, no network."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    serving = json.loads((folder / "serving.json").read_text(encoding="utf8"))
    options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32, "attn_implementation": "eager"}
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, **options)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    best = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Verbalised(model.eval().to(best), tokenizer, name_ids(tokenizer, serving["names"]), serving["max_length"])
