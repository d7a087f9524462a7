"""Rows of two texts: kept as one with a mark between, compared text by text, asked about two by two."""

from __future__ import annotations

import io
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from regraft.cli import prediction_input
from regraft.core.errors import ConfigError, DataRejected
from regraft.data import pairs
from regraft.data.contract import default_contract, unwritten
from regraft.data.documents import Corpus, Document
from regraft.data.expectations import rules
from regraft.data.options import SplitOptions, TaskOptions
from regraft.data.splitting import Dealt, split_rows
from regraft.models import served

TASK = TaskOptions(text="premise", text_pair="hypothesis")


def words(number: int, count: int = 12) -> str:
    rng = random.Random(number)
    return " ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(count))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (pairs.join("a b", " c\n"), ("a b", "c")),
        ("one text", ("one text",)),
        (f"two {pairs.MARK} marks {pairs.MARK} no pair", (f"two {pairs.MARK} marks {pairs.MARK} no pair",)),
        (f"line\n{pairs.MARK} break", ("line", "break")),
    ],
)
def test_a_pair_is_one_text_that_comes_apart_again(text, parts):
    assert pairs.apart(text) == parts


def test_production_knows_the_mark_by_itself():
    assert served.MARK == pairs.MARK


def test_without_a_second_text_every_section_is_as_it_was():
    assert TaskOptions().model_dump() == {"type": "text-classification", "text": "text", "label": "label", "id": "id"}
    assert "without" not in str(unwritten(TaskOptions(), None).model_dump())


@pytest.mark.parametrize("column", ["premise", "label", "id"])
def test_the_second_text_is_a_column_of_its_own(column):
    with pytest.raises(ValidationError, match=f"`text_pair` is '{column}', which `task` names already"):
        TaskOptions(text="premise", text_pair=column)


def test_the_contract_asks_for_both_texts_and_for_neither_to_hold_the_mark():
    assert [column["name"] for column in default_contract(TASK)["columns"]] == ["id", "premise", "hypothesis", "label"]
    by_id = {rule.id: rule for rule in rules(unwritten(TASK, None))}
    assert {"premise.required", "hypothesis.required", "premise.without", "hypothesis.without"} <= set(by_id)
    fault = by_id["hypothesis.without"].fault(f"a {pairs.MARK} b")
    assert fault.reason == f"hypothesis 'a {pairs.MARK} b' holds {pairs.MARK}, which regraft writes between the two texts of a pair"


def test_a_contract_without_the_second_column_is_refused():
    with pytest.raises(ConfigError, match=r"task\.text_pair is 'hypothesis', which the contract 'default' does not describe"):
        unwritten(TaskOptions(text="premise"), None).for_task(TASK)


def dealt(rows: dict[str, str], *documents: str) -> Dealt:
    corpus = Corpus([Document(f"c.txt:{n}", text) for n, text in enumerate((*documents, words(9_000, 40)))], [])
    given = {key: "test" if key.startswith("test") else "train" for key in rows}
    return split_rows(list(rows.items()), corpus, SplitOptions(), 17, given, pairs=True)


def test_a_pair_repeats_another_where_both_texts_do():
    premise, near = words(1, 40), f"{words(1, 40)} indeed"
    rows = {
        "test-0": pairs.join(premise, words(2)),
        "train-other-hypothesis": pairs.join(premise, words(3)),
        "train-near": pairs.join(near, words(2)),
        "train-turned": pairs.join(words(2), premise),
    }
    assert set(dealt(rows).splits) == {"test-0", "train-other-hypothesis", "train-turned"}


def test_a_document_that_holds_one_of_the_two_held_out_texts_goes():
    rows = {"test-0": pairs.join(words(1), words(2)), "train-0": pairs.join(words(3), words(4))}
    documents = [f"{words(number, 30)} {words(inside)} {words(number + 1, 30)}" for number, inside in ((100, 1), (200, 2), (300, 3))]
    assert [(item.reason, item.of) for item in dealt(rows, *documents).dropped] == [("contains", "test-0")] * 2


COLUMNS = ("premise", "hypothesis")


def ask(*argv: str) -> list[str]:
    return [asked.text for asked in prediction_input.read(argv, COLUMNS)]


def test_typed_texts_are_taken_two_at_a_time_and_tables_by_their_columns(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("id,hypothesis,premise\n1,b,a\n")
    assert ask("x", "y", str(table), "z", "w") == [pairs.join("x", "y"), pairs.join("a", "b"), pairs.join("z", "w")]


def test_standard_input_is_a_pair_a_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a b\tc\n\nd\te\n")))
    assert ask("-") == [pairs.join("a b", "c"), pairs.join("d", "e")]


@pytest.mark.parametrize(
    ("argv", "table", "says"),
    [
        (["x", "y", "z"], None, "the model reads pairs of premise and hypothesis, and 'z' has no second text"),
        (["rows.csv"], "premise,hypothesis\na,\n", "no hypothesis"),
        (["rows.csv"], "premise\na\n", "no column 'hypothesis'"),
    ],
)
def test_half_a_pair_is_refused(argv, table, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if table:
        Path("rows.csv").write_text(table)
    with pytest.raises((ConfigError, DataRejected)) as caught:
        ask(*argv)
    assert says in str(caught.value)
