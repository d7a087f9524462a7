"""What adaptation reads besides a corpus: the texts of the training rows, and general text in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from everything import write_general

from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.core.workspace import Workspace
from regraft.data.options import GeneralText
from regraft.data.packing import pack, read
from regraft.data.row_texts import training_texts
from regraft.execution.resolve import resolve
from regraft.models.tokenizer import backend
from regraft.reports.page import HELD_OUT
from regraft.reports.plots import ROOM_FOR_NAMES
from regraft.training import pretraining
from regraft.training.general_text import pack_general, pack_replay
from regraft.training.options import pretrain_options
from regraft.training.workers import Team

BOTH: dict[str, Any] = {"texts": "corpus_then_rows", "rows_tokens": 1500, "replay": {"share": 0.25, "text": "data/general.txt"}}
SMALL: dict[str, Any] = {"budget_tokens": 2000, "head_warmup_tokens": 500, "sequence_length": 32, "batch_size": 8, "learning_rate": 1e-3}


def rewritten(tiny: Workspace, **keys: Any) -> None:
    """The pipeline file with ``keys``; None takes one out."""
    path = tiny.pipeline_file("tiny")
    import yaml

    document = yaml.safe_load(path.read_text()) | keys
    path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}, sort_keys=False))


@pytest.fixture
def texts(tiny: Workspace) -> dict[str, Any]:
    """``tokens``, ``rows`` and ``replay`` of the tiny workspace, packed."""
    base = tiny.root / "models/tiny"
    write_general(tiny.root / "data/general.txt", base / "tokenizer.json", 60)
    for folder in ("tokens", "rows", "general", "replay"):
        (tiny.root / folder).mkdir()
    documents = [json.loads(line)["text"] for line in (tiny.root / "data/corpus.jsonl").read_text().splitlines()]
    pack([(documents, [number % 10 == 0 for number in range(len(documents))])], backend(base), 32, tiny.root / "tokens")
    rows = pd.read_json(tiny.root / "data/rows.jsonl", lines=True).assign(split="train")
    pack(training_texts(rows), backend(base), 32, tiny.root / "rows")
    return {
        "tokens": tiny.root / "tokens",
        "rows": tiny.root / "rows",
        "replay": pack_replay(general(tiny), base, 32, tiny.root / "replay"),
    }


def general(tiny: Workspace) -> GeneralText:
    path = tiny.root / "data/general.txt"
    return GeneralText(text="data/general.txt", digest=files.digest(path), column="text")


def test_no_text_of_a_held_out_row_is_read_and_no_label_and_no_id_has_an_influence() -> None:
    texts = {"train": ["b", "c \u241e d", "b"], "dev": ["e"], "test": ["f"]}
    rows = pd.DataFrame([(text, "x", split) for split, own in texts.items() for text in own], columns=["text", "label", "split"])
    rows["id"] = [str(number) for number in range(len(rows))]
    ((read_texts, heldout),) = training_texts(rows)
    assert sorted(read_texts) == ["b", "c", "d"]
    assert heldout == [False] * 3
    assert [*training_texts(rows.iloc[::-1].assign(label="z", id="0"))] == [(read_texts, heldout)]


@pytest.mark.parametrize("share", [0.05, 0.25, 0.3, 0.5])
def test_replayed_sequences_are_the_share_that_was_asked_for_each_once_an_epoch_and_the_rest_is_the_corpus(
    texts: dict[str, Any], share: float
) -> None:
    shards = read(texts["tokens"])
    corpus = pretraining.Corpus(shards, _Nothing(), 8, 17, pretraining.Replay(texts["replay"], share))
    steps = len(shards["train"]) // 4
    places = [place for step in range(steps) for place in corpus.places(step)]
    replayed = [place for place in places if place[2]]
    assert len(replayed) == int(len(places) * share)
    assert len(set(places)) == len(places), "one sequence twice in an epoch"
    own = [place for place in places if not place[2]]
    alone = pretraining.Corpus(shards, _Nothing(), 8, 17)
    assert own == [place for step in range(steps) for place in alone.places(step)][: len(own)], "in the order that the corpus has alone"
    parts = [corpus.part(3, part, 4) for part in range(4)]
    assert sorted(np.concatenate([part[0] for part in parts if part]).tolist()) == sorted(corpus.batch(3)[0].tolist())


class _Nothing:
    """Hides nothing."""

    def batch(self, ids: Any, seed: int, places: Any) -> tuple[Any, Any]:
        return ids, ids


def test_corpus_then_rows_with_replay_goes_on_to_the_same_bytes_wherever_it_was_cut(
    tiny: Workspace, texts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = adapted(tiny, texts, "whole")
    assert (whole["head_steps"], whole["steps"], whole["tokens"]) == (2, 14, 14 * 8 * 32)
    assert whole["heldout_loss_before"] > whole["heldout_loss"] != whole["heldout_loss_after_rows"]
    taken, take = [0], Team.step

    def counted(self: Team, *more: Any) -> Any:
        taken[0] += 1
        if taken[0] in (5, 12):  # of 2 steps of the head, 8 of the corpus and 6 of the rows
            STOP.set()
        return take(self, *more)

    monkeypatch.setattr(Team, "step", counted)
    with running(Running(pipeline="tiny", checkpoints=tiny.root / "checkpoints")):
        for _ in range(2):
            with pytest.raises(Interrupted):
                adapted(tiny, texts, "cut")
            STOP.clear()
        assert adapted(tiny, texts, "cut") == whole
    assert files.tree(tiny.root / "cut") == files.tree(tiny.root / "whole")


def adapted(tiny: Workspace, texts: dict[str, Any], name: str, budget: pretraining.Budget | None = None, **more: Any) -> dict[str, float]:
    options = pretrain_options(SMALL | BOTH | more)
    named = {key: texts[key] for key in ("rows", "replay")}
    return pretraining.pretrain(tiny.root / "models/tiny", texts["tokens"], options, 17, tiny.root / name, budget, **named)


def test_both_texts_are_read_in_turn_each_with_rates_that_rise_anew(
    tiny: Workspace, texts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    factors, take = list[float](), Team.step
    monkeypatch.setattr(Team, "step", lambda self, step, factor, clip: (factors.append(factor), take(self, step, factor, clip))[1])
    adapted(tiny, texts, "again", rows_learning_rate=1e-4, schedule="cosine", budget_tokens=10_000, rows_tokens=10_000)
    corpus, rows = factors[2:42], factors[42:]
    assert corpus == rows
    assert rows[0] < rows[1] == 1.0 > rows[-1]


def test_a_budget_of_general_language_ends_each_part_and_what_was_read_is_counted(tiny: Workspace, texts: dict[str, Any]) -> None:
    budget = pretraining.Budget(pack_general(general(tiny), tiny.root / "models/tiny", 32, tiny.root / "general"), 0.0)
    spent = adapted(tiny, texts, "spent", budget, learning_rate=0.02)
    assert spent["stopped_early"] == 1
    assert spent["steps"] < 14
    assert spent["tokens"] == spent["steps"] * 8 * 32
    assert spent["general_loss"] <= spent["general_loss_before"] < spent["general_loss_refused"]


def test_what_the_page_writes_beside_the_losses_has_room_there() -> None:
    assert "heldout_loss_after_rows" in HELD_OUT
    assert max(map(len, HELD_OUT.values())) <= ROOM_FOR_NAMES


def test_a_step_that_does_not_hand_the_text_in_is_refused_not_passed_over(tiny: Workspace, texts: dict[str, Any]) -> None:
    for options, key in ((SMALL | {"texts": "rows"}, "pretrain.texts: rows"), (SMALL | {"replay": {}}, "pretrain.replay")):
        with pytest.raises(ConfigError, match=key) as refused:
            pretraining.pretrain(tiny.root / "models/tiny", texts["tokens"], pretrain_options(options), 17, tiny.root / "out")
        assert refused.value.fix == "regraft init --upgrade ."


def test_rows_need_no_corpus_and_what_is_not_read_is_no_step(tiny: Workspace, cli: Any) -> None:
    before = resolve(tiny, "tiny")
    assert not {"texts", "rows_tokens", "rows_learning_rate", "replay"} & (before["pretrain"] | before["pretrain"]["pretrain"]).keys()
    rewritten(tiny, data={"labelled": "data/rows.jsonl"}, pretrain=SMALL | {"texts": "rows"})
    rows = resolve(tiny, "tiny")
    assert not {"corpus", "tokens"} & rows.keys()
    assert rows["row_tokens"] == before["tokens"]
    assert rows["pretrain"]["pretrain"]["texts"] == "rows"
    assert {"finetune-base", "finetune-adapted"} <= rows.keys()
    rewritten(tiny, data={"corpus": "data/corpus.jsonl", "labelled": "data/rows.jsonl"})
    assert "data.corpus is not read: pretrain.texts is rows" in cli("plan", "tiny").out
    assert resolve(tiny, "tiny")["data"] == {"labelled": "data/rows.jsonl"}
    rewritten(tiny, finetune={"method": "auto"})
    assert "adapted" in resolve(tiny, "tiny")["candidates"]


def test_both_have_both_steps_and_the_digest_of_what_is_replayed(tiny: Workspace) -> None:
    write_general(tiny.root / "data/general.txt", tiny.root / "models/tiny/tokenizer.json", 5)
    rewritten(tiny, pretrain=SMALL | BOTH)
    values = resolve(tiny, "tiny")
    assert {"corpus", "tokens", "row_tokens", "pretrain"} <= values.keys()
    assert values["pretrain"]["replay"] == {
        "text": "data/general.txt",
        "digest": files.digest(tiny.root / "data/general.txt"),
        "column": "text",
    }
    rewritten(tiny, adapt="never")
    assert not {"corpus", "tokens", "row_tokens", "pretrain"} & resolve(tiny, "tiny").keys()


@pytest.mark.parametrize(
    ("pretrain", "data", "says"),
    [
        ({"texts": "corpus_then_rows"}, {}, "pretrain: `texts: corpus_then_rows` needs `rows_tokens`"),
        (
            {"rows_tokens": 5000},
            {},
            "pretrain: `rows_tokens` is for `texts: corpus_then_rows`, and texts is corpus, where `budget_tokens` holds",
        ),
        ({"texts": "rows", "rows_learning_rate": 1e-4}, {}, "where `learning_rate` holds; take it out"),
        ({"texts": "row"}, {}, "pretrain.texts: input should be 'corpus', 'rows' or 'corpus_then_rows', not 'row'"),
        ({"replay": {"share": 0.6}}, {}, "pretrain.replay.share: input should be less than or equal to 0.5, not 0.6"),
        ({"replay": {"shrae": 0.1}}, {}, "pretrain.replay.shrae: unknown; did you mean share?"),
        ({"replay": {"text": "hub:a/b@c"}}, {}, "pretrain.replay.text: general text is a file or folder of the workspace"),
        (
            {"replay": {"text": "data/corpsu.jsonl"}},
            {},
            "pretrain.replay.text: data/corpsu.jsonl is not there; did you mean data/corpus.jsonl?",
        ),
        (
            {"texts": "corpus_then_rows", "rows_tokens": 5000},
            {"corpus": None},
            "needs text of the domain; name it as `data.corpus`, or write",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused_with_their_line(tiny: Workspace, cli: Any, pretrain: Any, data: Any, says: str) -> None:
    read_from = {"corpus": "data/corpus.jsonl", "labelled": "data/rows.jsonl"} | data
    rewritten(tiny, data={key: value for key, value in read_from.items() if value}, pretrain=pretrain)
    refused = cli("plan", "tiny", "--json")
    assert refused.code == 2
    (error,) = refused.json["errors"]
    assert says in error["message"]
    assert error["row"] >= 1 + tiny.pipeline_file("tiny").read_text().splitlines().index("pretrain:")


def test_rows_of_too_few_words_name_the_rows_and_no_corpus(tiny: Workspace) -> None:
    (tiny.root / "few").mkdir()
    rows = pd.DataFrame({"text": ["the old rope"], "split": ["train"]})
    named = {"called": "the text of the training rows", "key": "data.labelled"}
    with pytest.raises(DataRejected, match=r"the text of the training rows \(1 documents\) does not fill") as refused:
        pack(training_texts(rows), backend(Path(tiny.root / "models/tiny")), 32, tiny.root / "few", **named)
    assert refused.value.fix == "add text to data.labelled, or lower pretrain.sequence_length"
