"""A classifier that plain transformers serve: what ``AutoModelForSequenceClassification`` and ``AutoTokenizer`` load.

Self-contained: json, numpy, torch and transformers, nothing of regraft. The file travels with the registered model, so that what
is measured before a promotion and what serves after it are the same code. ``serving.json`` says ``max_length``, in tokens.
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
class SequenceClassifier:
    """A transformer with a head that gives each label a number."""

    model: Any
    tokenizer: Any
    max_length: int

    def logits(self, rows: Sequence[str | tuple[str, str]], batch_size: int) -> NDArray[np.float32]:
        """``[rows, labels]``. Batches are made by length, and equal lengths by content, so that the order of ``rows`` changes nothing."""
        import torch

        ids = encode(self.tokenizer, rows, self.max_length)
        by_length = sorted(range(len(ids)), key=lambda i: (len(ids[i]), ids[i]))
        result = np.zeros((len(ids), self.model.config.num_labels), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(ids), batch_size):
                chosen = by_length[start : start + batch_size]
                batch = padded(self.tokenizer, [ids[i] for i in chosen]).to(self.model.device)
                result[chosen] = self.model(**batch).logits.float().cpu().numpy()
        return result

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax, in torch's arithmetic."""
        import torch

        return torch.softmax(torch.from_numpy(logits), dim=-1).numpy()


def encode(tokenizer: Any, rows: Sequence[str | tuple[str, str]], max_length: int) -> list[list[int]]:
    """Token ids of each row, cut at ``max_length``: what a model of this kind is trained on, and what it is asked with.

    Of a pair the longer text is cut first. Separators alone tell its texts apart, no token types: many models have none.
    """
    pairs = bool(len(rows)) and not isinstance(rows[0], str)
    texts = tuple(map(list, zip(*rows, strict=True))) if pairs else (list(rows),)
    ids: list[list[int]] = tokenizer(*texts, truncation="longest_first", max_length=max_length, return_token_type_ids=False)["input_ids"]
    return [row or [tokenizer.pad_token_id] for row in ids]  # a tokenizer of a decoder may make nothing of an empty text


def padded(tokenizer: Any, ids: Sequence[Sequence[int]]) -> Any:
    """A batch of :func:`encode`'s rows as training has them, whatever a tokenizer's files say: padded on the right, with a mask."""
    return tokenizer.pad({"input_ids": list(ids)}, padding_side="right", return_attention_mask=True, return_tensors="pt")


def load(folder: Path, device: str | None) -> SequenceClassifier:
    """The classifier in ``folder``, in fp32 and evaluation mode; weights from safetensors only, no network."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    max_length = json.loads((folder / "serving.json").read_text(encoding="utf8"))["max_length"]
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    best = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return SequenceClassifier(model.eval().to(best), tokenizer, max_length)
