"""Methods, objectives, families and task types that no file of regraft knows: the examples of docs/extend/, installed as packages."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from tinyspace import tiny_rows, write_tiny_model
from workbench import example_of, install

from regraft.config.schema import schema
from regraft.core import files
from regraft.core.errors import Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.data.packing import pack
from regraft.execution.resolve import resolve
from regraft.models import tokenizer
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options, pretrain_options
from regraft.training.plugins import OBJECTIVES, SEAMS
from regraft.training.pretraining import pretrain
from regraft.training.workers import Team

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture
def installed(request, tmp_path, monkeypatch):
    """The plug-in of the page that the test names."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    module = install(request.param, tmp_path / "site")
    for registry in SEAMS.values():
        registry.__dict__.pop("places", None)
    yield module
    for registry in SEAMS.values():
        registry.__dict__.pop("places", None)


@pytest.fixture
def rows():
    table = pd.DataFrame(tiny_rows())
    table["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(table))]
    return table


def edit(workspace, **keys):
    path = workspace.pipeline_file("tiny")
    document = yaml.safe_load(path.read_text())
    parts = {key: {**document.get(key, {}), **value} if isinstance(value, dict) else value for key, value in keys.items()}
    path.write_text(yaml.safe_dump(document | parts))


def train(base, rows, out, task="text-classification", checkpoints=None, **own):
    with running(Running(pipeline="tiny", checkpoints=checkpoints)):
        options = finetune_options({"batch_size": 16, "max_length": 16, "epochs": 2}, own)
        return finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out, task=task)


@pytest.mark.parametrize("installed", ["method"], indirect=True)
def test_the_pages_method_is_planned_trained_and_continued_to_the_same_bytes(installed, tiny, cli, rows, tmp_path, monkeypatch):
    edit(tiny, **yaml.safe_load(example_of("method", "yaml")))
    assert cli("plan", "tiny").code == 0
    section = resolve(tiny, "tiny")["finetune-base"]
    assert (section["finetune"]["strength"], section["versions"]) == (0.1, {"method": 1})
    assert "l2_sp" in json.dumps(schema("pipeline"))
    refused = cli("plan", "tiny", "--set", "finetune.strength=-1", "--json")
    assert "finetune.strength: input should be greater than or equal to 0" in refused.json["errors"][0]["message"]

    base = tiny.root / "models/tiny"
    train(base, rows, tmp_path / "full")
    train(base, rows, tmp_path / "free", method="l2_sp", strength=0.0)
    train(base, rows, tmp_path / "held", method="l2_sp", strength=50.0)
    assert distance(base, tmp_path / "held") < 0.5 * distance(base, tmp_path / "free")
    assert distance(base, tmp_path / "free") == distance(base, tmp_path / "full")

    plain, seen = Team.step, []

    def stopping(self, step, *more):
        seen.append(step)
        if len(seen) == 5:
            STOP.set()
        return plain(self, step, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Team, "step", stopping)
        with pytest.raises(Interrupted):
            train(base, rows, tmp_path / "cut", checkpoints=tmp_path / "checkpoints", method="l2_sp", strength=50.0)
    STOP.clear()
    train(base, rows, tmp_path / "cut", checkpoints=tmp_path / "checkpoints", method="l2_sp", strength=50.0)
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "held")


def distance(base, model):
    """How far the encoder went from where it began."""
    from safetensors.numpy import load_file

    began, now = load_file(base / "model.safetensors"), load_file(model / "model.safetensors")
    return float(sum(((now[f"bert.{name}"] - value) ** 2).sum() for name, value in began.items() if ".layer." in name))


@pytest.mark.parametrize("installed", ["objective"], indirect=True)
def test_the_pages_objective_is_planned_and_hides_runs_that_follow_from_seed_and_place(installed, tiny, cli, tmp_path):
    edit(tiny, **yaml.safe_load(example_of("objective", "yaml")))
    assert cli("plan", "tiny").code == 0
    section = resolve(tiny, "tiny")["pretrain"]
    assert (section["pretrain"]["span"], section["versions"]) == (4, {"objective": 1})

    base, options = (
        tiny.root / "models/tiny",
        {"objective": "spans", "span": 4, "sequence_length": 16, "batch_size": 4, "budget_tokens": 3000, "head_warmup_tokens": 500},
    )
    spans = OBJECTIVES["spans"].corruption(base, pretrain_options({**options, "mask_probability": 0.3}), 60)
    ids = np.full((200, 16), 9)
    seen, labels = spans.batch(ids, 17, [(0, index) for index in range(200)])
    assert (seen[labels == 9] == spans.mask_id).all()
    assert 0.2 < (labels == 9).mean() < 0.3  # runs overlap, and some end where the text does
    alone = spans.batch(ids[:1], 17, [(0, 7)])
    assert (alone[0][0] == seen[7]).all()

    (tmp_path / "tokens").mkdir()
    texts = [row["text"] for row in tiny_rows()]
    pack([(texts, [number % 10 == 0 for number in range(len(texts))])], tokenizer.backend(base), 16, tmp_path / "tokens")
    made = [pretrain(base, tmp_path / "tokens", pretrain_options(options), 17, tmp_path / name) for name in ("one", "two")]
    assert made[0] == made[1]
    assert files.tree(tmp_path / "one") == files.tree(tmp_path / "two")


@pytest.mark.parametrize("installed", ["family"], indirect=True)
def test_the_pages_family_is_accepted_adapted_and_trained_by_every_method(installed, tiny, cli, rows, tmp_path):
    from transformers import EsmConfig, EsmForMaskedLM

    base = write_tiny_model(tmp_path / "plain")
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    words = len(json.loads((base / "tokenizer.json").read_text())["model"]["vocab"])
    config = EsmConfig(
        vocab_size=words, mask_token_id=4, pad_token_id=0, position_embedding_type="rotary", max_position_embeddings=64, **size
    )
    EsmForMaskedLM(config).save_pretrained(tiny.root / "models/esm")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, tiny.root / "models/esm" / name)
    edit(tiny, **yaml.safe_load(example_of("family", "yaml")))
    planned = cli("plan", "tiny")
    assert planned.code == 0, planned
    assert resolve(tiny, "tiny")["finetune-base"]["versions"] == {"method": 3, "family": 1}

    (tmp_path / "tokens").mkdir()
    texts = [row["text"] for row in tiny_rows()]
    pack([(texts, [number % 10 == 0 for number in range(len(texts))])], tokenizer.backend(base), 16, tmp_path / "tokens")
    options = pretrain_options({"sequence_length": 16, "batch_size": 4, "budget_tokens": 3000, "head_warmup_tokens": 500})
    assert pretrain(tiny.root / "models/esm", tmp_path / "tokens", options, 17, tmp_path / "adapted")["head_steps"] == 0
    for method in ("full", "lora"):
        assert train(tmp_path / "adapted", rows, tmp_path / method, method=method)["steps"] == 12
    probe = finetune_options({}, {"method": "linear_probe", "max_length": 16})
    finetune(tmp_path / "adapted", rows, LABELS, probe, name="probe", text_column="text", seed=17, out=tmp_path / "probe")


def test_without_the_family_the_model_is_refused(tiny, cli):
    (tiny.root / "models/esm").mkdir()
    for path in (tiny.root / "models/tiny").iterdir():
        shutil.copyfile(path, tiny.root / "models/esm" / path.name)
    config = files.read_json(tiny.root / "models/tiny/config.json")
    files.write_json(tiny.root / "models/esm/config.json", {**config, "model_type": "esm"})
    refused = cli("plan", "tiny", "--set", "base_model=models/esm", "--json")
    assert refused.code == 2
    assert "model_type 'esm' is of no family that regraft knows" in refused.json["errors"][0]["message"]


@pytest.mark.parametrize("installed", ["task_type"], indirect=True)
def test_the_pages_task_type_is_planned_and_an_answer_next_to_the_right_one_costs_less(installed, tiny, cli, rows, tmp_path):
    import torch

    from regraft.models.task_types import task_type

    edit(tiny, task={**yaml.safe_load(example_of("task_type", "yaml"))["task"], "label": "label"})
    assert cli("plan", "tiny").code == 0
    section = resolve(tiny, "tiny")["finetune-base"]
    assert (section["task"], section["versions"]) == ("ordinal", {"method": 3, "task": 1})
    train(tiny.root / "models/tiny", rows, tmp_path / "plain")
    train(tiny.root / "models/tiny", rows, tmp_path / "model", task="ordinal")
    assert files.digest(tmp_path / "model") != files.digest(tmp_path / "plain")

    class Says:
        def __init__(self, best):
            self.logits = torch.nn.functional.one_hot(torch.tensor([best]), 3) * 5.0

    def cost(best):
        empty = torch.zeros(1, 1, dtype=torch.int64)
        return task_type("ordinal").loss(lambda **_: Says(best), empty, empty, torch.tensor([0]), 0.0)[0].item()

    assert cost(0) < cost(1) < cost(2)
