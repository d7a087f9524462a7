"""The rows of an earlier task: which half each is in, and what is told of rows that cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.errors import DataRejected, EnvironmentFault
from regraft.data.earlier_tasks import Half, read_task
from regraft.data.options import EarlierRows

ROWS = [(f"sentence number {n} about things", "red" if n % 2 else "blue") for n in range(120)]
HEADER = "text,label\n"
TABLE = HEADER + "".join(f"{text},{label}\n" for text, label in ROWS)


def read(path: Path, content: str | bytes, seed: int = 17, text: str = "text", label: str = "label") -> tuple[Half, Half]:
    """What :func:`read_task` makes of ``content``, in the folder of ``path``."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_task("a", EarlierRows(data=path.name, text=text, label=label, digest=files.digest(path)), seed)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_row_has_its_half_from_seed_and_text_alone(here):
    learn, answer = read(here / "a.csv", TABLE)
    assert sorted((*learn.texts, *answer.texts)) == sorted(text for text, _ in ROWS)
    assert 40 < len(answer.texts) < 80
    more = "".join(f"another sentence {n},red\n" for n in range(60))
    shuffled = HEADER + more + "".join(reversed(TABLE.removeprefix(HEADER).splitlines(keepends=True)))
    grown = read(here / "a.csv", shuffled)
    assert set(learn.texts) < set(grown[0].texts)
    assert set(answer.texts) < set(grown[1].texts)
    assert read(here / "a.csv", TABLE, seed=18)[1] != answer


def test_copies_count_once_and_a_text_with_two_labels_stays_on_one_side(here):
    doubled = TABLE + TABLE.removeprefix(HEADER) + f"{ROWS[0][0]},red\n"
    learn, answer = read(here / "a.csv", doubled)
    assert len(learn.texts) + len(answer.texts) == len(ROWS) + 1
    assert not set(learn.texts) & set(answer.texts)


def test_every_format_of_labelled_data_is_read_alike(here):
    expected = read(here / "a.csv", TABLE)
    objects = "".join(json.dumps({"said": text, "topic": label, "n": 1}) + "\n" for text, label in ROWS)
    assert read(here / "a.jsonl.gz", gzip.compress(objects.encode()), text="said", label="topic") == expected
    assert read(here / "a.tsv", TABLE.replace(",", "\t")) == expected


@pytest.mark.parametrize(
    ("name", "content", "says", "fix"),
    [
        ("a.csv", "", "a.csv: the file is empty [file.empty]", "fill it"),
        ("a.csv", TABLE.replace("label\n", "topic\n", 1), "a.csv:1: no column 'label'", "as `text` or `label` of the earlier task"),
        ("a.csv", TABLE + "no label,\n", "a.csv:122: label is missing [label.required]", "correct the row"),
        ("a.csv", TABLE + "one,two,three\n", "a.csv:122: 3 fields, but the header has 2", "correct the row"),
        ("a.csv", (TABLE + "Größe,red\n").encode("cp1252"), "a.csv:122: not UTF-8", "iconv -f cp1252"),
        ("a.csv", TABLE.replace("blue", "red"), "a.csv: every row has the label 'red'", "second class"),
        ("a.csv", TABLE + "alone,green\n", "a.csv:122: class 'green' has 1 row and no", "add rows of class 'green' (with 7"),
        ("a.csv", "".join(TABLE.splitlines(keepends=True)[:30]), "29 different rows; a probe and its answers need 40", "add rows to a.csv"),
        ("a.csv", HEADER + 9 * "the same,red\nother,blue\n", "2 different rows", "add rows to a.csv"),
        ("a.jsonl", '{"text": "x", "label": 3.5}\n', "a.jsonl:1: label is the number 3.5, not a string", "correct the row"),
        ("a.txt", "words\n", "gates.earlier_tasks.tasks.a.data reads .csv, .tsv, .jsonl", ""),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_told_by_file_row_and_rule(here, name, content, says, fix):
    with pytest.raises(DataRejected) as told:
        read(here / name, content)
    assert says in str(told.value)
    assert fix in (told.value.fix or "")
    assert told.value.problems[0]["file"] == name


def test_rows_that_changed_since_the_run_began_are_not_read(here):
    (here / "a.csv").write_text(TABLE)
    with pytest.raises(EnvironmentFault, match="changed since the run began"):
        read_task("a", EarlierRows(data="a.csv", digest="0" * 64), 17)
