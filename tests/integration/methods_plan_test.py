"""What a method changes of a plan: the sections of the steps that use it, and nothing else; and what it gets that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from regraft.core.workspace import Workspace
from regraft.execution import step_code
from regraft.execution.resolve import resolve
from regraft.training import plugins
from regraft.training.gradient import Gradient
from regraft.training.methods.lora import LORA
from regraft.training.plugins import METHODS

HERE = Workspace(Path(__file__).parents[2])


def differing(one, other):
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def test_another_method_changes_the_sections_of_the_steps_that_use_it_and_no_others(tiny):
    plain, lora = resolve(tiny, "tiny"), resolve(tiny, "tiny", ["finetune.method=lora"])
    assert differing(plain, lora) == ["finetune-adapted", "finetune-base"]
    assert lora["finetune-base"]["finetune"]["method"] == "lora"
    assert lora["finetune-base"]["versions"] == plain["finetune-base"]["versions"] == {"method": 3}
    assert "versions" not in plain["tokens"]


def test_a_new_version_of_a_method_changes_the_identity_of_its_own_candidates_alone(tiny, monkeypatch):
    plain, lora = resolve(tiny, "tiny"), resolve(tiny, "tiny", ["finetune.method=lora"])
    monkeypatch.setattr(type(LORA), "version", 4)
    assert resolve(tiny, "tiny") == plain
    assert differing(resolve(tiny, "tiny", ["finetune.method=lora"]), lora) == ["finetune-adapted", "finetune-base"]


def test_changed_code_of_a_method_is_noticed_in_its_own_line_and_in_no_step(monkeypatch):
    before, plain = step_code.current(HERE), step_code.said
    monkeypatch.setattr(step_code, "said", lambda source: [plain(source), "changed"] if "class Lora(Gradient)" in source else plain(source))
    after = step_code.current(HERE)
    assert after["steps"] == before["steps"]
    assert differing(after["plugins"], before["plugins"]) == ["method lora"]


def test_changed_code_of_a_family_that_steps_read_too_is_noticed_in_its_own_line_as_well(monkeypatch):
    before, plain, mark = step_code.current(HERE), step_code.said, "class Decoder(Encoder)"
    monkeypatch.setattr(step_code, "said", lambda source: [plain(source), "changed"] if mark in source else plain(source))
    assert differing(step_code.current(HERE)["plugins"], before["plugins"]) == ["family decoder"]


def test_what_all_gradient_methods_share_is_in_the_lines_of_each_and_in_no_other(monkeypatch):
    before, plain = step_code.current(HERE), step_code.said
    monkeypatch.setattr(step_code, "said", lambda source: [plain(source), "changed"] if "class Gradient:" in source else plain(source))
    after = step_code.current(HERE)
    assert after["steps"] == before["steps"]
    assert differing(after["plugins"], before["plugins"]) == [
        f"method {name}" for name in sorted(METHODS) if isinstance(METHODS[name], Gradient)
    ]


def test_a_method_whose_library_is_missing_is_an_error_of_the_plan_that_names_the_command(tiny, cli, monkeypatch):
    monkeypatch.setattr(plugins, "find_spec", lambda module: None)
    refused = cli("plan", "tiny", "--set", "finetune.method=lora", "--json")
    assert refused.code == 8
    (error,) = refused.json["errors"]
    assert "finetune.method 'lora' needs peft, which is not installed" in error["message"]
    assert error["fix"] == "pip install 'regraft[lora]'"
    assert cli("plan", "tiny").code == 0


@pytest.mark.parametrize(
    ("finetune", "message"),
    [
        ({"method": "lora", "rank": 0}, "finetune.rank: input should be greater than or equal to 1, not 0"),
        ({"method": "lora", "rnak": 8}, "finetune.rnak: unknown; did you mean rank?"),
        ({"method": "linear_probe", "epochs": 3}, "finetune.epochs: finetune.method is linear_probe, which does not read it; full,"),
        (
            {"method": "gradual_unfreezing", "rank": 8},
            "finetune.rank: finetune.method is gradual_unfreezing, which does not read it; lora does: take the key out",
        ),
        ({"method": "zero_shot"}, "finetune: `method: zero_shot` needs `descriptions`, label by label"),
        ({"method": "zero_shot", "descriptions": {"garden": " "}}, "finetune: `descriptions` says nothing about garden"),
        ({"method": "gradual_unfreezing", "epochs": 3}, "`epochs` (3) leaves no epoch for some of `groups` (3)"),
        ({"method": "interpolate", "epochs": 2}, "`head_epochs` (2) leaves none of `epochs` (2) for the encoder; write head_epochs: 1 or"),
        ({"method": "linear_probe", "pooling": "max"}, "finetune.pooling: input should be 'mean' or 'cls', not 'max'"),
        (
            {"method": "linear_probe", "max_length": 128},
            "finetune.max_length is 128, but the base model models/tiny reads at most 64 tokens",
        ),
        ({"method": "loar"}, "finetune.method: no method 'loar'; did you mean 'lora'? Known: contrastive, "),
        ({"method": "tfidf"}, "the candidate 'base' starts from base, which tfidf does not; it reads no encoder"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_options_of_a_method_are_refused_with_their_line(tiny, cli, finetune, message):
    path = tiny.pipeline_file("tiny")
    others = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "finetune"}
    document = yaml.safe_dump(others, sort_keys=False)
    path.write_text(f"{document}finetune: {json.dumps(finetune)}\n")
    refused = cli("plan", "tiny", "--json")
    assert refused.code == 2
    (error,) = refused.json["errors"]
    assert message in error["message"]
    assert error["row"] == len(document.splitlines()) + 1
