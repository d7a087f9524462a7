"""The objective `contrastive`: what is learned, by any number of workers, and what is refused before anything runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tiny_models

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.progress import Running, running
from regraft.core.workspace import Workspace
from regraft.data.packing import pack, read
from regraft.execution.resolve import resolve
from regraft.models.families import frame_in
from regraft.models.tokenizer import backend
from regraft.training import loop, pretraining
from regraft.training.objectives.contrastive import CONTRASTIVE
from regraft.training.options import pretrain_options

SMALL: dict[str, Any] = {"objective": "contrastive", "budget_tokens": 4000, "sequence_length": 32, "batch_size": 8}
SMALL |= {"compared_sequences": 4, "learning_rate": 1e-3}
SETS = ["pretrain.objective=contrastive", "pretrain.compared_sequences=4"]


@pytest.fixture
def tokens(tiny: Workspace) -> Any:
    base, folder = tiny.root / "models/tiny", tiny.root / "tokens"
    folder.mkdir()
    documents = [json.loads(line)["text"] for line in (tiny.root / "data/corpus.jsonl").read_text().splitlines()]
    documents = [part for text in documents for part in (text[: len(text) // 3], text[len(text) // 3 :])]
    pack([(documents, [number % 5 == 0 for number in range(len(documents))])], backend(base), 32, folder, frame_in(base))
    return folder


def adapted(tiny: Workspace, tokens: Any, name: str, budget: Any = None, **more: Any) -> dict[str, float]:
    return pretraining.pretrain(tiny.root / "models/tiny", tokens, pretrain_options(SMALL | more), 17, tiny.root / name, budget)


def of_batch(tiny: Workspace, tokens: Any, options: Any) -> tuple[Any, pretraining.Corpus]:
    base = tiny.root / "models/tiny"
    model, missing = CONTRASTIVE.load(base)
    assert not missing
    corpus = pretraining.Corpus(read(tokens), CONTRASTIVE.corruption(base, options, 0), options.batch_size, 17)
    return CONTRASTIVE.loss(model.eval(), options), corpus


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_loss_is_that_of_finding_ones_other_reading_among_the_texts_of_ones_group(tiny: Workspace, tokens: Any, pooling: str) -> None:
    """Against numpy on vectors that are read one by one."""
    import torch

    options = pretrain_options(SMALL | {"positives": "passages", "pooling": pooling, "temperature": 0.2})
    loss, corpus = of_batch(tiny, tokens, options)
    model, _ = CONTRASTIVE.load(tiny.root / "models/tiny")
    ids, facts = corpus.batch(0)
    given, count = loss((ids, facts))
    vectors = []
    for row, (length, _) in zip(ids, facts, strict=True):
        with torch.no_grad():
            hidden = model.eval()(input_ids=torch.from_numpy(row[None, :length])).last_hidden_state[0].double().numpy()
        own = hidden.mean(axis=0) if pooling == "mean" else hidden[0]
        vectors.append(own / np.linalg.norm(own))
    first, second = np.split(np.stack(vectors), 2)
    group = facts[: len(first), 1]
    costs = []
    for place, own in enumerate(first):
        others = second[group == group[place]] @ own / 0.2
        costs.append(np.log(np.exp(others).sum()) - second[place] @ own / 0.2)
    assert count == len(first) > 10
    assert given.item() == pytest.approx(np.mean(costs), rel=1e-5)


def test_a_batch_costs_what_its_parts_cost_together(tiny: Workspace, tokens: Any) -> None:
    loss, corpus = of_batch(tiny, tokens, pretrain_options(SMALL | {"positives": "passages"}))
    whole, count = loss(corpus.batch(1))
    parts = [loss(part) for number in range(2) if (part := corpus.part(1, number, 2))]
    assert count == sum(texts for _, texts in parts)
    assert whole.item() == pytest.approx(sum(mean.item() * texts for mean, texts in parts) / count, rel=1e-6)


def test_a_text_with_no_other_in_its_group_costs_nothing(tiny: Workspace, tokens: Any) -> None:
    loss, _ = of_batch(tiny, tokens, pretrain_options(SMALL))
    for ids, facts in ((np.array([[2, 9, 9, 3]] * 2), np.array([[4, 0]] * 2)), (np.empty((0, 1), np.int64), np.empty((0, 2), np.int64))):
        value, count = loss((ids, facts))
        value.backward()
        assert (value.item(), count) == (0, 0)


@pytest.mark.parametrize("positives", ["dropout", "passages"])
def test_texts_that_were_not_read_lie_further_apart_by_the_same_bits_for_any_number_of_workers(
    tiny: Workspace, tokens: Any, positives: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []
    for name, workers in (("one", 1), ("two", 2)):
        monkeypatch.setattr(loop, "workers", lambda _, own=workers: own)
        measured.append(adapted(tiny, tokens, name, positives=positives))
    assert measured[0] == measured[1]
    assert files.tree(tiny.root / "one") == files.tree(tiny.root / "two")
    assert measured[0]["heldout_loss"] < measured[0]["heldout_loss_before"] - 0.1
    assert (measured[0]["head_steps"], measured[0]["steps"]) == (0, 16)


def test_less_memory_changes_no_comparison(tiny: Workspace, tokens: Any) -> None:
    plain = adapted(tiny, tokens, "plain", positives="passages", dropout=False)
    spared = adapted(
        tiny, tokens, "spared", positives="passages", dropout=False, shards=1, gradient_accumulation=2, gradient_checkpointing=True
    )
    assert spared["heldout_loss"] == pytest.approx(plain["heldout_loss"], rel=1e-4)


def test_a_budget_in_nats_a_token_is_left_to_the_gate_and_said_so(tiny: Workspace, tokens: Any) -> None:
    with running(Running(pipeline="tiny")) as context:
        measured = adapted(tiny, tokens, "budget", pretraining.Budget({}, 0.0), budget_tokens=1000)
    assert "stopped_early" not in measured
    (said,) = context.warned
    assert "contrastive guesses no tokens, which the budget counts: the gate `forgetting` judges the model afterwards" in said


def test_a_model_without_dropout_is_refused_by_the_plan_and_the_way_out_holds(tiny: Workspace) -> None:
    config = tiny.root / "models/tiny/config.json"
    files.write_json(config, json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    with pytest.raises(
        ConfigError, match=r"pretrain.objective: contrastive reads a text twice under other dropout, and config.json of"
    ) as no:
        resolve(tiny, "tiny", SETS)
    assert "write `positives: passages`, or name another base_model" in str(no.value)
    assert resolve(tiny, "tiny", [*SETS, "pretrain.positives=passages"])
    assert resolve(tiny, "tiny", [*SETS, "adapt=never"])


def test_dropout_that_only_a_type_s_default_says_is_found_before_training(tmp_path: Any) -> None:
    options = pretrain_options(SMALL)
    for name, own in (("bert", {}), ("modernbert", {})):
        folder = tiny_models.make(tmp_path / name, name, **own)
        config = files.read_json(folder / "config.json")
        files.write_json(folder / "config.json", {key: value for key, value in config.items() if "drop" not in key})
        assert CONTRASTIVE.refusal(folder, options) is None
    assert CONTRASTIVE.corruption(tmp_path / "bert", options, 0)
    with pytest.raises(ConfigError, match="has none but shares of 0"):
        CONTRASTIVE.corruption(tmp_path / "modernbert", options, 0)


def test_vectors_are_read_as_the_base_model_s_folder_says_unless_the_file_does(tiny: Workspace) -> None:
    def pooled(*sets: str) -> Any:
        return resolve(tiny, "tiny", [*SETS, *sets])["pretrain"]["pretrain"]["pooling"]

    assert pooled() == "mean"
    files.write_json(tiny.root / "models/tiny/modules.json", [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    files.write_json(tiny.root / "models/tiny/1_Pooling/config.json", {"pooling_mode": "cls"})
    assert pooled() == "cls"
    assert pooled("pretrain.pooling=mean") == "mean"


def test_models_of_other_families_are_refused(tiny: Workspace, tmp_path: Any) -> None:
    base = tiny_models.make(tmp_path / "gpt2", "gpt2")
    with pytest.raises(ConfigError, match="contrastive is made for encoder, but the base model"):
        resolve(tiny, "tiny", [*SETS, f"base_model={base}", "finetune.method=full"])
