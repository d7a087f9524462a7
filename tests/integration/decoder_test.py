"""Decoders: packed documents cost what they cost alone, the last token answers, and a pipeline file needs to say nothing of it."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import tiny_models
from tinyspace import TOPICS, sentence, tiny_rows

from regraft.core.errors import ConfigError
from regraft.data.packing import pack, read
from regraft.models import base_model, kinds, tokenizer
from regraft.models.families import family_in, frame_in
from regraft.models.families.decoder import BLIND
from regraft.training.finetuning import finetune
from regraft.training.objectives.clm import CLM, Causal, CausalLoss, require_apart
from regraft.training.objectives.masking import IGNORED
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture(scope="module")
def documents():
    rng = random.Random(2)
    return [sentence(rng, topic, 4 + number % 30) for topic in sorted(TOPICS) for number in range(20)]


def packed(folder, base, documents, length=32):
    folder.mkdir()
    pack([(documents, [False] * len(documents))], tokenizer.backend(base), length, folder, frame_in(base))
    return read(folder)["train"]


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2"])
def test_documents_of_a_packed_sequence_cost_what_they_cost_alone(model_type, tmp_path, documents):
    import torch

    base = tiny_models.make(tmp_path / "base", model_type)
    model, _ = CLM.load(base)
    model.train(False)
    corruption, loss = CLM.corruption(base, None, 0), CausalLoss(model)
    ids, labels = corruption.batch(packed(tmp_path / "tokens", base, documents).rows(range(8)), 17, [(0, n) for n in range(8)])
    with torch.no_grad():
        together = loss(ids, labels, reduction="sum").item()
        alone, parts = 0.0, 0
        for row in ids:
            for part in np.split(row, np.nonzero(row[:-1] == corruption.separator)[0] + 1):
                logits = model(input_ids=torch.from_numpy(part)[None]).logits[0]
                alone += torch.nn.functional.cross_entropy(logits[:-1], torch.from_numpy(part[1:]), reduction="sum").item()
                parts += 1
    assert parts > 2 * len(ids)  # documents were packed, not cut alone
    assert together == pytest.approx(alone, rel=1e-5)
    assert loss.batch((ids, labels))[1] == ids.size - parts


def test_documents_stand_between_their_separators_and_sequences_have_no_frame(tmp_path, documents):
    base = tiny_models.make(tmp_path / "base", "llama")
    shard = packed(tmp_path / "tokens", base, documents)
    fast = tokenizer.load(base)
    stream = [
        token for text in documents for token in [fast.bos_token_id, *fast(text, add_special_tokens=False)["input_ids"], fast.eos_token_id]
    ]
    assert shard.rows(range(len(shard))).ravel().tolist() == stream[: 32 * len(shard)]


def test_a_document_begins_with_a_sequence_and_after_each_separator():
    ids = np.array([[5, 6, 3, 7, 8, 9], [3, 3, 4, 5, 6, 3]])
    seen, labels = Causal(3).batch(ids, 17, [(0, 0), (0, 1)])
    assert seen is ids
    assert labels.tolist() == [[IGNORED, 6, 3, IGNORED, 8, 9], [IGNORED, IGNORED, IGNORED, 5, 6, 3]]


def test_a_sequence_in_which_nothing_is_guessed_costs_nothing(tmp_path):
    model, _ = CLM.load(tiny_models.make(tmp_path / "base", "gpt2"))
    ids = np.full((1, 8), 3)
    mean, guesses = CausalLoss(model).batch(Causal(3).batch(ids, 17, [(0, 0)]))
    assert (mean.item(), guesses) == (0.0, 0)


@pytest.mark.parametrize("model_type", sorted(BLIND))
def test_a_model_that_sees_the_document_before_is_refused_by_name(model_type):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    names = {**tiny_models.SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32}
    config = CONFIG_MAPPING[model_type](vocab_size=80, **{key: value for key, value in names.items() if key != "head_dim"})
    with pytest.raises(ConfigError, match=f"see each other in models of the type {model_type}"):
        require_apart(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def test_its_last_token_answers_and_padding_says_nothing(tmp_path):
    base = tiny_models.make(tmp_path / "base", "gpt2")
    base_model.check("models/base", base)
    rows = pd.DataFrame(tiny_rows(per_class=12))
    rows["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(rows))]
    options = finetune_options({}, {"method": family_in(base).method, "epochs": 1, "batch_size": 16, "max_length": 24})
    finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=tmp_path / "model")
    model = kinds.load(tmp_path / "model")
    texts = ["salt oven", "", "tide keel rope of the old small harbour", "soil"]
    together, alone = model.logits(texts), np.concatenate([model.logits([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(np.unique(together.round(5), axis=0)) == len(texts)
    assert tokenizer.load(tmp_path / "model").pad_token == "[SEP]"


@pytest.mark.parametrize(("sets", "says"), [
    (["pretrain.objective=mlm"], "pretrain.objective: mlm is made for encoder, but the base model models/tiny is of the family decoder"),
    (["pretrain.mask_probability=0.2"], "pretrain.mask_probability: pretrain.objective is clm, which does not read it"),
    (["finetune.method=ewc"], "finetune.method: ewc is made for encoder, but the base model models/tiny"),
    (["finetune={method: linear_probe, pooling: cls}"], "finetune.pooling: cls is the first token, which sees no other"),
    (["gates=[{forgetting: {max_loss_increase: 0.1}}]"], "gates.0: forgetting measures models of the family encoder, but the base model"),
])  # fmt: skip
def test_what_is_made_for_encoders_is_refused_by_the_plan_of_a_decoder(tiny, cli, sets, says):
    as_decoder(tiny)
    refused = cli("plan", "tiny", *[part for one in sets for part in ("--set", one)], "--json")
    assert refused.code == 2
    (error,) = refused.json["errors"]
    assert says in error["message"]
    assert "of the family decoder" in error["message"]


def test_left_out_objective_and_method_are_those_of_the_family(tiny, cli):
    from regraft.execution.resolve import resolve

    encoder = resolve(tiny, "tiny")
    assert resolve(tiny, "tiny", ["pretrain.objective=auto"]) == encoder
    as_decoder(tiny)
    decoder = resolve(tiny, "tiny")
    assert (decoder["pretrain"]["pretrain"]["objective"], decoder["finetune-base"]["finetune"]["method"]) == ("clm", "lora")
    assert (decoder["pretrain"]["versions"], decoder["finetune-base"]["versions"]) == (
        {"objective": 2, "family": 1},
        {"method": 3, "family": 1},
    )
    assert resolve(tiny, "tiny", ["finetune.method=full"])["finetune-base"]["versions"] == {"method": 3, "family": 1}


def as_decoder(workspace):
    import shutil

    shutil.rmtree(workspace.root / "models" / "tiny")
    tiny_models.make(workspace.root / "models" / "tiny", "llama")
