"""``finetune.dev_curve``: the loss on dev rows after every epoch is told, and changes no bit of the model."""

from __future__ import annotations

import pandas as pd
import pytest
from stopping import stopped_at
from tinyspace import tiny_rows, write_tiny_model

from regraft.core import files, progress
from regraft.core.errors import Interrupted
from regraft.core.progress import Running, running
from regraft.training.finetuning import finetune
from regraft.training.options import ON_DEV, finetune_options

LABELS = ["garden", "harbour", "kitchen"]
STEPS = 6
"""Of one epoch: 90 rows in batches of 16."""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains with options of its own; returns the digest of the weights and the points of the dev curve."""
    base = write_tiny_model(tmp_path / "tiny")
    table = pd.DataFrame(tiny_rows())
    table["split"] = ["dev" if place % 4 == 3 else "train" for place in range(len(table))]
    points = []

    def heard(event, **values):
        if event == "progress":
            points.extend((values["done"], value) for key, value in values["metrics"].items() if key == f"finetune/{ON_DEV}")

    monkeypatch.setattr(progress, "emit", heard)

    def train(checkpoints=None, **own):
        points.clear()
        options = finetune_options({}, {"batch_size": 16, "max_length": 16, "epochs": 2, **own})
        with running(Running(pipeline="tiny", checkpoints=checkpoints)):
            finetune(base, table, LABELS, options, name="finetune", text_column="text", seed=17, out=tmp_path / "out")
        return files.sha256_file(tmp_path / "out" / "model.safetensors"), list(points)

    return train


WAYS = {"parts": {}, "whole": {"shards": 1}, "phases": {"method": "gradual_unfreezing", "groups": 1}, "kept": {"method": "upper_layers"}}


@pytest.mark.parametrize("own", WAYS.values(), ids=WAYS)
def test_the_loss_on_dev_rows_is_told_after_every_epoch_and_the_model_is_the_same_to_the_bit(trained, own):
    model, curve = trained(**own)
    assert [done for done, _ in curve] == [STEPS, 2 * STEPS]
    assert curve[0][1] != curve[1][1]
    assert trained(**own, dev_curve=0) == (model, [])


def test_so_many_rows_are_measured_as_were_asked_for(trained):
    assert trained(dev_curve=5)[1] != trained()[1]


def test_a_training_that_goes_on_tells_the_rest_of_the_same_curve(trained, tmp_path):
    model, curve = trained()
    with stopped_at(STEPS), pytest.raises(Interrupted):
        trained(tmp_path / "checkpoints")
    assert trained(tmp_path / "checkpoints") == (model, curve[1:])


def test_what_is_kept_of_dev_rows_gives_the_curve_that_computing_all_layers_gives(trained, tmp_path, monkeypatch):
    config = tmp_path / "tiny" / "config.json"  # without dropout both train the same model, but for rounding
    files.write_json(config, {**files.read_json(config), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    (_, kept) = trained(method="upper_layers")
    monkeypatch.setattr("regraft.training.kept_layers.MOST_BYTES", 0)
    (_, anew) = trained(method="upper_layers")
    assert kept == [(done, pytest.approx(loss, abs=1e-3)) for done, loss in anew]
    assert len(kept) == 2
