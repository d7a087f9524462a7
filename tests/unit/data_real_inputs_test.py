"""Files as people's tools write them: what is read of them, what is said, and what is refused with the command that mends it."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regraft.core import progress
from regraft.core.encoding import SPELLING
from regraft.core.errors import DataRejected
from regraft.data.documents import read_corpus
from regraft.data.options import TaskOptions
from regraft.data.reading import read_rows
from regraft.data.rows import Row, present
from regraft.data.sources import Source
from regraft.data.spelling import canonical, joined_labels, json_labels, spelled, told_apart, variants

COLUMNS = ("id", "text", "label")


def read(path: Path) -> list[Row]:
    return list(read_rows(Source("data.labelled", path, path.name), COLUMNS, COLUMNS))


def problems(path: Path) -> list[dict[str, object]]:
    with pytest.raises(DataRejected) as refused:
        read(path)
    return list(refused.value.problems)


@pytest.fixture
def warnings(monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr(progress, "emit", lambda event, message: sent.append(message))
    with progress.running(progress.Running()):
        yield sent


@pytest.mark.parametrize(("content", "rows"), [
    (",id,text,label\n0,a,x,l\n1,b,y,m\n", [("a", "x", "l"), ("b", "y", "m")]),  # pandas' index
    ("id,text,label,\na,x,l,\nb,y,m,\n", [("a", "x", "l"), ("b", "y", "m")]),  # a spreadsheet's trailing comma
    ("id,text,label,,\na,x,l,,\nb,y,m\n", [("a", "x", "l"), ("b", "y", "m")]),
    ("id,text,label\na,x,l,\nb,y,m,,\n", [("a", "x", "l"), ("b", "y", "m")]),  # only in the rows
])  # fmt: skip
def test_columns_without_a_name_are_left_out(tmp_path, warnings, content, rows):
    (tmp_path / "rows.csv").write_text(content)
    assert [tuple(row.values.values()) for row in read(tmp_path / "rows.csv")] == rows
    assert [message for message in warnings if "without a name" in message] == (
        [f"rows.csv: {'2 columns without a name are' if ',,' in content.splitlines()[0] else 'a column without a name is'} left out"]
        if "," in (content[0], content.splitlines()[0][-1])
        else []
    )


def test_a_value_beyond_the_header_is_still_a_fault(tmp_path):
    (tmp_path / "rows.csv").write_text("id,text,label\na,x,l,more\n")
    ((fault,),) = [row.faults for row in read(tmp_path / "rows.csv")]
    assert fault.rule == "row.fields"


def test_integers_of_json_are_their_digits(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": n, "text": "x", "label": n % 2}) + "\n" for n in range(4)))
    assert [(row.values["id"], row.values["label"], row.faults) for row in read(tmp_path / "rows.jsonl")][3] == ("3", "1", ())


@pytest.mark.parametrize(("labels", "words", "mended"), [
    ([["garden"], ["kitchen"], ["garden"]], "label is a list in 3 of 3 rows", ["garden", "kitchen", "garden"]),
    ([True, False, True], "label is a boolean in 3 of 3 rows", ["true", "false", "true"]),
    ([1.5, 2.5, 1.5], "label is a number in 3 of 3 rows", ["1.5", "2.5", "1.5"]),
    ([["a", "b"], ["a"], ["b"]], "1 of the lists do not hold one value", None),
    ([{"name": "a"}] * 3, "label is an object in 3 of 3 rows", None),
])  # fmt: skip
def test_labels_of_another_type_are_said_once_with_the_command_that_mends_the_file(tmp_path, labels, words, mended):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": "x", "label": label}) + "\n" for n, label in enumerate(labels)))
    (problem,) = problems(path)
    assert words in problem["message"]
    if mended and shutil.which("jq"):
        subprocess.run(str(problem["fix"]), shell=True, cwd=tmp_path, check=True)
        assert [row.values["label"] for row in read(path)] == mended
    assert bool(mended) == str(problem["fix"]).startswith("jq ")


@pytest.mark.parametrize("text", ["\u200b", "\ufeff\u2060", " \u200d\t", "\u00ad\u200e"])
def test_a_text_of_characters_that_nobody_sees_is_missing(text):
    assert present(text) is None
    assert present(f"{text}x") == f"{text}x"


@pytest.mark.parametrize(("encoding", "text"), [
    ("cp1252", "the café\u2019s crème brûlée"), ("cp1252", "it\u2019s fine"), ("cp1251", "привет из сада, как дела"),
    ("cp932", "庭の花が咲いている。今日は天気がいい"), ("gbk", "今天花园里的花开得很好"), ("cp1253", "τα λουλούδια στον κήπο"),
])  # fmt: skip
def test_of_a_mixed_file_only_the_lines_at_fault_are_converted(tmp_path, encoding, text):
    good = ["id,text,label", "1,naïve · 日本,a", "2,Überblick,b", "3,plain,a"]
    bad = [f"{n},{text},b" for n in (4, 5)]
    path = tmp_path / "rows.csv"
    path.write_bytes("\n".join(good).encode() + b"\n" + "\n".join(bad).encode(encoding) + b"\n6,\xe2\x80\x94,a\n")
    (problem,) = problems(path)
    assert "2 of 7 lines are not UTF-8 (line 5, line 6)" in problem["message"]
    assert problem["row"] == 5
    if shutil.which("perl"):
        subprocess.run(str(problem["fix"]), shell=True, cwd=tmp_path, check=True)
        assert path.read_text().splitlines() == [*good, *bad, "6,—,a"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", "déjà vu à Noël"), ("utf-16", "garden wörds"), ("koi8-r", "привет из сада, сегодня стоит хорошая погода")],
)
def test_a_file_in_another_encoding_is_converted_as_a_whole(tmp_path, encoding, text):
    content = f"id,text,label\n1,{text},a\n2,{text} again,b\n"
    (tmp_path / "rows.csv").write_bytes(content.encode(encoding))
    (problem,) = problems(tmp_path / "rows.csv")
    assert str(problem["fix"]).startswith("iconv -f ")
    subprocess.run(str(problem["fix"]), shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "rows.csv").read_text() == content


@pytest.mark.parametrize(("encoding", "words"), [("cp932", "庭の花"), ("euc_kr", "꽃과 나무"), ("cp1251", "сад"), ("gbk", "花园")])
def test_the_other_lines_of_a_file_tell_what_a_few_letters_are(tmp_path, encoding, words):
    lines = [
        f"{n},rose bloom new under seed {words} small large we compost,a".encode(encoding if n % 20 == 5 else "utf8") for n in range(60)
    ]
    (tmp_path / "rows.csv").write_bytes(b"id,text,label\n" + b"\n".join(lines) + b"\n")
    (problem,) = problems(tmp_path / "rows.csv")
    subprocess.run(str(problem["fix"]), shell=True, cwd=tmp_path, check=True)
    assert {row.values["text"] for row in read(tmp_path / "rows.csv")} == {f"rose bloom new under seed {words} small large we compost"}


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 4, pickle.dumps([{"text": "x" * 40, "label": "é"}] * 9)]
)
def test_what_is_no_text_is_not_to_be_converted(tmp_path, content):
    (tmp_path / "rows.csv").write_bytes(content)
    (problem,) = problems(tmp_path / "rows.csv")
    assert (problem["rule"], problem["fix"]) == ("file.text", "file rows.csv says what it is; export it as text in UTF-8")


def test_the_header_once_more_is_no_row(tmp_path):
    (tmp_path / "rows.csv").write_text("id,text,label\na,x,l\nid,text,label\nb,y,m\n")
    assert [[fault.rule for fault in row.faults] for row in read(tmp_path / "rows.csv")] == [[], ["row.header"], []]


def test_quotes_behind_backslashes_are_told_with_the_command_that_doubles_them(tmp_path):
    (tmp_path / "rows.csv").write_text('id,text,label\na,"he said \\"yes\\" \\\\o/",l\n')
    ((fault,),) = [row.faults for row in read(tmp_path / "rows.csv")]
    subprocess.run(fault.reason.partition("it is doubled: ")[2], shell=True, cwd=tmp_path, check=True)
    assert [row.values["text"] for row in read(tmp_path / "rows.csv")] == ['he said "yes" \\o/']


def test_a_table_of_semicolons_is_mended_by_its_command(tmp_path):
    (tmp_path / "rows.csv").write_text('id;text;label\na;one, "two";1,5\n'.replace('one, "two"', '"one, ""two"""'))
    (problem,) = problems(tmp_path / "rows.csv")
    subprocess.run(["bash", "-c", str(problem["fix"]).partition(": ")[2]], cwd=tmp_path, check=True)
    assert [list(row.values.values()) for row in read(tmp_path / "rows.csv")] == [["a", 'one, "two"', "1,5"]]


def test_nan_in_json_is_nothing(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "x", "label": NaN}\n')
    assert [(row.values["label"], row.faults) for row in read(tmp_path / "rows.jsonl")] == [(None, ())]


def test_a_folder_that_spark_wrote_is_read(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("_SUCCESS", "_committed_42", "._SUCCESS.crc", ".part-00000-c000.csv.crc"):
        (folder / name).write_bytes(b"")
    (folder / "part-00000-ab-c000.csv").write_text("id,text,label\n1,x,a\n")
    (folder / "part-00001-ab-c000.csv").write_text("id,text,label\n")
    (folder / "part-00002-ab-c000.csv").write_bytes(b"")
    assert [row.values["id"] for row in read(folder)] == ["1"]


def test_a_folder_that_a_job_is_still_writing_is_refused(tmp_path):
    (tmp_path / "rows" / "_temporary" / "0").mkdir(parents=True)
    (tmp_path / "rows" / "_temporary" / "0" / "part-0.csv").write_text("id,text,label\n1,x,a\n")
    assert problems(tmp_path / "rows")[0]["rule"] == "file.whole"


def test_a_data_file_that_begins_with_an_underscore_is_data(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "_rows.csv").write_text("id,text,label\n1,x,a\n")
    assert len(read(tmp_path / "rows")) == 1


def test_a_column_that_only_the_folder_has_is_said(tmp_path):
    (tmp_path / "rows" / "label=garden").mkdir(parents=True)
    (tmp_path / "rows" / "label=garden" / "part-0.csv").write_text("id,text\n1,x\n")
    assert "it is the name of the folder 'label=garden', which is not read" in problems(tmp_path / "rows")[0]["message"]


def test_json_lines_that_are_called_json_are_renamed_not_unpacked(tmp_path):
    (tmp_path / "rows.json").write_text('{"id": "1", "text": "x", "label": "a"}\n')
    assert problems(tmp_path / "rows.json")[0]["fix"] == "if it holds one object a line call it .jsonl: mv rows.json rows.jsonl"


def test_a_corpus_of_a_document_a_line_says_how_it_was_read(tmp_path, warnings):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"line {n}\n" for n in range(40)))
    corpus = read_corpus(Source("data.corpus", path, path.name), "text")
    assert len(list(corpus.documents)) == 1
    assert warnings == [
        "corpus.txt: 40 lines and no blank one are read as 1 document; where every line is one, put a blank line between them: "
        "sed G corpus.txt > corpus.paragraphs.txt && mv corpus.paragraphs.txt corpus.txt"
    ]
    subprocess.run(warnings[0].rpartition(": ")[2], shell=True, cwd=tmp_path, check=True)
    assert len(list(read_corpus(Source("data.corpus", path, path.name), "text").documents)) == 40


def test_labels_that_differ_by_case_blanks_or_unicode_form_are_one():
    labels = {"Café": 3, "cafe\u0301": 9, " café ": 1, "CAFÉ": 2, "tea": 4, "tea  room": 1, "tea room": 1}
    assert variants(labels) == {"café": ["cafe\u0301", "Café", "CAFÉ", " café "], "tea room": ["tea  room", "tea room"]}
    assert canonical("Straße") == canonical("STRASSE")


def test_labels_that_are_json_are_found_and_brackets_alone_are_none():
    labels = ['{"choices": ["a", "b"]}', '["a"]', "['a', 'b']", "('a',)", "[draft]", "(a)", "(1)", "a", "{x"]
    assert json_labels(labels) == ["('a',)", '["a"]', "['a', 'b']", '{"choices": ["a", "b"]}']


def test_labels_that_join_others_are_found():
    assert joined_labels(["garden", "Kitchen", "garden | kitchen", "and/or", "r&b"]) == ["garden | kitchen"]


def test_spellings_that_look_alike_are_told_apart():
    assert told_apart(["Gärten", "Ga\u0308rten", "gärten"]) == ["'G\\xe4rten'", "'Ga\\u0308rten'", "'gärten'"]


@pytest.mark.parametrize(("name", "split"), [
    ("validation", "dev"), ("val", "dev"), ("valid", "dev"), ("Validation ", "dev"), ("TRAIN", "train"), ("Test", "test"),
    ("holdout", "holdout"),
])  # fmt: skip
def test_splits_are_called_what_data_sets_call_them(name, split):
    row = Row("f", 1, {"id": "1", "label": "A", "part": name}, (), None)
    (read_row,) = spelled([row], TaskOptions(normalise_labels=True), "part")
    assert (read_row.values["part"], read_row.values["label"]) == (split, "a")


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be"])
def test_utf_16_without_a_mark_is_called_that_and_its_command_mends_it(tmp_path, encoding):
    (tmp_path / "rows.csv").write_bytes("id,text,label\na,x,l\nb,y,m\n".encode(encoding))
    (problem,) = problems(tmp_path / "rows.csv")
    assert problem["message"] == f"it is UTF-16 without a byte-order mark ({encoding})"
    subprocess.run(["bash", "-c", str(problem["fix"])], cwd=tmp_path, check=True)
    assert [row.values["id"] for row in read(tmp_path / "rows.csv")] == ["a", "b"]


@pytest.mark.parametrize("above", ["sep=,", "# exported on Monday", "Tickets,,\nof October,,\n"])
def test_a_line_above_the_header_is_named_and_its_command_takes_it_out(tmp_path, above):
    (tmp_path / "rows.csv").write_text(f"{above}\nid,text,label\na,x,l\n")
    (problem,) = problems(tmp_path / "rows.csv")
    assert str(problem["message"]).endswith(f"and the header comes after it, in line {above.count(chr(10)) + 2}")
    subprocess.run(["bash", "-c", str(problem["fix"])], cwd=tmp_path, check=True)
    assert [row.values["id"] for row in read(tmp_path / "rows.csv")] == ["a"]


@pytest.mark.parametrize(("header", "says"), [
    ("a,the quay,harbour", "is the first line a row, and the header missing?"),
    ("17,quay,harbour", "is the first line a row, and the header missing?"),
    ("a,quay,m", "is the first line a row, and the header missing?"),
    ("number,message,queue", "is in the header, which is 'number', 'message', 'queue'"),
    ("ID,Text,Label", "the header spells its columns 'ID', 'Text', 'Label', and the pipeline file 'id', 'text', 'label'"),
    (" id,text ,label ", "the header spells its columns ' id', 'text ', 'label ', and the pipeline file 'id', 'text', 'label'"),
])  # fmt: skip
def test_a_header_without_any_of_the_columns_is_one_fault(tmp_path, header, says):
    (tmp_path / "rows.csv").write_text(f"{header}\nb,y,m\n")
    (problem,) = problems(tmp_path / "rows.csv")
    assert says in str(problem["message"])
    assert ("first line a row" in str(problem["message"])) == ("first line a row" in says)


def test_labels_in_a_column_each_are_named_and_the_command_makes_one_column_of_them(tmp_path):
    columns = "id,text,garden,the harbour"
    (tmp_path / "rows.csv").write_text(f"{columns}\na,x,1,0\nb,y,0,1\nc,z,1,0\n")
    (problem,) = problems(tmp_path / "rows.csv")
    assert problem["message"] == "no column 'label'; instead 'garden', 'the harbour' are columns of 0 and 1, of which one is 1 in each row"
    subprocess.run(["bash", "-c", str(problem["fix"]).partition(": ")[2]], cwd=tmp_path, check=True)
    assert [row.values["label"] for row in read(tmp_path / "rows.csv")] == ["garden", "the harbour", "garden"]
    (tmp_path / "rows.csv").write_text(f"{columns}\na,x,1,0\nb,y,0,1\nc,z,1,0\nd,z,1,0\ne,z,1,0\nf,z,1,1\n")
    (problem,) = problems(tmp_path / "rows.csv")
    subprocess.run(["bash", "-c", str(problem["fix"]).partition(": ")[2]], cwd=tmp_path, check=True)
    assert [fault.reason[:8] for row in read(tmp_path / "rows.csv") for fault in row.faults] == ["4 fields"], "several labels are no label"


@pytest.mark.parametrize("rows", ["a,x,1,1\nb,y,0,1\n", "a,x,0,0\nb,y,0,1\n", "a,x,2,0\nb,y,0,1\n", "a,x,1,0\n"])
def test_columns_of_which_not_one_is_1_in_each_row_are_no_labels(tmp_path, rows):
    (tmp_path / "rows.csv").write_text(f"id,text,garden,harbour\n{rows}")
    (problem,) = problems(tmp_path / "rows.csv")
    assert str(problem["message"]).startswith("no column 'label'. Columns:")


def test_a_sheet_with_umlauts_of_windows_and_semicolons_is_mended_by_one_command(tmp_path):
    (tmp_path / "rows.csv").write_bytes("id;text;label\na;Müll, 3,5 kg;Küche\n".encode("cp1252"))
    (problem,) = problems(tmp_path / "rows.csv")
    subprocess.run(["bash", "-c", str(problem["fix"])], cwd=tmp_path, check=True)
    assert [row.values for row in read(tmp_path / "rows.csv")] == [{"id": "a", "text": "Müll, 3,5 kg", "label": "Küche"}]


def test_a_file_of_fasttext_is_named_and_the_command_makes_a_table_of_it(tmp_path):
    (tmp_path / "ft.txt").write_text('__label__garden the "red" rose\n__label__harbour at the quay, in fog\n')
    with pytest.raises(DataRejected) as refused:
        list(read_rows(Source("data.labelled", tmp_path / "ft.txt", "ft.txt"), (), ()))
    assert "as fastText has them" in str(refused.value.fix)
    subprocess.run(["bash", "-c", str(refused.value.fix).partition("of it: ")[2]], cwd=tmp_path, check=True)
    rows = [row.values for row in read_rows(Source("data.labelled", tmp_path / "ft.csv", "ft.csv"), ("label", "text"), ())]
    assert rows == [{"label": "garden", "text": 'the "red" rose'}, {"label": "harbour", "text": "at the quay, in fog"}]


def test_one_object_over_several_lines_is_the_file_s_fault(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a", "text": "x", "label": "l"}, indent=2))
    (problem,) = problems(tmp_path / "rows.jsonl")
    assert (problem["message"], problem["fix"]) == (
        "JSON over several lines; one object a line is needed", "jq -c . rows.jsonl > lines.jsonl && mv lines.jsonl rows.jsonl",
    )  # fmt: skip


@pytest.mark.parametrize(("content", "suffix"), [(b'{"id": "a"}\n', ".jsonl"), (b"id,text\n", ".csv"), (b"id\ttext\n", ".tsv")])
def test_a_part_without_a_suffix_is_to_be_called_what_it_is(tmp_path, content, suffix):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "part-00000").write_bytes(content)
    with pytest.raises(DataRejected) as refused:
        read(tmp_path / "rows")
    assert refused.value.problems[0]["fix"] == f"call it {suffix}: mv rows/part-00000 rows/part-00000{suffix}"


@pytest.mark.parametrize("name", ["part 0000{}.json", "part-0000{}", "rows {}.ndjson"])
def test_files_of_a_folder_that_are_named_alike_are_renamed_by_one_command(tmp_path, name):
    (tmp_path / "my rows").mkdir()
    for number in range(3):
        (tmp_path / "my rows" / name.format(number)).write_text(f'{{"id": "{number}", "text": "x", "label": "a"}}\n')
    with pytest.raises(DataRejected) as refused:
        read(tmp_path / "my rows")
    command = str(refused.value.problems[0]["fix"]).partition(": ")[2]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert sorted(str(row.values["id"]) for row in read(tmp_path / "my rows")) == ["0", "1", "2"]


def test_what_nobody_sees_tells_no_labels_apart_and_is_no_text():
    assert canonical("garden\u200b") == canonical("\ufeffGarden ") == "garden"
    assert present("\x01\x02\x7f") is None
    assert present("\x01a") == "\x01a"


def test_a_corpus_of_nothing_that_can_be_seen_is_refused(tmp_path):
    (tmp_path / "corpus.txt").write_text("\u200b\n\n\ufeff\u200d\n")
    with pytest.raises(DataRejected, match="holds no document"):
        list(read_corpus(Source("data.corpus", tmp_path / "corpus.txt", "corpus.txt"), "text").documents)


@pytest.mark.parametrize(("label", "fix"), [
    (["garden"], "write the one value of 'label' in its place (in pandas: frame['label'].str[0]); with several decide on one"),
    ({"name": "garden"}, "write one field of 'label' in its place"),
    (1.5, "cast 'label' to string before it is written"),
])  # fmt: skip
def test_a_parquet_column_of_another_type_says_what_to_write_instead(tmp_path, label, fix):
    pq.write_table(pa.table({"id": ["a"], "text": ["x"], "label": [label]}), tmp_path / "rows.parquet")
    (problem,) = problems(tmp_path / "rows.parquet")
    assert problem["fix"] == fix


def test_every_encoding_that_is_advised_is_one_that_iconv_knows():
    listed = subprocess.run(["iconv", "-l"], capture_output=True, text=True, check=True).stdout.lower().replace("/", " ").split()
    assert set(SPELLING.values()) - set(listed) == set()
