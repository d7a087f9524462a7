"""Slices found in the text, columns that the data has, and gates on columns that it has not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from regraft.config.pipeline_file import load_pipeline
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.data.columns import other_columns, slice_columns
from regraft.data.options import TaskOptions
from regraft.data.tables import write_table
from regraft.evaluation.slice_discovery import clusters, discover, length_band, oov_band, script
from regraft.execution import freshness
from regraft.models.tfidf import Tfidf

TOPICS = {topic: [f"{topic}{n}" for n in range(60)] for topic in ("sea", "food")}


def texts(count: int) -> tuple[list[str], list[str]]:
    """(texts, topics): eight words of one topic each."""
    rng = random.Random(1)
    topics = [("sea", "food")[i % 2] for i in range(count)]
    return [" ".join(rng.choices(TOPICS[topic], k=8)) + f" n{rng.randrange(60)}" for topic in topics], topics


def baseline(train: list[str], topics: list[str]) -> Tfidf:
    return Tfidf.train(train, topics, ["food", "sea"], max_ngram=2, inverse_regularization=10.0)


@pytest.mark.parametrize(
    ("words", "bounds", "band"),
    [
        (0, (8, 12), "up to 8 words"),
        (8, (8, 12), "up to 8 words"),
        (9, (8, 12), "9 to 12 words"),
        (13, (8, 12), "over 12 words"),
        (9, (8, 9), "9 words"),
        (5, (7,), "up to 7 words"),
        (5, (), "any length"),
    ],
)
def test_a_band_of_lengths_says_its_ends(words, bounds, band):
    assert length_band(words, bounds) == band


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain words", "Latin"),
        ("Ünïcode früh", "Latin"),
        ("слова и a", "Cyrillic"),
        ("模型 model 训练数据", "Han"),
        ("昨日東京で寿司を食べました", "Japanese"),
        ("東京都庁前の案内", "Japanese"),
        ("\uff37\uff49\uff44\uff45 ｶﾀ", "Latin"),
        ("ｶﾀｶﾅ", "Japanese"),
        ("ab бв", "Cyrillic"),
        ("123 !?", "no letters"),
        ("", "no letters"),
    ],
)
def test_the_script_of_most_letters(text, found):
    assert script(text) == found


@pytest.mark.parametrize(
    ("unknown", "words", "band"),
    [(0, 0, "no words"), (0, 10, "0 %"), (1, 10, "up to 10 %"), (2, 10, "up to 25 %"), (1, 4, "up to 25 %"), (3, 10, "over 25 %")],
)
def test_bands_of_unknown_words(unknown, words, band):
    assert oov_band(["new"] * unknown + ["old"] * (words - unknown), frozenset({"old"})) == band


def test_where_no_blanks_are_written_lengths_are_characters_and_topics_are_named_in_pairs():
    rng = random.Random(1)
    words = {topic: [chr(first + n) + chr(first + n + 1) for n in range(0, 60, 2)] for topic, first in (("sea", 0x6C34), ("food", 0x98DF))}
    topics = [("sea", "food")[n % 2] for n in range(120)]
    train = ["。".join(rng.choices(words[topic], k=rng.randint(3, 9))) for topic in topics]
    slices = discover(train, train, baseline(train, topics))
    assert all(value.endswith(" characters") for value in slices["text_length"])
    assert {name for value in slices["text_cluster"] for name in value.partition(": ")[2].split(", ")} <= {*words["sea"], *words["food"]}
    single = Tfidf.train(train, topics, ["food", "sea"], max_ngram=1, inverse_regularization=10.0)
    assert {len(name) for value in clusters(train, train, single) for name in value.partition(": ")[2].split(", ")} == {1}


def test_clusters_are_topics_and_the_same_ones_every_time():
    train, topics = texts(200)
    model = baseline(train, topics)
    found = clusters(train[:60], train, model)
    assert found == clusters(train[:60], train, model)
    for name in set(found):
        words = set(name.partition(": ")[2].split(", "))
        assert len({topics[i] for i in range(60) if found[i] == name}) == 1, f"{name} mixes topics"
        assert words & set(TOPICS[topics[found.index(name)]])


def test_a_handful_of_training_rows_makes_one_cluster_and_texts_without_words_are_sliced_too():
    train, topics = texts(12)
    found = discover(["", "!!", "sea1 " * 30], train, baseline(train, topics))
    assert found["text_cluster"] == ["all"] * 3
    assert found["text_oov"] == ["no words", "no words", "0 %"]
    assert found["text_length"] == ["any length"] * 3  # every training row has nine words


def test_columns_of_the_data_come_along_and_a_taken_name_is_marked(tmp_path: Path):
    write_table(
        tmp_path / "rows.parquet",
        {"id": ["b", "a"], "text": ["x", "y"], "label": ["p", "q"], "source": ["s", None], "text_oov": ["1", "2"]},
    )
    found = other_columns(tmp_path / "rows.parquet", ["a", "b"], taken=["text_oov"])
    assert found == {"label": ["q", "p"], "source": [None, "s"], "column.text_oov": ["2", "1"]}
    names = slice_columns(
        ["key", "body", "kind", "source", "label", "text_oov"], TaskOptions(id="key", text="body", label="kind"), ["text_oov"]
    )
    assert names == ["label", "column.label", "source", "column.text_oov"]


HEAD = "version: 1\nbase_model: models/m\ndata:\n  corpus: c.txt\n  labelled: data\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    (tmp_path / "data" / "a.csv").write_text("id,text,label,source\n1,x,p,s\n")
    rows = [{"id": "2", "text": "y", "label": "q"}, {"id": "3", "text": "z", "label": "q", "region": "n"}]
    (tmp_path / "data" / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Workspace(tmp_path)


def gates(workspace: Workspace, *columns: str) -> None:
    workspace.pipeline_file("p").write_text(
        HEAD + f"gates:\n- {{beats: tfidf}}\n- {{slices: [{', '.join(columns)}], non_inferior_by: 0.1}}\n"
    )
    freshness.require_slices(workspace, "p", load_pipeline(workspace, "p"))


def test_columns_of_any_file_and_discovered_slices_are_known(workspace):
    gates(workspace, "source", "region", "label", "text_length", "text_script", "text_oov", "text_cluster")


@pytest.mark.parametrize(
    ("column", "near"), [("sorce", "did you mean 'source'?"), ("text_lenght", "did you mean 'text_length'?"), ("zzz", "Known:")]
)
def test_a_gate_on_a_column_that_is_not_there_is_a_fault_of_the_pipeline_file(workspace, column, near):
    with pytest.raises(ConfigError) as raised:
        gates(workspace, "source", column)
    (problem,) = raised.value.problems
    assert (problem["file"], problem["column"], problem["value"]) == ("pipelines/p.yaml", "gates.1.slices", column)
    assert f"the labelled rows have no column {column!r}" in problem["message"]
    assert near in problem["message"]


def test_what_is_sliced_is_read_as_strings(tmp_path: Path):
    write_table(tmp_path / "slices.parquet", {"id": ["a"], "zip": ["007"]})
    assert pq.read_table(tmp_path / "slices.parquet").to_pydict() == {"id": ["a"], "zip": ["007"]}
