"""Fine-tuning an encoder into a text classifier.

The stock architecture: first token, pooler, linear layer (Devlin et al. 2019, "BERT", section 4.1), so that plain
transformers can serve the result. The pooler starts anew with the head: the one that came with the encoder was
trained for something else, and masked-language modelling drops it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.core.randomness import order, seed_of, words
from regraft.evaluation import temperature
from regraft.models import encoder, kinds
from regraft.models.machine import Machine
from regraft.training.loop import train
from regraft.training.options import FinetuneOptions
from regraft.training.phase import Batches, Group, Phase

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel

POOL = 16  # batches among which rows are sorted by length: nearly no padding, and still a random order


@dataclass(frozen=True)
class Rows:
    """Tokenized training rows, and which of them a step sees."""

    ids: Sequence[NDArray[np.int64]]
    labels: NDArray[np.int64]
    batch_size: int
    pad_id: int
    seed: int
    names: Sequence[str]
    """The rows' own ids."""

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return math.ceil(len(self.ids) / self.batch_size)

    @cached_property
    def _epochs(self) -> dict[int, list[NDArray[np.int64]]]:
        return {}

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of one epoch, as row numbers: each row once, rows of like length together, batches in random order."""
        if number not in self._epochs:
            self._epochs.clear()
            shuffled = order(len(self.ids), self.seed, number)
            span = self.batch_size * POOL
            batches = []
            for start in range(0, len(shuffled), span):
                pool = sorted(shuffled[start : start + span].tolist(), key=lambda i: len(self.ids[i]))
                batches += [np.array(pool[i : i + self.batch_size]) for i in range(0, len(pool), self.batch_size)]
            self._epochs[number] = [batches[i] for i in np.argsort(words(len(batches), self.seed, "batches", number), kind="stable")]
        return self._epochs[number]

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and attention mask ``[rows, longest]`` and labels ``[rows]`` of one step, int64."""
        return self.padded(self.chosen(step))

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Numbers of the rows of one step."""
        return self.epoch(step // self.steps)[step % self.steps]

    def longest(self, count: int) -> NDArray[np.int64]:
        """Numbers of the ``count`` longest rows, some more than once where there are fewer."""
        ranked = np.argsort([-len(ids) for ids in self.ids], kind="stable")
        return np.resize(ranked[:count], count)

    def padded(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and attention mask ``[rows, longest]`` and labels ``[rows]`` of the rows with these numbers, int64."""
        longest = max(len(self.ids[i]) for i in chosen)
        ids = np.full((len(chosen), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, i in enumerate(chosen):
            ids[place, : len(self.ids[i])] = self.ids[i]
            mask[place, : len(self.ids[i])] = 1
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(self.labels[chosen])


def finetune(
    source: Path,
    rows: pd.DataFrame,
    labels: Sequence[str],
    options: FinetuneOptions,
    *,
    name: str,
    text_column: str,
    seed: int,
    out: Path,
    precision: float | None = None,
) -> dict[str, float]:
    """Train a classifier on the encoder in ``source`` and write a folder that plain transformers can load to ``out``.

    :param rows: columns id, text, label, split; ``train`` is trained on, ``dev`` calibrated and measured on, ``test`` not looked at.
    :param precision: the share of right answers below which the model abstains (:mod:`regraft.evaluation.temperature`);
        None: it never does.
    :returns: rows, tokens and steps trained, the temperature, and ``dev_macro_f1``, ``dev_accuracy``, ``dev_loss`` of dev rows.
    :raises DataRejected: there is no training row, or no dev row for a model that is to abstain.
    :raises ConfigError: the encoder has fewer positions than ``options.max_length``.
    """
    from transformers import AutoModelForSequenceClassification

    training = rows[rows["split"] == "train"]
    if training.empty:
        raise DataRejected("no labelled row is left for training", fix="add rows to data.labelled, or lower split.test and split.dev")
    dev = rows[rows["split"] == "dev"]
    if precision is not None and dev.empty:
        raise DataRejected("no dev row is left to choose the threshold of `abstain` on", fix="add dev rows, or take `abstain` out")
    encoder.check_length(source, options.max_length, "finetune.max_length")
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model, _ = encoder.load(AutoModelForSequenceClassification, source, num_labels=len(labels), **names)
    fresh_head(model, seed)
    data = tokenized(source, training, labels, options, seed)
    train(name, model, partial(phases, rows=data, options=options), seed=seed, checkpoint_seconds=options.checkpoint_seconds)
    encoder.save(model, source, out)
    files.write_json(out / "labels.json", list(labels))
    kinds.describe(out, text_column, max_length=options.max_length)
    measured = calibrated(out, dev, labels, precision)
    tokens = sum(map(len, data.ids)) * options.epochs
    return {"rows": len(training), "tokens": tokens, "steps": data.steps * options.epochs, **measured}


def fresh_head(model: PreTrainedModel, seed: int) -> None:
    """Initialise pooler and head anew, from the seed alone (normal, ``initializer_range``; biases 0)."""
    generator = torch.Generator().manual_seed(seed_of(seed, "head"))
    spread = getattr(model.config, "initializer_range", 0.02)
    for module in (part for top in encoder.outside_encoder(model) for part in top.modules()):
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.normal_(0.0, spread, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()


def tokenized(source: Path, rows: pd.DataFrame, labels: Sequence[str], options: FinetuneOptions, seed: int) -> Rows:
    """``rows`` as token ids, cut at ``options.max_length``, and label numbers."""
    fast = encoder.backend(source)
    fast.no_padding()
    fast.enable_truncation(options.max_length)
    ids = [np.asarray(e.ids, dtype=np.int64) for e in fast.encode_batch_fast(rows["text"].tolist())]
    number = {label: i for i, label in enumerate(labels)}
    pad = encoder.tokenizer(source).pad_token_id or 0
    numbers = np.asarray([number[label] for label in rows["label"]], dtype=np.int64)
    return Rows(ids, numbers, options.batch_size, pad, seed, rows["id"].tolist())


def phases(model: PreTrainedModel, machine: Machine, *, rows: Rows, options: FinetuneOptions) -> list[Phase]:
    """One phase: everything is trained, the new head at its own rate."""
    head = [p for module in encoder.outside_encoder(model) for p in module.parameters()]
    new = {id(p) for p in head}
    old = [p for p in model.parameters() if id(p) not in new]

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        ids, mask, labels = (part.to(machine.device) for part in batch)
        logits = model(input_ids=ids, attention_mask=mask).logits
        return nn.functional.cross_entropy(logits.float(), labels, label_smoothing=options.label_smoothing)

    groups = [
        Group(old, options.learning_rate, "finetune.learning_rate"),
        Group(head, options.head_learning_rate, "finetune.head_learning_rate"),
    ]
    batches = Batches(
        "finetune.batch_size",
        rows=lambda step: [rows.names[i] for i in rows.chosen(step)],
        length=lambda step: max(len(rows.ids[i]) for i in rows.chosen(step)),
        largest=lambda count: loss(rows.padded(rows.longest(count))),
    )
    tokens = sum(map(len, rows.ids)) / rows.steps
    return [Phase("all", rows.steps * options.epochs, lambda step: loss(rows.batch(step)), groups, batches=batches, tokens=tokens)]


def calibrated(folder: Path, rows: pd.DataFrame, labels: Sequence[str], precision: float | None) -> dict[str, float]:
    """Calibrate the saved classifier on ``rows``, through the code that will serve it, and measure it there.

    :returns: temperature, and macro-F1, accuracy and mean loss as it is served, where there are rows.
    """
    from sklearn.metrics import f1_score

    number = {label: i for i, label in enumerate(labels)}
    truth = np.asarray([number[label] for label in rows["label"]], dtype=np.int64)
    logits = kinds.load(folder).logits(rows["text"].tolist())
    calibration = temperature.calibrate(logits.astype(np.float64), truth, precision)
    calibration.write(folder)
    if calibration.dev_loss is None:
        return calibration.metrics()
    chosen = logits.argmax(axis=1)
    return {
        **calibration.metrics(),
        "dev_rows": len(rows),
        "dev_macro_f1": float(f1_score(truth, chosen, average="macro")),
        "dev_accuracy": float((chosen == truth).mean()),
        "dev_loss": calibration.dev_loss,
    }
