"""What a person types is what is read, and every fault has a place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regraft.core.errors import DataRejected
from regraft.data.documents import read_corpus
from regraft.data.reading import read_rows
from regraft.data.rows import Row
from regraft.data.sources import Source

COLUMNS = ("id", "text", "label")


def read(path: Path) -> list[Row]:
    return list(read_rows(Source("data.labelled", path, path.name), COLUMNS, COLUMNS))


def rejected(path: Path) -> DataRejected:
    with pytest.raises(DataRejected) as caught:
        read(path)
    assert caught.value.exit_code == 3
    return caught.value


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("value", ["NA", "None", "null", "007", "nan", "1e5", "TRUE", " padded "])
def test_values_that_look_like_something_else_stay_text(tmp_path, value):
    [row] = read(write(tmp_path, "rows.csv", f"id,text,label\n{value},{value},{value}\n"))
    assert row.values == dict.fromkeys(COLUMNS, value)


def test_a_row_number_is_the_line_an_editor_shows(tmp_path):
    rows = read(write(tmp_path, "rows.csv", 'id,text,label\r\n1,"two\r\nlines",a\r\n\r\n2,x,b\r\n'))
    assert [(row.number, row.values["text"]) for row in rows] == [(2, "two\r\nlines"), (5, "x")]


def test_a_line_separator_inside_json_ends_no_line(tmp_path):
    lines = '{"id":"1","text":"a\u2028b","label":"x"}\n\n{"id":"2","text":"c","label":"x"}\n'
    assert [row.number for row in read(write(tmp_path, "rows.jsonl", lines))] == [1, 3]


def test_a_byte_order_mark_belongs_to_no_column(tmp_path):
    [row] = read(write(tmp_path, "rows.csv", b"\xef\xbb\xbfid,text,label\n1,x,a\n"))
    assert row.values["id"] == "1"


def test_blank_values_are_missing(tmp_path):
    [row] = read(write(tmp_path, "rows.csv", "id,text,label\n1,  ,\n"))
    assert row.values == {"id": "1", "text": None, "label": None}
    assert row.raw == {"id": "1", "text": "  ", "label": ""}


@pytest.mark.parametrize(("line", "rule", "words"), [
    ("1,a,b,c", "row.fields", "4 fields, but the header has 3"),
    ("1,a", "row.fields", "2 fields, but the header has 3"),
    ('1,"a"b,c', "csv.quotes", "a quote is written twice"),
])  # fmt: skip
def test_a_broken_csv_row_does_not_shift_the_next(tmp_path, line, rule, words):
    broken, good = read(write(tmp_path, "rows.csv", f"id,text,label\n{line}\n2,x,y\n"))
    assert (broken.number, broken.values, broken.whole) == (2, {}, False)
    assert broken.faults[0].rule == rule
    assert words in broken.faults[0].reason
    assert good.values == {"id": "2", "text": "x", "label": "y"}


@pytest.mark.parametrize(("line", "rule", "words"), [
    ('{"id": "1", "text": "x", "label": 3.5}', "label.type", "label is the number 3.5, not a string; write it in quotes"),
    ('{"id": "1", "text": "x", "label": true}', "label.type", "boolean true"),
    ('{"id": "1", "text": ["x"], "label": "a"}', "text.type", "list"),
    ('{"id": "1", "text": ["\\ud800"], "label": "a"}', "text.type", 'the list ["\\ud800"]'),
    ('{"id": "1", "text": "\\ud800x", "label": "a"}', "text.unicode", "\\ud800"),
    ('{"id": "1", "id": "2", "text": "x", "label": "a"}', "json.keys", "'id' stands twice"),
    ('["1", "x", "a"]', "json.object", "not an object"),
    ('{"id": "1", "text"', "json.syntax", "not JSON"),
    ("[" * 100_000, "json.syntax", "not JSON"),
])  # fmt: skip
def test_a_broken_json_line_says_how(tmp_path, line, rule, words):
    good = '{"id": "0", "text": "x", "label": "a"}'
    first, broken = read(write(tmp_path, "rows.jsonl", f"{good}\n{line}\n"))
    assert not first.faults
    assert (broken.number, broken.faults[0].rule) == (2, rule)
    assert words in broken.faults[0].reason


def test_a_null_or_absent_label_is_missing_and_other_columns_keep_their_json(tmp_path):
    lines = ['{"id":"1","text":"x","label":null,"year":2020}', '{"id":"2","text":"y"}', '{"id":"3","text":"z","label":"a"}']
    first, second, _ = read(write(tmp_path, "rows.jsonl", "\n".join(lines)))
    assert (first.values["label"], first.values["year"], first.faults) == (None, "2020", ())
    assert second.values.get("label") is None


@pytest.mark.parametrize(("name", "content", "rule", "words"), [
    ("rows.csv", b"", "file.empty", "empty"),
    ("rows.csv", b"\xef\xbb\xbf", "file.empty", "empty"),
    ("rows.jsonl", b"\n \n", "file.empty", "empty"),
    ("rows.csv", b"id,text,label\n", "file.rows", "a header and no rows"),
    ("rows.csv", b"id,text,labels\n1,x,a\n", "header.required", "no column 'label'; did you mean 'labels'?"),
    ("rows.csv", b"id,text,label,text\n1,x,a,y\n", "header.unique", "'text' 2 times"),
    ("rows.csv", b"id;text;label\n1;x;a\n", "csv.delimiter", "semicolons"),
    ("rows.csv", b'id,text,label\n1,x,a\n2,"x,a\n3,x,a\n', "csv.quotes", "never closed"),
    ("rows.jsonl", b'[{"id":"1","text":"x","label":"a"}]', "jsonl.lines", "a JSON array"),
    ("rows.jsonl", b'{"id":"1","text":"x","category":"a"}\n', "header.required", "no column 'label'"),
])  # fmt: skip
def test_a_faulty_file_is_rejected_by_name_rule_and_fix(tmp_path, name, content, rule, words):
    error = rejected(write(tmp_path, name, content))
    [problem] = error.problems
    assert (problem["file"], problem["rule"]) == (name, rule)
    assert words in problem["message"]
    assert words in str(error)
    assert problem["fix"]


@pytest.mark.parametrize(("encoding", "row"), [("cp1252", 3), ("utf-16", 1)])
def test_a_wrong_encoding_is_named_with_its_place_and_the_command_that_mends_it(tmp_path, encoding, row):
    text = "id,text,label\n1,nothing special here,a\n2,un café très agréable à Besançon,b\n3,encore un été à la plage,a\n"
    data = text.encode(encoding)
    [problem] = rejected(write(tmp_path, "rows.csv", data)).problems
    assert (problem["rule"], problem["row"]) == ("file.utf8", row)
    assert problem["fix"].startswith("iconv -f ")
    guess = problem["fix"].split()[2]
    assert data.decode(guess) == text, "the command must give back what was typed"
    offset = int(problem["message"].split("byte ")[1].split()[0])
    with pytest.raises(UnicodeDecodeError) as caught:
        data.decode()
    assert caught.value.start == offset


def test_all_files_of_a_folder_are_read_in_order_and_all_their_faults_come_at_once(tmp_path):
    write(tmp_path, "b.csv", "id,text,label\n1,x,a\n")
    write(tmp_path, "a.jsonl", '{"id":"2","text":"x","label":"a"}\n')
    write(tmp_path, ".DS_Store", b"\x00")
    write(tmp_path, "README.md", "notes")
    assert [row.file for row in read(tmp_path)] == [f"{tmp_path.name}/a.jsonl", f"{tmp_path.name}/b.csv"]
    write(tmp_path, "c.csv", "")
    write(tmp_path, "d.csv", b"id,text,label\n1,\xff,a\n")
    assert [problem["rule"] for problem in rejected(tmp_path).problems] == ["file.empty", "file.utf8"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_data_names_the_key_and_the_path(tmp_path, make):
    path = tmp_path / "nothing"
    make(path)
    assert "data.labelled" in str(rejected(path))
    assert "nothing" in str(rejected(path))
    with pytest.raises(DataRejected, match=r"data\.corpus.*nothing"):
        list(read_corpus(Source("data.corpus", path, "nothing"), "text").documents)


def test_paragraphs_lines_and_rows_are_documents(tmp_path):
    write(tmp_path, "a.txt", "one\nstill one\n\n\n  \ntwo\n")
    write(tmp_path, "b.jsonl", json.dumps({"text": "three", "n": 1}) + '\n{"n": 2}\nnot json\n')
    write(tmp_path, "c.csv", 'text,n\n"four",1\n')
    corpus = read_corpus(Source("data.corpus", tmp_path, "c"), "text")
    assert not corpus.unreadable, "nothing is read before it is asked for"
    assert [(d.where, d.text) for d in corpus.documents] == [
        ("c/a.txt:1", "one\nstill one"), ("c/a.txt:6", "two"), ("c/b.jsonl:1", "three"), ("c/c.csv:2", "four"),
    ]  # fmt: skip
    assert [where for where, _ in corpus.unreadable] == ["c/b.jsonl:2", "c/b.jsonl:3"]


def test_a_corpus_without_a_document_or_with_a_foreign_encoding_is_rejected(tmp_path):
    blank = write(tmp_path, "a.jsonl", '{"text": ""}\n')
    with pytest.raises(DataRejected, match="holds no document"):
        list(read_corpus(Source("data.corpus", blank, "a.jsonl"), "text").documents)
    latin = write(tmp_path, "b.txt", "déjà vu\n".encode("cp1252"))
    with pytest.raises(DataRejected, match=r"b.txt:1: not UTF-8: byte 1 is 0xe9"):
        list(read_corpus(Source("data.corpus", latin, "b.txt"), "text").documents)
