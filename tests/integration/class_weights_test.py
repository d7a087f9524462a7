"""``finetune.class_weights``: what a row of each class costs, in parts as in whole batches, and how exactly it goes on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from stopping import stopped_at
from tinyspace import tiny_rows, write_tiny_model

from regraft.core import files
from regraft.core.errors import ConfigError, Interrupted
from regraft.core.progress import Running, running
from regraft.execution.resolve import resolve
from regraft.models.task_types import task_type
from regraft.models.task_types.text_classification import TextClassification
from regraft.training.finetuning import finetune
from regraft.training.fitting import balanced
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


def test_each_class_that_has_rows_costs_the_same_and_the_mean_row_1():
    labels = np.array([0, 0, 0, 2])
    weights = balanced(labels, 3).numpy()
    assert weights[[0, 2]] * [3, 1] == pytest.approx([2, 2])
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_a_batch_costs_what_its_rows_cost_each_by_its_weight_so_that_parts_add_up(model_type, tmp_path):
    source, task = tiny_models.make(tmp_path / model_type, model_type), task_type("text-classification")
    model = task.model(source, LABELS).eval()
    rows = pd.DataFrame(tiny_rows()[:3])
    ids = torch.from_numpy(np.stack([np.resize(row, 8) for row in task.encode(source, rows, 8)]))
    truth, weights = torch.tensor([0, 1, 2]), torch.tensor([0.5, 1.0, 3.0])

    def total(chosen, weighed):
        own = {"weights": weights[chosen]} if weighed else {}
        mean, count = task.loss(model, ids[chosen], torch.ones_like(ids[chosen]), truth[chosen], 0.1, **own)
        return mean.item() * count

    each = [total([row], False) for row in range(3)]
    assert total([0, 1, 2], True) == pytest.approx(sum(np.multiply(each, weights.numpy())), rel=1e-4)
    assert total([0, 1, 2], True) == pytest.approx(total([0], True) + total([1, 2], True), rel=1e-4)
    assert len(set(np.round(each, 6))) == 3


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes_and_weights_change_them(tmp_path):
    base = write_tiny_model(tmp_path / "tiny")
    table = pd.DataFrame([row for row in tiny_rows() if row["label"] != LABELS[2] or row["id"].endswith("1")])
    table["split"] = "train"

    def train(out, checkpoints=None, **own):
        options = finetune_options({}, {"batch_size": 16, "max_length": 16, "epochs": 2, **own})
        with running(Running(pipeline="tiny", checkpoints=checkpoints)):
            finetune(base, table, LABELS, options, name="finetune", text_column="text", seed=17, out=tmp_path / out)
        return files.sha256_file(tmp_path / out / "model.safetensors")

    whole = train("whole", class_weights="balanced")
    assert whole != train("plain")
    with stopped_at(3), pytest.raises(Interrupted):
        train("cut", tmp_path / "checkpoints", class_weights="balanced")
    assert train("cut", tmp_path / "checkpoints", class_weights="balanced") == whole


def test_a_task_type_whose_loss_takes_no_weights_is_refused_with_both_keys(tiny, monkeypatch):
    assert resolve(tiny, "tiny", ["finetune.class_weights=balanced"])["finetune-base"]["finetune"]["class_weights"] == "balanced"
    assert "class_weights" not in resolve(tiny, "tiny")["finetune-base"]["finetune"]
    monkeypatch.setattr(TextClassification, "loss", lambda self, model, ids, mask, truth, smoothing: None)
    with pytest.raises(ConfigError, match=r"finetune\.class_weights: the loss of task\.type text-classification takes no weights"):
        resolve(tiny, "tiny", ["finetune.class_weights=balanced"])
