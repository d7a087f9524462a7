"""What the folder of a base model says besides its weights, and the plan heeds: pooling, a mask token, how many tokens there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.execution.resolve import resolve
from regraft.models import sentence_folder, tokenizer_files

PROBE = ["candidates.probe.finetune.method=linear_probe"]


def as_sentence_transformers(folder: Path, pooling: dict[str, Any]) -> None:
    """What ``SentenceTransformer.save_pretrained`` leaves beside a model."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    files.write_json(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    files.write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **pooling})


@pytest.mark.parametrize(
    ("pooling", "name"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean", "max"]}, "mean+max"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({}, None),
    ],
)
def test_the_pooling_of_a_folder_is_read_as_any_version_wrote_it(tmp_path: Path, pooling: dict[str, Any], name: str | None) -> None:
    as_sentence_transformers(tmp_path, pooling)
    assert sentence_folder.pooling(tmp_path) == name
    for content in ("{", "[1]", "{}", '[{"type": "x.Pooling"}]', '[{"type": "x.Pooling", "path": "9_Pooling"}]'):
        (tmp_path / "modules.json").write_text(content)
        assert sentence_folder.pooling(tmp_path) is None


def test_a_method_that_reads_vectors_pools_as_the_folder_says_unless_the_file_does(tiny: Workspace) -> None:
    def pooled(*sets: str) -> Any:
        return resolve(tiny, "tiny", [*PROBE, *sets])["finetune-probe"]["finetune"]["pooling"]

    plain = resolve(tiny, "tiny")
    assert pooled() == "mean"
    as_sentence_transformers(tiny.root / "models/tiny", {"pooling_mode": "cls"})
    assert pooled() == "cls"
    assert pooled("candidates.probe.finetune.pooling=mean") == "mean"
    assert resolve(tiny, "tiny") == plain, "a method that pools nothing heeds none"


def test_a_pooling_that_no_method_has_is_refused_with_its_line_and_the_way_out(tiny: Workspace) -> None:
    as_sentence_transformers(tiny.root / "models/tiny", {"pooling_mode": "max"})
    with pytest.raises(ConfigError, match=r"was made for pooling by max \(modules\.json\), which no method has") as refused:
        resolve(tiny, "tiny", PROBE)
    assert refused.value.problems[0]["fix"].endswith(": pooling: mean, or cls")
    assert resolve(tiny, "tiny", [*PROBE, "candidates.probe.finetune.pooling=mean"])
    assert resolve(tiny, "tiny")


@pytest.mark.parametrize(
    ("module", "keys", "says"),
    [
        ("sentence_transformers.models.Dense", {}, r"passes vectors through Dense \(modules\.json\), which no method does"),
        ("sentence_transformers.base.modules.dense.Dense", {}, r"passes vectors through Dense \(modules\.json\)"),
        ("sentence_transformers.models.WeightedLayerPooling", {}, "passes vectors through WeightedLayerPooling"),
        ("", {"config_sentence_transformers.json": {"default_prompt_name": "query"}}, "puts the prompt 'query' before each text"),
        ("", {"sentence_bert_config.json": {"do_lower_case": True}}, "reads texts in lower case"),
        ("sentence_transformers.models.Dropout", {"config_sentence_transformers.json": {"default_prompt_name": None}}, ""),
    ],
)
def test_what_else_changes_vectors_is_refused_unless_the_file_says_how_they_are_read(
    tiny: Workspace, module: str, keys: dict[str, Any], says: str
) -> None:
    folder = tiny.root / "models/tiny"
    as_sentence_transformers(folder, {"pooling_mode": "cls"})
    for name, content in keys.items():
        files.write_json(folder / name, content)
    if module:
        files.write_json(folder / "modules.json", [*files.read_json(folder / "modules.json"), {"path": "3_Other", "type": module}])
    if not says:
        assert resolve(tiny, "tiny", PROBE)["finetune-probe"]["finetune"]["pooling"] == "cls"
        return
    with pytest.raises(ConfigError, match=says) as refused:
        resolve(tiny, "tiny", PROBE)
    assert refused.value.problems[0]["fix"].endswith(": pooling: cls, which reads vectors without that")
    assert resolve(tiny, "tiny", [*PROBE, "candidates.probe.finetune.pooling=cls"])
    with pytest.raises(ConfigError, match=says):
        resolve(tiny, "tiny", ["pretrain.objective=contrastive", "pretrain.compared_sequences=4"])
    assert resolve(tiny, "tiny"), "neither the objective nor the methods read vectors"


def edited(folder: Path, name: str, **keys: Any) -> None:
    """The JSON file ``name`` with other values of ``keys``; None takes one out."""
    document = json.loads((folder / name).read_text()) | keys
    files.write_json(folder / name, {key: value for key, value in document.items() if value is not None})


def test_mlm_without_a_mask_token_is_refused_by_the_plan(tiny: Workspace) -> None:
    folder = tiny.root / "models/tiny"
    edited(folder, "tokenizer_config.json", mask_token=None)
    assert not tokenizer_files.without_mask(folder), "the class of the tokenizer may name [MASK], which the vocabulary has"
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(tokenizer.replace("[MASK]", "[LAST]"))
    with pytest.raises(ConfigError, match=r"pretrain\.objective: mlm hides tokens, and the tokenizer .* has no mask token; name another"):
        resolve(tiny, "tiny")
    assert resolve(tiny, "tiny", ["adapt=never"])
    for asked, place in (
        ("gates=[{at_least: 0.1}, {forgetting: {max_loss_increase: 0.1}}]", r"gates\.1: the gate `forgetting`"),
        ("finetune.method=ewc", "finetune: the method `ewc`"),
    ):
        says = f"{place} hides tokens of general text, and the tokenizer of base_model models/tiny has no mask token"
        with pytest.raises(ConfigError, match=says) as refused:
            resolve(tiny, "tiny", ["adapt=never", asked])
        assert refused.value.problems[0]["fix"].endswith(": take it out, or name another base_model")


@pytest.mark.parametrize(("more", "told"), [(0, False), (40, True)])
def test_embeddings_that_stand_for_no_token_are_said(tiny: Workspace, cli: Any, more: int, told: bool) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    folder = tiny.root / "models/tiny"
    weights, name = load_file(folder / "model.safetensors"), "embeddings.word_embeddings.weight"
    tokens = len(weights[name])
    weights[name] = np.concatenate([weights[name], np.zeros((more, weights[name].shape[1]), np.float32)])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edited(folder, "config.json", vocab_size=tokens + more)
    plan = cli("plan", "tiny", "--json")
    assert plan.json["spare_embeddings"] == ({"tokens": tokens, "embeddings": tokens + more} if told else None)
    words = " ".join(cli("plan", "tiny").out.split())
    assert (f"embeds {tokens + more} tokens, and its tokenizer has {tokens}" in words) is told
