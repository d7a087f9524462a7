"""A frozen encoder and a linear layer on its pooled output: what ``linear_probe`` leaves.

Self-contained: json, numpy, torch and transformers, nothing of regraft. The file travels with the registered model, and training
embeds its rows through it too. ``serving.json`` says ``max_length``, in tokens, ``pooling``, and where a vector is brought to a length
before the layer reads it, ``length``; ``head.safetensors`` holds ``weight``
``[labels, width]`` and ``bias`` ``[labels]``; the rest is what ``AutoModel`` and ``AutoTokenizer`` load.
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
STRIDE = 8
"""Rows are padded to a multiple of it."""
ROWS, TOKENS = 8, 512
"""Least rows and least tokens of a batch: fewer leave fewer places over where texts have many lengths. In products of 128 lines what a row
gives was seen to depend on the number of threads."""
ROWS_OF_GPU = 64
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingHead:
    """An encoder whose vectors are read by one linear layer."""

    encoder: Any
    tokenizer: Any
    weight: Floats
    bias: Floats
    max_length: int
    pooling: str
    length: float | None = None
    """What a vector is brought to before the layer reads it; None: it is read as it is."""

    def logits(self, rows: Sequence[str | tuple[str, str]], batch_size: int) -> Floats:
        """``[rows, labels]``, of vectors that are a function of each row alone (:func:`vectors`), and so of a batch of their own size."""
        ids = encode(self.tokenizer, rows, self.max_length)
        read = vectors(self.encoder, ids, self.tokenizer.pad_token_id or 0, self.pooling)
        if self.length is not None:
            read = read * (self.length / np.maximum(np.linalg.norm(read, axis=1, keepdims=True), 1e-12))
        return np.asarray(read @ self.weight.T + self.bias, dtype=np.float32)

    def probabilities(self, logits: Floats) -> Floats:
        """Softmax."""
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)


def encode(tokenizer: Any, rows: Sequence[str | tuple[str, str]], max_length: int) -> list[list[int]]:
    """Token ids of each row, cut at ``max_length``, the longer text of a pair first, as in training."""
    pairs = bool(len(rows)) and not isinstance(rows[0], str)
    texts = tuple(map(list, zip(*rows, strict=True))) if pairs else (list(rows),)
    ids: list[list[int]] = tokenizer(*texts, truncation="longest_first", max_length=max_length, return_token_type_ids=False)["input_ids"]
    return [row or [tokenizer.pad_token_id] for row in ids]  # a tokenizer of a decoder may make nothing of an empty text


def swift(encoder: Any) -> Any:
    """``encoder`` with torch's own attention, where its architecture has it: 59 texts a second become 77 (MiniLM, fp32, two cores)."""
    if getattr(encoder, "_supports_sdpa", False):
        encoder.set_attn_implementation("sdpa")
    return encoder


def vectors(encoder: Any, ids: Sequence[Sequence[int]], pad_id: int, pooling: str) -> Floats:
    """``[rows, width]``: of each row the mean of the last layer over its tokens, or the first token's vector (``cls``).

    Batches of one length have one number of rows, and the length follows from the row: places left over are filled with the batch's own
    rows again. The arithmetic of a row then does not depend on what stands beside it, so a stored vector is the one that would be
    computed (to the bit, MiniLM on AMX with 1 to 4 threads).
    """
    import torch

    width, least = encoder.config.hidden_size, ROWS if encoder.device.type == "cpu" else ROWS_OF_GPU
    result = np.empty((len(ids), width), dtype=np.float32)
    by_length: dict[int, list[int]] = {}
    for place, row in enumerate(ids):
        by_length.setdefault(-(-len(row) // STRIDE) * STRIDE, []).append(place)
    with torch.inference_mode():
        for length, places in sorted(by_length.items()):
            batch_size = max(least, -(-TOKENS // length))
            for start in range(0, len(places), batch_size):
                chosen = np.resize(places[start : start + batch_size], batch_size)
                batch = np.full((batch_size, length), pad_id, dtype=np.int64)
                mask = np.zeros((batch_size, length), dtype=np.int64)
                for line, place in enumerate(chosen):
                    batch[line, : len(ids[place])], mask[line, : len(ids[place])] = ids[place], 1
                seen = torch.from_numpy(mask).to(encoder.device)
                hidden = encoder(input_ids=torch.from_numpy(batch).to(encoder.device), attention_mask=seen).last_hidden_state.float()
                if pooling == "mean":
                    pooled = (hidden * seen.unsqueeze(-1)).sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp(min=1)
                else:
                    pooled = hidden[:, 0]
                result[chosen] = pooled.cpu().numpy()
    return result


def load(folder: Path, device: str | None) -> EmbeddingHead:
    """The model in ``folder``, in fp32 and evaluation mode; weights from safetensors only, no network."""
    import torch
    from safetensors.numpy import load_file
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # a pooler that nobody reads is missing
    serving = json.loads((folder / "serving.json").read_text(encoding="utf8"))
    options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32, "attn_implementation": "eager"}
    encoder = AutoModel.from_pretrained(folder, **options)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    head = load_file(folder / "head.safetensors")
    best = device or ("cuda" if torch.cuda.is_available() else "cpu")
    read = (serving["max_length"], serving["pooling"], serving.get("length"))
    return EmbeddingHead(swift(encoder).eval().to(best), tokenizer, head["weight"], head["bias"], *read)
