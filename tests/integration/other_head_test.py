"""A base model that brings a head of its own keeps its body and loses its head, whatever its architecture."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.models import base_model, body, encoder, kinds
from regraft.models.families.encoder import ENCODERS
from regraft.models.task_types import task_type
from regraft.training.finetuning import finetune
from regraft.training.methods.full import FullOptions
from regraft.training.objectives.mlm import MLM

TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))
SMALL = {
    "vocab_size": 80, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "head_dim": 16,
    "max_position_embeddings": 64, "embedding_size": 32, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "num_key_value_heads": 2, "attention_window": 8,
    "conv_kernel_size": 3, "num_groups": 1, "head_ratio": 1, "num_landmarks": 8, "input_embedding_size": 32, "output_embedding_size": 32,
    "q_groups": 2, "k_groups": 2, "v_groups": 2, "post_attention_groups": 1, "intermediate_groups": 2, "output_groups": 2,
    "true_hidden_size": 32, "intra_bottleneck_size": 32,
}  # fmt: skip
"""A small model of any type: each reads of it what it knows."""


def classifier(model_type: str, folder: Path, **more: Any) -> Path:
    """Somebody's classifier of three labels."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    torch.manual_seed(3)
    config = CONFIG_MAPPING[model_type](**SMALL, num_labels=3, **more)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def same_body(model: Any, folder: Path) -> bool:
    import torch
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).base_model.state_dict()
    ours = {name: value for name, value in model.base_model.state_dict().items() if "pooler" not in name}
    return bool(ours) and all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("model_type", sorted(ENCODERS))
def test_a_classifier_of_every_type_keeps_its_body_and_loses_its_head(model_type, tmp_path):
    folder = classifier(model_type, tmp_path / "base", problem_type="multi_label_classification")
    assert list(body.problems(folder, files.read_json(folder / "config.json"))) == []
    adapting, new_head = MLM.load(folder)
    tuned = task_type("text-classification").model(folder, ["a", "b", "c", "d"])
    assert new_head
    assert same_body(adapting, folder)
    assert same_body(tuned, folder)
    assert (tuned.config.num_labels, tuned.config.problem_type) == (4, None)


def test_our_own_champion_with_a_class_less_is_a_base_model(tmp_path):
    base = TINY["make"](tmp_path / "champion", 1)
    (base / "model.safetensors").chmod(0o644)
    base_model.check("champion", base)
    labels = [*TINY["LABELS"], "polars"]
    texts = ["array the", "frame of", "tensor the", "of the frame of"] * 4
    columns = {"id": [f"r{i:02d}" for i in range(16)], "text": texts, "label": labels * 4, "split": ["train"] * 12 + ["dev"] * 4}
    options = FullOptions(epochs=1, batch_size=8, max_length=16)
    finetune(base, pd.DataFrame(columns), labels, options, name="finetune", text_column="text", seed=1, out=tmp_path / "model")
    assert kinds.load(tmp_path / "model").predict(texts).shape == (16, 4)


def rewritten(folder: Path, rename: Any) -> None:
    """The weights under other names; ``rename`` gives None for those that go."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    named = {new: value for name, value in tensors.items() if (new := rename(name))}
    save_file(named, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("key", "value", "rename", "says"),
    [
        ("vocab_size", 81, None, "vocab_size is 81, and its weights embed 80 tokens"),
        ("num_hidden_layers", 3, None, "3 layers are promised, and its weights hold 2"),
        (
            "model_type",
            "roberta",
            None,
            "its weights lack roberta.embeddings.word_embeddings.weight, and are called bert",
        ),
        (None, None, lambda name: f"module.{name}", "lack bert.embeddings.word_embeddings.weight, and are called module"),
        (None, None, lambda name: None if name.startswith("bert.") else name, "and are called classifier"),
    ],
)
def test_a_body_that_is_not_there_is_refused_before_anything_is_loaded(tmp_path, key, value, rename, says):
    folder = classifier("bert", tmp_path / "base")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    if rename:
        rewritten(folder, rename)
    config = files.read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, key: value} if key else config))
    with pytest.raises(ConfigError, match="is refused") as caught:
        base_model.check("models/base", folder)
    assert says in str(caught.value)
    assert "save_pretrained" in str(caught.value.fix)


def test_a_layer_with_a_hole_or_of_another_shape_is_refused_by_name_when_it_is_loaded(tmp_path):
    from transformers import AutoModelForMaskedLM

    hole = classifier("bert", tmp_path / "hole")
    rewritten(hole, lambda name: None if name.endswith("layer.0.output.dense.weight") else name)
    with pytest.raises(ConfigError, match=r"lacks weights of its encoder.*bert\.encoder\.layer\.0\.output\.dense\.weight"):
        encoder.load(AutoModelForMaskedLM, hole)
    shape = classifier("bert", tmp_path / "shape")
    (shape / "config.json").write_text(json.dumps({**files.read_json(shape / "config.json"), "intermediate_size": 50}))
    with pytest.raises(ConfigError, match=r"another shape than config.json says: bert\.encoder\.layer\.0\.intermediate"):
        encoder.load(AutoModelForMaskedLM, shape)
