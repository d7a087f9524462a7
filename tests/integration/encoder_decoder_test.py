"""Encoder-decoders: each class is as likely as its name, and what cannot be written or marked is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_models
from tinyspace import tiny_rows

from regraft.core.errors import ConfigError
from regraft.execution.resolve import resolve
from regraft.models import base_model, kinds, writing, written_names
from regraft.models.families.encoder_decoder import ENCODER_DECODER
from regraft.training.finetuning import finetune
from regraft.training.objectives.span_corruption import SPAN_CORRUPTION
from regraft.training.options import finetune_options, pretrain_options

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.make(tmp_path_factory.mktemp("base") / "t5", "t5")


def train(base, out, method="full", **own):
    rows = pd.DataFrame(tiny_rows(per_class=12))
    rows["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(rows))]
    options = finetune_options(
        {}, {"method": method, "batch_size": 8, "max_length": 24, "learning_rate": 2e-2, "label_smoothing": 0.0, **own}
    )
    finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out)
    return rows


def test_a_class_is_as_likely_as_plain_transformers_finds_its_name_to_follow_the_text(base, tmp_path):
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    rows = train(base, tmp_path / "model", epochs=8)
    texts = rows["text"].tolist()[:5]
    given = kinds.load(tmp_path / "model").logits(texts)
    assert np.exp(given).sum(axis=1).min() > 0.5  # names are what it learned to write, out of 150 tokens
    model, tokenizer = (kind.from_pretrained(tmp_path / "model") for kind in (AutoModelForSeq2SeqLM, AutoTokenizer))
    for text, row in zip(texts, given, strict=True):
        ids = tokenizer(text, truncation=True, max_length=24, return_tensors="pt")
        for label, likelihood in zip(LABELS, row, strict=True):
            name = tokenizer(label, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                plain = -model.eval()(**ids, labels=name).loss.item() * name.shape[1]
            assert likelihood == pytest.approx(plain, abs=1e-4)


def test_low_rank_changes_fit_both_halves_and_are_merged(base, tmp_path):
    pytest.importorskip("peft")
    train(base, tmp_path / "model", "lora", epochs=1)
    from safetensors.numpy import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "model"))
    assert before.keys() == after.keys()
    changed = {name.partition(".")[0] for name in before if (before[name] != after[name]).any()}
    assert changed == {"encoder", "decoder"}


def test_layers_are_those_of_both_halves_from_the_bottom_up(base):
    model = writing.load(base)
    layers = list(ENCODER_DECODER.layers(model).children())
    assert layers == [*model.get_encoder().block, *model.get_decoder().block]


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_weights_in_halves_and_in_several_files_are_read_as_they_are_and_trained_in_fp32(base, half, tmp_path):
    import torch
    from transformers import AutoModelForSeq2SeqLM

    rounded = AutoModelForSeq2SeqLM.from_pretrained(base).to(getattr(torch, half))
    shutil.copytree(base, tmp_path / "half", ignore=shutil.ignore_patterns("*.safetensors"))
    rounded.save_pretrained(tmp_path / "half", max_shard_size="30KB")
    assert len(list((tmp_path / "half").glob("*.safetensors"))) > 1
    base_model.check("models/half", tmp_path / "half")
    loaded = writing.load(tmp_path / "half")
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    assert all((weight == rounded.state_dict()[name].float()).all() for name, weight in loaded.state_dict().items())


def test_labels_whose_names_the_tokenizer_cannot_tell_apart_are_refused(base):
    with pytest.raises(ConfigError, match=r"makes the same tokens of the labels 'Ж' and 'Щ'"):
        written_names.load(base, ["Ж", "Щ"])


def test_underscores_are_written_as_spaces():
    assert written_names.names(["late_parcel", "refund"]) == ["late parcel", "refund"]


def test_span_corruption_without_marks_is_refused(tmp_path):
    asked = pretrain_options({"objective": "span_corruption"})
    with pytest.raises(ConfigError, match=r"cuts 6 runs .* has 0 tokens to mark them"):
        SPAN_CORRUPTION.corruption(tiny_models.make(tmp_path / "bert", "bert"), asked, 0)


def test_too_few_marks_are_refused_before_anything_runs_unless_nothing_is_adapted(tiny, base):
    """20 marks are 20 runs of two tokens; sequences are of 32 tokens there."""
    path = tiny.pipeline_file("tiny")
    text = path.read_text()
    text = text.replace(next(line for line in text.splitlines() if line.startswith("base_model:")), f"base_model: {base}")
    path.write_text(text)
    greedy = ["pretrain.objective=span_corruption", "pretrain.mean_span=1", "pretrain.noise_density=0.5", "pretrain.sequence_length=64"]
    with pytest.raises(ConfigError, match=r"pretrain.objective: span_corruption cuts 30 runs .* has 20 tokens to mark them .*adapt: never"):
        resolve(tiny, "tiny", greedy)
    assert resolve(tiny, "tiny", greedy[:2])
    assert resolve(tiny, "tiny", [*greedy, "adapt=never"])


def test_a_pipeline_file_needs_to_say_nothing_of_it_and_what_encoders_alone_can_do_is_refused(tiny, base):
    path = tiny.pipeline_file("tiny")
    text = path.read_text()
    path.write_text(text.replace(next(line for line in text.splitlines() if line.startswith("base_model:")), f"base_model: {base}"))
    values = resolve(tiny, "tiny")
    assert values["pretrain"]["pretrain"]["objective"] == "span_corruption"
    assert values["finetune-base"]["versions"] == {"method": 3, "family": 1}
    path.write_text(path.read_text() + "candidates:\n  base: {finetune: {method: linear_probe}}\n")
    with pytest.raises(ConfigError, match=r"linear_probe is made for decoder, encoder, but the base model .* encoder_decoder"):
        resolve(tiny, "tiny")
