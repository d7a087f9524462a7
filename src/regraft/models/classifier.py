"""A fine-tuned classifier read from its folder. Self-contained: json, numpy, torch and transformers, nothing of regraft.

The file travels with the registered model, so that what is measured before a promotion and what serves after it
are the same code. The folder holds what ``AutoModelForSequenceClassification`` and ``AutoTokenizer`` load, and
``labels.json`` (the classes in the order of the outputs) and ``serving.json`` (``max_length``, ``text_column``). Where it
holds ``calibration.json`` too, logits are divided by its ``temperature``, and answers whose probability is below its
``abstain.below`` are marked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classifier:
    """Texts in, class probabilities out."""

    model: Any
    tokenizer: Any
    labels: tuple[str, ...]
    max_length: int
    text_column: str
    temperature: float = 1.0
    abstain_below: float | None = None
    """None: the model never abstains."""

    def predict(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Probabilities ``[len(texts), len(labels)]``, rows summing to 1."""
        return torch.softmax(torch.from_numpy(self.logits(texts, batch_size)) / self.temperature, dim=-1).numpy()

    def abstains(self, p: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """[rows] of :meth:`predict` that the model had rather not answer; None for one that never abstains."""
        return None if self.abstain_below is None else p.max(axis=1, initial=0.0).astype(np.float64) < self.abstain_below

    def logits(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """What the model gives each label ``[len(texts), len(labels)]``, before the temperature.

        Batches are made by length, and equal lengths by content, so that the order of ``texts`` changes nothing.
        """
        if bad := [f"{i}: {type(text).__name__}" for i, text in enumerate(texts) if not isinstance(text, str)]:
            raise TypeError(f"texts must be strings; row {bad[0]}")
        result = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        if not len(texts):
            return result
        rows = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, return_token_type_ids=False)["input_ids"]
        by_length = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i]))
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                chosen = by_length[start : start + batch_size]
                batch = self.tokenizer.pad({"input_ids": [rows[i] for i in chosen]}, return_tensors="pt").to(self.model.device)
                result[chosen] = self.model(**batch).logits.float().cpu().numpy()
        return result


def load(folder: str | Path, device: str = "cpu") -> Classifier:
    """The classifier in ``folder``, in fp32 and evaluation mode; weights from safetensors only, no network."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(folder)
    serving = json.loads((folder / "serving.json").read_text(encoding="utf8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf8"))
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    path = folder / "calibration.json"
    calibration = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    calibrated = {"temperature": calibration.get("temperature", 1.0), "abstain_below": calibration.get("abstain", {}).get("below")}
    return Classifier(model.eval().to(device), tokenizer, tuple(labels), serving["max_length"], serving["text_column"], **calibrated)
