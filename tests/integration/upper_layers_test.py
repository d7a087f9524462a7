"""`upper_layers`: what lies below stays, is computed once, and a training goes on exactly."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from stopping import stopped_at
from tinyspace import tiny_table, write_tiny_model

from regraft.core import files
from regraft.core.errors import ConfigError, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.training import kept_layers
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture(scope="module")
def rows():
    return tiny_table("dev", "train", "train", "train")


def train(base, rows, out, checkpoints=None, **own):
    with running(Running(pipeline="tiny", checkpoints=checkpoints)):
        shared = {"batch_size": 16, "max_length": 16, "epochs": 4, "learning_rate": 3e-3}
        options = finetune_options(shared, {"method": "upper_layers", **own})
        return finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out)


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_only_what_lies_above_changes_and_the_folder_is_a_plain_one(base, rows, tmp_path):
    metrics = train(base, rows, tmp_path / "out", epochs=20, learning_rate=5e-3, head_learning_rate=5e-3)
    began, now = weights(base), weights(tmp_path / "out")
    same = {name for name, value in began.items() if np.array_equal(now[f"bert.{name}"], value)}
    assert same == {name for name in began if name.startswith(("embeddings.", "encoder.layer.0."))}
    assert metrics["dev_macro_f1"] > 0.6
    assert not [name for name in now if "kept" in name]


def test_stopped_twice_and_continued_it_leaves_the_same_folder(base, rows, tmp_path):
    whole = train(base, rows, tmp_path / "whole")
    with stopped_at(3, 12):
        for _ in range(2):
            with pytest.raises(Interrupted):
                train(base, rows, tmp_path / "cut", checkpoints=tmp_path / "checkpoints")
            STOP.clear()
        assert train(base, rows, tmp_path / "cut", checkpoints=tmp_path / "checkpoints") == whole
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "whole")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_one_core_and_two_make_the_same_model(base, rows, tmp_path):
    every = os.sched_getaffinity(0)
    for cores in (1, 2):
        os.sched_setaffinity(0, sorted(every)[:cores])
        try:
            train(base, rows, tmp_path / str(cores), shards=4)
        finally:
            os.sched_setaffinity(0, every)
    assert files.tree(tmp_path / "1") == files.tree(tmp_path / "2")


def test_what_is_kept_is_what_the_layers_give(base, rows, tmp_path, monkeypatch):
    """Without dropout above, a training that computes the layers below anew ends with the same weights but for rounding."""
    import json

    config = json.loads((base / "config.json").read_text())
    calm = write_tiny_model(tmp_path / "calm")
    files.write_json(calm / "config.json", {**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    train(calm, rows, tmp_path / "kept")
    monkeypatch.setattr(kept_layers, "MOST_BYTES", 0)
    train(calm, rows, tmp_path / "anew")
    kept, anew = weights(tmp_path / "kept"), weights(tmp_path / "anew")
    assert all(np.allclose(kept[name], anew[name], atol=2e-3) for name in kept)


def test_where_too_much_would_be_kept_the_layers_below_draw_no_dropout(base, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_layers, "MOST_BYTES", 0)
    trained_modes = []
    plain = torch.nn.Dropout.forward
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, values: (trained_modes.append(self.training), plain(self, values))[1])
    train(base, rows, tmp_path / "out", shards=1, epochs=1)
    training = trained_modes[: 6 * (1 + 2 * 2 + 1)]  # embeddings, two of each layer, head
    assert any(training)
    assert not all(training)


@pytest.mark.parametrize(("frozen", "text"), [(2, "none is left to train"), (7, "none is left to train")])
def test_a_model_of_which_nothing_would_be_trained_is_refused(base, rows, tmp_path, frozen, text):
    with pytest.raises(ConfigError, match=text) as refused:
        train(base, rows, tmp_path / "out", frozen_layers=frozen)
    assert refused.value.fix == "finetune.frozen_layers: 1"
