"""The sections `pretrain` and `finetune`: read by the options of the plug-in they name, overlaid for a candidate, told apart by version."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.training import plugins
from regraft.training.methods.full import FULL, FullOptions
from regraft.training.options import finetune_options, pretrain_options

FILE = {"version": 1, "base_model": "models/tiny", "data": {"corpus": "a", "labelled": "b"}}


def faults(caught):
    return [(".".join(map(str, item["loc"])), item["type"]) for item in caught.value.errors()]


def test_the_default_method_is_the_one_that_is_named():
    section = PipelineOptions.model_validate(FILE).model_dump(mode="json")["finetune"]
    assert list(section) == [
        "epochs", "batch_size", "learning_rate", "head_learning_rate", "shards", "label_smoothing", "max_length", "checkpoint_seconds",
    ]  # fmt: skip
    named = PipelineOptions.model_validate({**FILE, "finetune": {"method": "full"}}).model_dump(mode="json")["finetune"]
    assert named == section
    assert "method" not in finetune_options({}, {"method": "full"}).model_dump()


@pytest.mark.parametrize(
    ("part", "value", "place", "message"),
    [
        ("finetune", {"epoks": 1}, "finetune.epoks", "unknown key"),
        ("finetune", {"batch_size": 6, "shards": 8}, "finetune", "write shards: 4 or batch_size: 8"),
        ("pretrain", {"batch_size": 1}, "pretrain", "write shards: 1 or batch_size: 2"),
        ("finetune", {"method": "gradual_unfreezing", "schedule": "cosine"}, "finetune.schedule", "Input should be 'slanted'"),
        ("finetune", {"method": "lora", "layer_decay": 0.9}, "finetune.layer_decay", "unknown key"),
        ("finetune", {"epochs": 0}, "finetune.epochs", "greater than or equal to 1"),
        ("finetune", {"method": "fulll"}, "finetune.method", "no method 'fulll'; did you mean 'full'?"),
        ("finetune", {"method": ["full"]}, "finetune.method", "no method"),
        ("finetune", 3, "finetune", "valid dictionary"),
        ("pretrain", {"objective": "mlmm"}, "pretrain.objective", "no objective 'mlmm'; did you mean 'mlm'?"),
        ("pretrain", {"mask_probability": 2}, "pretrain.mask_probability", "less than 1"),
        ("task", {"type": "text-clasification"}, "task.type", "no task type 'text-clasification'; did you mean"),
    ],
)
def test_a_fault_has_the_place_that_a_person_wrote(part, value, place, message):
    with pytest.raises(ValidationError) as caught:
        PipelineOptions.model_validate({**FILE, part: value})
    (fault,) = caught.value.errors()
    assert ".".join(map(str, fault["loc"])) == place
    assert message in fault["msg"]


def test_all_faults_of_a_section_are_told_at_once():
    with pytest.raises(ValidationError) as caught:
        finetune_options({}, {"epochs": "many", "batch": 3})
    assert faults(caught) == [("epochs", "int_parsing"), ("batch", "unknown_key")]


def test_a_candidates_options_lie_over_the_pipelines():
    assert finetune_options({"epochs": 3, "batch_size": 8}, {"batch_size": 16}) == FullOptions(epochs=3, batch_size=16)
    assert finetune_options({}, {}) == FullOptions()
    with pytest.raises(ValidationError) as caught:
        finetune_options({"epochs": 3}, {"rank": 8})
    assert faults(caught) == [("rank", "unknown_key")]


def test_what_the_candidates_method_does_not_read_is_not_inherited():
    assert finetune_options({"method": "lora", "rank": 8, "epochs": 2}, {"method": "full"}) == FullOptions(epochs=2)
    own = {"method": "gradual_unfreezing"}
    assert finetune_options({"schedule": "cosine", "epochs": 4}, own) == finetune_options({"epochs": 4}, own)
    with pytest.raises(ValidationError) as caught:
        finetune_options({"epochs": 4}, {**own, "schedule": "cosine"})
    assert faults(caught) == [("schedule", "literal_error")]


def test_auto_takes_whole_batches_for_every_candidate():
    options = PipelineOptions.model_validate({**FILE, "finetune": {"method": "auto", "shards": 1}})
    shared = {candidate.name: options.finetune_of(candidate).model_dump().get("shards") for candidate in options.every_candidate}
    assert shared == {"words": None, "means": None, "probe": None, "pairs": 1, "base": 1, "adapted": 1}


def test_only_versions_that_say_something_are_written():
    names = {"method": "full", "objective": "mlm", "family": "encoder", "task": "text-classification"}
    assert plugins.versions_of(**names) == {"method": 3, "objective": 3}  # the others are what 0.2 had
    assert pretrain_options({}).objective == "mlm"


def test_a_newer_version_is_written_and_a_section_of_an_older_one_refused(monkeypatch):
    monkeypatch.setattr(type(FULL), "version", 3)
    assert plugins.versions_of(method="full") == {"method": 3}
    with pytest.raises(ConfigError, match="made for version 1 of the method 'full', and here is 3") as refused:
        plugins.require_versions({}, method="full")
    assert refused.value.fix == "regraft dvc"


def test_a_method_whose_libraries_are_missing_names_the_command():
    @dataclass
    class Needs:
        name = "needs"
        modules = ("no_such_module_anywhere",)
        extra = "more"

    with pytest.raises(EnvironmentFault, match=r"finetune\.method 'needs' needs no_such_module_anywhere") as refused:
        plugins.require_installed(Needs())
    assert refused.value.fix == "pip install 'regraft[more]'"


def test_reading_options_loads_no_torch():
    import subprocess

    code = "import sys, regraft.training.options as o; o.finetune_options({}, {}); o.pretrain_options({}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
