"""Methods that keep an encoder near what it was, `l2sp`, `ewc`, `gradual_unfreezing`, `interpolate`, and how exactly they go on."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models
from stopping import stopped_at
from tinyspace import tiny_table

from regraft.core import files
from regraft.core.errors import Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.models import encoder
from regraft.models.families import family
from regraft.models.task_types import task_type
from regraft.training import schedules
from regraft.training.finetuning import finetune
from regraft.training.layer_groups import layer_groups
from regraft.training.methods import gradual_unfreezing
from regraft.training.methods.full import FULL
from regraft.training.methods.interpolate import INTERPOLATE
from regraft.training.options import finetune_options, pretrain_options

LABELS = ["garden", "harbour", "kitchen"]
METHODS = {
    "l2sp": {"strength": 0.1},
    "ewc": {"strength": 0.1, "fisher_sequences": 8},
    "gradual_unfreezing": {"groups": 2, "rate_decay": 1.5},
    "interpolate": {"head_epochs": 1},
}


@pytest.fixture(scope="module")
def rows():
    return tiny_table("dev", "train", "train", "train")


@pytest.fixture(autouse=True)
def little_general_text(monkeypatch):
    """The docstrings of two modules, not of 200: packing all of them takes 7 s."""
    monkeypatch.setattr(sys, "stdlib_module_names", frozenset({"argparse", "unittest"}))


def train(base, rows, out, method, checkpoints=None, **own):
    with running(Running(pipeline="tiny", checkpoints=checkpoints)):
        shared = {"batch_size": 16, "max_length": 16, "epochs": 4, "learning_rate": 3e-3}
        options = finetune_options(shared, {"method": method, **METHODS.get(method, {}), **own})
        return finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out)


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def moved(base, model, part=""):
    """Name of an encoder's weight -> how far it went, squared."""
    began, now = weights(base), weights(model)
    return {name: float(((now[f"bert.{name}"] - value) ** 2).sum()) for name, value in began.items() if part in name}


@pytest.mark.parametrize("method", METHODS)
def test_stopped_twice_and_continued_it_leaves_the_same_plain_folder(method, base, rows, tmp_path):
    whole = train(base, rows, tmp_path / "whole", method)
    assert whole["steps"] == 24
    assert {path.name for path in (tmp_path / "whole").iterdir() if path.suffix == ".safetensors"} == {"model.safetensors"}
    assert not [name for name in weights(tmp_path / "whole") if "regraft" in name]
    with stopped_at(3, 12, training="finetune"):  # `ewc` trains a head before it
        for _ in range(2):
            with pytest.raises(Interrupted):
                train(base, rows, tmp_path / "cut", method, checkpoints=tmp_path / "checkpoints")
            STOP.clear()
        assert train(base, rows, tmp_path / "cut", method, checkpoints=tmp_path / "checkpoints") == whole
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "whole")


def test_l2sp_holds_the_encoder_and_with_no_strength_it_is_full(base, rows, tmp_path):
    train(base, rows, tmp_path / "full", "full")
    train(base, rows, tmp_path / "free", "l2sp", strength=0.0)
    train(base, rows, tmp_path / "held", "l2sp", strength=20.0)
    assert weights(tmp_path / "free").keys() == weights(tmp_path / "full").keys()
    assert moved(base, tmp_path / "free") == moved(base, tmp_path / "full")
    held, free = (sum(moved(base, tmp_path / name, ".layer.").values()) for name in ("held", "free"))
    assert held < 0.5 * free


def test_ewc_holds_what_general_text_needs_more_than_what_it_does_not(base, rows, tmp_path):
    from regraft.training.methods.ewc import fisher

    needed = fisher(base, 17, finetune_options({}, {"method": "ewc", "fisher_sequences": 8}))
    assert np.average([one.mean() for one in needed.values()], weights=[one.numel() for one in needed.values()]) == pytest.approx(
        1, rel=1e-4
    )
    words = needed["embeddings.word_embeddings.weight"].mean(dim=1).numpy()
    metrics = train(base, rows, tmp_path / "held", "ewc", strength=100.0)
    assert metrics["penalty_mb"] == pytest.approx(2 * sum(one.nbytes for one in needed.values()) / 1e6)
    train(base, rows, tmp_path / "free", "ewc", strength=0.0)
    name = "bert.embeddings.word_embeddings.weight"
    began, held, free = weights(base)[name.removeprefix("bert.")], weights(tmp_path / "held")[name], weights(tmp_path / "free")[name]
    less = np.square(held - began).sum(axis=1) / np.square(free - began).sum(axis=1).clip(1e-12)
    assert np.median(less[words < 0.01]) > 3 * np.median(less[words > 1])


def test_ewc_in_shards_ends_with_the_same_bytes_each_time_and_in_the_threads_of_its_training(base, rows, tmp_path):
    import torch

    for name in ("one", "two"):
        train(base, rows, tmp_path / name, "ewc", checkpoints=tmp_path / f"{name}-checkpoints", shards=2)
        assert torch.get_num_threads() == 1
    assert files.tree(tmp_path / "one") == files.tree(tmp_path / "two")


def test_layers_join_from_the_top_down_at_falling_rates_and_every_weight_in_the_end(base):
    model = task_type("text-classification").model(base, LABELS)
    options = finetune_options({}, {"method": "gradual_unfreezing", "groups": 2, "epochs": 4, "learning_rate": 0.026})
    made = []
    fitting = SimpleNamespace(
        model=model,
        family=family(model),
        rows=SimpleNamespace(steps=6),
        phase=lambda name, epochs, groups, **more: made.append((name, epochs, groups, more["first"])),
    )
    gradual_unfreezing.GRADUAL_UNFREEZING.phases(fitting, options)
    assert [(name, epochs, first) for name, epochs, _, first in made] == [("head", 1, 0), ("group 1", 1, 1), ("group 2", 2, 2)]
    layer, every = model.bert.encoder.layer, made[-1][2]
    assert {id(p) for p in every[1].parameters} == {id(p) for p in layer[1].parameters()}
    assert [round(group.rate, 6) for group in every] == [1e-3, 0.026, 0.01]
    trained = [id(p) for group in every for p in group.parameters]
    assert sorted(trained) == sorted(id(p) for p in model.parameters())


def test_each_layer_has_its_share_of_the_rate_of_the_one_above_it(base):
    model = task_type("text-classification").model(base, LABELS)
    asked = finetune_options({}, {"layer_decay": 0.5, "learning_rate": 0.01})
    *groups, head = FULL.groups(model, family(model), asked)
    assert [group.rate for group in groups] == [0.01, 0.005]
    assert {id(p) for p in groups[0].parameters} == {id(p) for p in model.bert.encoder.layer[1].parameters()}
    assert sorted(id(p) for group in (*groups, head) for p in group.parameters) == sorted(id(p) for p in model.parameters())
    plain = FULL.groups(model, family(model), finetune_options({}, {"learning_rate": 0.01}))
    assert [group.rate for group in plain] == [0.01, 0.001]


@pytest.mark.parametrize(
    ("model_type", "top", "lowest"),
    [
        ("gpt2", {"transformer.ln_f.weight"}, {"transformer.wte.weight", "transformer.wpe.weight"}),
        ("modernbert", {"model.final_norm.weight"}, {"model.embeddings.norm.weight"}),
        ("encoder-decoder", {"decoder.cls.predictions.transform.dense.weight"}, {"decoder.bert.embeddings.LayerNorm.weight"}),
    ],
)
def test_what_stands_behind_the_last_layer_learns_as_fast_as_it_and_embeddings_as_slowly_as_the_first(model_type, top, lowest, tmp_path):
    model, _ = encoder.load_pretrained(tiny_models.make(tmp_path / "model", model_type))
    of = family(model)
    groups = layer_groups(model, SimpleNamespace(layers=of.layers, head=lambda _: []), 0.01, 2.0)
    named = {id(p): name for name, p in model.named_parameters()}
    first, *_, last = [{named[id(p)] for p in group.parameters} for group in groups]
    assert first >= top
    assert last >= lowest
    assert [group.rate for group in groups] == [0.01 / 2**depth for depth in range(len(list(of.layers(model).children())))]
    assert sorted(id(p) for group in groups for p in group.parameters) == sorted(map(id, model.parameters()))


def test_rates_rise_for_a_tenth_of_the_steps_and_fall_to_a_thirtysecond():
    rates = [schedules.slanted(step, 40) for step in range(40)]
    assert max(rates) == rates[3] == 1.0
    assert rates[-1] == pytest.approx(1 / 32)
    assert rates == [*sorted(rates[:4]), *sorted(rates[4:], reverse=True)]
    assert schedules.slanted(0, 1) == 1.0


def test_the_ends_of_the_line_are_the_two_models_and_the_middle_is_between(base, rows, tmp_path):
    for name, mix in {"start": 0.0, "middle": 0.5, "end": 1.0}.items():
        train(base, rows, tmp_path / name, "interpolate", mix=mix)
    assert sum(moved(base, tmp_path / "start", ".layer.").values()) == 0
    start, middle, end = (weights(tmp_path / name) for name in ("start", "middle", "end"))
    assert (start["classifier.weight"] != end["classifier.weight"]).any()
    for name, value in middle.items():
        np.testing.assert_allclose(value, (start[name] + end[name]) / 2, atol=1e-6)
    assert INTERPOLATE.kind == "sequence_classification"


def test_the_schedule_that_the_file_names_is_that_of_fine_tuning_and_of_pretraining(base):
    from regraft.training.fitting import Fitting
    from regraft.training.pretraining import Stage, phases

    rows = SimpleNamespace(steps=6, ids=[[1, 2]])
    fitting = Fitting(None, None, rows, None, None, 0.0, "cosine")
    assert [fitting.phase("all", 2, []).factor(step) for step in range(12)] == [schedules.cosine(step, 12) for step in range(12)]
    model = task_type("text-classification").model(base, LABELS)
    for name, expected in (("wsd", schedules.wsd(19, 20)), ("linear", None)):
        asked = pretrain_options({"schedule": name})
        stage = Stage("all", None, before=0, steps=20, rate=1e-4, option="pretrain.learning_rate", measured="heldout_loss")
        _, everything = phases(model, None, loss=None, stages=[stage], options=asked, warmup=0)
        assert (everything.factor and everything.factor(19)) == expected
