"""What a data team hands in is read as it stands, or refused with the place and the next step."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.core.errors import ConfigError, Conflict, DataRejected
from regraft.data.handoff import archives
from regraft.data.handoff.drop import open_drop
from regraft.data.handoff.edition import Place, Revision, make, put
from regraft.data.handoff.renames import Renames
from regraft.data.options import TaskOptions
from regraft.data.rows import Row, present

COLUMNS = ("id", "text", "label")
TASK = TaskOptions()


def read(path: Path, task: TaskOptions = TASK, *rename: str) -> list[Row]:
    scratch = path.parent.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return list(open_drop(path, path.name, scratch, renames=Renames.of(rename)).rows(task, COLUMNS, COLUMNS))


def refused(path: Path) -> dict[str, Any]:
    with pytest.raises(DataRejected) as caught:
        read(path)
    return dict(caught.value.problems[0])


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def zipped(path: Path, members: dict[str, bytes], **kwargs: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = kwargs.get("attributes", 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


ROWS = b"id,text,label\n1,one,a\n2,two,b\n"


def test_files_of_an_archive_are_read_and_named_by_their_place_in_it(inbox):
    rows = read(zipped(inbox / "d.zip", {"x/rows.csv": ROWS, "__MACOSX/._rows.csv": b"\0", ".DS_Store": b"\0"}))
    assert [(row.file, row.number, row.values["id"]) for row in rows] == [("d.zip/x/rows.csv", 2, "1"), ("d.zip/x/rows.csv", 3, "2")]
    assert [path.name for path in inbox.iterdir()] == ["d.zip"], "nothing is written beside what was handed in"


@pytest.mark.parametrize(("name", "rule"), [
    ("../rows.csv", "zip.path"), ("/etc/rows.csv", "zip.path"), ("a\\..\\rows.csv", "zip.path"), ("C:/rows.csv", "zip.path"),
    ("inner.zip", "zip.nested"),
])  # fmt: skip
def test_an_archive_writes_nothing_outside_and_holds_no_archive(inbox, name, rule):
    path = zipped(inbox / "d.zip", {name: ROWS})
    assert refused(path)["rule"] == rule
    assert not (inbox.parent / "rows.csv").exists()


def test_a_link_in_an_archive_is_refused(inbox):
    assert refused(zipped(inbox / "d.zip", {"rows.csv": b"/etc/passwd"}, attributes=0o120777))["rule"] == "zip.link"


def test_bombs_are_refused_before_they_fill_the_disk(inbox, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 2**16)
    bomb = b"id,text,label\n" + b"0" * 2**22
    assert refused(zipped(inbox / "d.zip", {"rows.csv": bomb}))["rule"] == "file.bomb"
    packed = inbox / "rows.csv.gz"
    packed.write_bytes(gzip.compress(bomb))
    assert refused(packed)["rule"] == "file.bomb"


def test_a_directory_that_lies_about_sizes_is_found_out_while_it_is_unpacked(inbox, monkeypatch):
    path = zipped(inbox / "d.zip", {"rows.csv": b"id,text,label\n" + b"1,one,a\n" * 100_000})
    content = bytearray(path.read_bytes())
    real = (14 + 800_000).to_bytes(4, "little")
    at = content.rfind(real)  # of the directory; the header before the member says it too
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    assert refused(path)["rule"] in ("file.bomb", "zip.whole")


@pytest.mark.parametrize("names", [["."], ["a/" + "x" * 300 + ".csv"], ["a.csv", "a.csv/b.csv"]])
def test_a_member_that_has_no_place_on_a_disk_is_refused(inbox, names):
    assert refused(zipped(inbox / "d.zip", dict.fromkeys(names, ROWS)))["rule"] == "zip.path"


def test_a_damaged_archive_is_refused(inbox):
    path = zipped(inbox / "d.zip", {"rows.csv": ROWS * 50})
    path.write_bytes(path.read_bytes()[:60])
    assert refused(path)["rule"] == "zip.whole"


def sheet(path: Path, *rows: list[Any], others: dict[str, list[list[Any]]] | None = None) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    for title, cells in (others or {}).items():
        page = book.create_sheet(title)
        for row in cells:
            page.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_is_read_cell_by_cell(inbox):
    import datetime

    day = datetime.datetime(2026, 3, 31)
    rows = read(
        sheet(inbox / "d.xlsx", ["id", "text", "label", "made", "score"], ["007", "NA", "a", day, 0.5], [8, "=not computed"[1:], "b"])
    )
    assert [row.values for row in rows] == [
        {"id": "007", "text": "NA", "label": "a", "made": "2026-03-31", "score": "0.5"},
        {"id": "8", "text": "not computed", "label": "b", "made": None, "score": None},
    ]
    assert [row.number for row in rows] == [2, 3]


def test_a_number_or_a_truth_value_is_no_text_of_a_spreadsheet(inbox):
    [row] = read(sheet(inbox / "d.xlsx", list(COLUMNS), ["1", True, 1.5]))
    assert {fault.rule for fault in row.faults} == {"text.type", "label.type"}


def test_of_two_sheets_none_is_guessed(inbox):
    problem = refused(sheet(inbox / "d.xlsx", list(COLUMNS), ["1", "x", "a"], others={"old": [["1"]]}))
    assert (problem["rule"], "'Sheet', 'old'" in problem["message"]) == ("xlsx.sheets", True)
    assert len(read(sheet(inbox / "e.xlsx", list(COLUMNS), ["1", "x", "a"], others={"empty": []}))) == 1


@pytest.mark.parametrize("member", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"])
@pytest.mark.parametrize("content", [b"", b"<a", b"<a/>", b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&b;</a>'])
def test_a_spreadsheet_whose_inside_is_no_spreadsheet_is_refused(inbox, member, content):
    whole = sheet(inbox / "whole.xlsx", list(COLUMNS), ["1", "x", "a"])
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert refused(zipped(inbox / "d.xlsx", members | {member: content}))["rule"] in ("xlsx.whole", "xlsx.sheets")


def test_a_spreadsheet_named_csv_is_told_to_be_one(inbox):
    sheet(inbox / "d.xlsx", list(COLUMNS), ["1", "x", "a"]).rename(inbox / "d.csv")
    assert "a zip archive or a spreadsheet" in refused(inbox / "d.csv")["message"]


def test_decimal_commas_between_semicolons_are_not_taken_for_columns(inbox):
    (inbox / "d.csv").write_text("id;text;label\n1;costs 1,50;a\n")
    problem = refused(inbox / "d.csv")
    assert problem["rule"] == "csv.delimiter"
    assert "semicolons" in problem["message"]


def studio(number: int, *choices: str, cancelled: bool = False) -> dict[str, Any]:
    said = [{"type": "choices", "from_name": "label", "to_name": "text", "value": {"choices": [choice]}} for choice in choices]
    people = [
        {"completed_by": {"id": n, "email": f"p{n}@x.org"}, "was_cancelled": cancelled, "result": [one]} for n, one in enumerate(said)
    ]
    return {"id": number, "data": {"text": f"text {number}"}, "annotations": people, "predictions": [{"result": said}]}


def exported(inbox: Path, items: Any) -> Path:
    (inbox / "export.json").write_text(json.dumps(items))
    return inbox / "export.json"


def test_a_label_studio_export_gives_what_people_said(inbox):
    rows = read(exported(inbox, [studio(1, "a"), studio(2, "a", "a"), studio(3, "a", "b"), studio(4), studio(5, "b", cancelled=True)]))
    assert [row.values.get("label") for row in rows] == ["a", "a", None, None, None]
    assert [[fault.rule for fault in row.faults] for row in rows] == [[], [], ["label.agreement"], [], []]
    assert rows[0].values == {"id": "1", "text": "text 1", "label": "a", "annotator": "p0@x.org"}


def test_the_short_form_of_label_studio_is_read_too(inbox):
    item = {"id": 7, "text": "x", "label": "a", "annotator": 1, "annotation_id": 3, "created_at": "2026", "lead_time": 1.5}
    [row] = read(exported(inbox, [item]))
    assert row.values == {"id": "7", "text": "x", "label": "a", "annotator": "1"}


def test_an_argilla_export_gives_submitted_answers_and_no_suggestion(inbox):
    def record(key: str, *answers: tuple[str, str]) -> dict[str, Any]:
        responses = {"label": [{"value": value, "status": status, "user_id": "u"} for value, status in answers]}
        return {
            "id": key,
            "fields": {"text": f"text {key}"},
            "metadata": {"source": "mail"},
            "responses": responses,
            "suggestions": {"label": {"value": "z"}},
        }

    rows = read(exported(inbox, [record("k1", ("a", "submitted")), record("k2", ("b", "draft")), record("k3")]))
    assert [row.values["label"] for row in rows] == ["a", None, None]
    assert rows[0].values == {"id": "k1", "text": "text k1", "label": "a", "source": "mail", "annotator": "u"}


STUDIO = {"id": 1, "data": {"text": "x"}, "annotations": [{"result": []}]}
ARGILLA = {"id": "1", "fields": {"text": "x"}, "responses": {"label": [{"value": "a"}]}}


@pytest.mark.parametrize("item", [
    STUDIO | {"annotations": [5]}, STUDIO | {"annotations": {"a": 1}}, STUDIO | {"annotations": [{"result": None}]},
    STUDIO | {"annotations": [{"result": [{"type": "choices", "value": ["a"]}]}]}, STUDIO | {"data": ["x"]},
    ARGILLA | {"fields": ["x"]}, ARGILLA | {"metadata": ["x"]}, ARGILLA | {"responses": {"label": 5}},
])  # fmt: skip
def test_an_item_of_another_shape_than_its_export_has_is_a_fault_of_its_row(inbox, item):
    whole = STUDIO if "data" in item else ARGILLA
    rows = read(exported(inbox, [whole, item]))
    assert [row.whole for row in rows] == [True, False]
    assert [fault.rule for fault in rows[1].faults] in (["json.shape"], ["json.object"])


def test_labels_of_half_a_character_that_annotators_differ_on_are_told(inbox):
    (row,) = read(exported(inbox, [studio(1, "\ud800", "b")]))
    (fault,) = [fault for fault in row.faults if fault.rule == "label.agreement"]
    assert "\\ud800" in fault.reason
    fault.reason.encode()


@pytest.mark.parametrize(("content", "words"), [
    ('[{"id": 1, "id": 2}]', "the key 'id' stands twice"), ('[{"id": NaN}]', "NaN is no number"), ('{"a": 1}', "not a list of objects"),
    ("[", "not JSON"), ("[" * 100_000, "not JSON"),
])  # fmt: skip
def test_json_that_is_no_export_is_refused(inbox, content, words):
    (inbox / "export.json").write_text(content)
    assert words in refused(inbox / "export.json")["message"]


def test_a_title_above_the_header_of_a_sheet_is_named_with_the_row_that_is_the_header(inbox):
    problem = refused(sheet(inbox / "d.xlsx", ["Tickets of May"], [], list(COLUMNS), ["1", "x", "a"]))
    assert problem["message"] == "row 1 is 'Tickets of May', and the header comes after it, in row 3"
    assert problem["fix"] == "delete the rows above row 3, so that the header comes first"


def test_columns_that_a_drop_calls_otherwise_are_read_by_the_names_that_are_said(inbox):
    (inbox / "d.csv").write_text("key,message,queue\n1,one,a\n2,,b\n")
    said = ("key=id", "message=text", "queue=label")
    rows = read(inbox / "d.csv", TASK, *said)
    assert [row.values for row in rows] == [{"id": "1", "text": "one", "label": "a"}, {"id": "2", "text": None, "label": "b"}]
    assert "--rename YOURS=id --rename YOURS=text --rename YOURS=label" in refused(inbox / "d.csv")["fix"]
    with pytest.raises(DataRejected, match="no column 'message_text'"):
        read(inbox / "d.csv", TASK, "key=id", "message_text=text", "queue=label")
    (inbox / "d.csv").write_text("key,message,queue,text\n1,one,a,two\n")
    assert [fault.rule for fault in read(inbox / "d.csv", TASK, *said)[0].faults] == ["row.renamed"]


def test_an_export_whose_text_and_control_are_called_otherwise_is_read_by_the_names_that_are_said(inbox):
    answer = {"from_name": "queue", "type": "choices", "value": {"choices": ["a"]}}
    (inbox / "d.json").write_text(json.dumps([{"id": 7, "data": {"message": "one"}, "annotations": [{"result": [answer]}]}]))
    (row,) = read(inbox / "d.json", TASK, "message=text", "queue=label")
    assert row.values == {"id": "7", "text": "one", "label": "a"}
    (inbox / "d.jsonl").write_text(json.dumps({"id": "1", "message": 1.5, "label": "a"}))
    (row,) = read(inbox / "d.jsonl", TASK, "message=text")
    assert [(fault.rule, fault.column) for fault in row.faults] == [("text.type", "text")]


@pytest.mark.parametrize(("said", "text"), [
    (["text"], "--rename text: it takes the drop's name and the pipeline's"),
    (["a=text", "b=text"], "--rename names one column twice"),
])  # fmt: skip
def test_a_name_that_is_said_by_halves_or_twice_is_refused(said, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        Renames.of(said)


@pytest.mark.parametrize("name", ["rows.csv.part", "~$rows.xlsx", "rows.csv.crdownload"])
def test_a_file_that_is_still_uploaded_is_not_read(inbox, name):
    (inbox / "good.csv").write_bytes(ROWS)
    (inbox / name).write_bytes(ROWS)
    with pytest.raises(DataRejected, match="is not whole yet"):
        open_drop(inbox, "in", inbox.parent)


def test_a_drop_is_the_same_however_it_is_called(inbox):
    (inbox / "a.csv").write_bytes(ROWS)
    first = open_drop(inbox, "in", inbox.parent).digest
    (inbox / "a.csv").rename(inbox / "b.csv")
    drop = open_drop(inbox, "in", inbox.parent)
    assert drop.digest == first
    drop.require_unchanged()
    (inbox / "b.csv").write_bytes(ROWS + b"3,three,a\n")
    with pytest.raises(Conflict, match="changed while it was read"):
        drop.require_unchanged()


# --- properties ----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=20)
TABLE = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, TEXT)), min_size=1, max_size=8)


def read_or_refused(path: Path) -> tuple[list[Row], list[Any]]:
    """Rows, or what makes them unreadable."""
    try:
        return read(path), []
    except DataRejected as error:
        return [], list(error.problems)


@settings(max_examples=60, deadline=None)
@given(TABLE, st.sampled_from([".csv", ".jsonl", ".parquet", ".csv.gz"]), st.data())
def test_what_an_edition_writes_is_what_is_read_again(tmp_path_factory, table, suffix, data):
    folder = tmp_path_factory.mktemp("edition")
    place = Place(folder / f"rows{suffix}", "rows")
    put(make(place, Revision({}, (), lambda: table, COLUMNS, COLUMNS), 1), place.path)
    first = [row.values for row in place.rows()]
    assert first == [{name: present(text) for name, text in values.items()} for values in table]
    removed = data.draw(st.sets(st.integers(0, len(first) - 1)))
    kept = [values for number, values in enumerate(first) if number not in removed]
    put(make(place, Revision({}, removed, lambda: (), COLUMNS, COLUMNS), 2), place.path)
    assert [row.values for row in place.rows()] == kept


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".zip", ".parquet", ".csv.gz"]))
def test_whatever_bytes_are_handed_in_they_are_read_or_refused_by_name(tmp_path_factory, content, suffix):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / f"d{suffix}").write_bytes(content)
    rows, problems = read_or_refused(folder / f"d{suffix}")
    assert all(row.values or row.faults for row in rows)
    assert all(problem["file"].startswith(f"d{suffix}") for problem in problems)
    assert rows or problems


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400))
def test_a_truncated_file_gives_whole_rows_or_the_place_of_the_fault(tmp_path_factory, cut):
    lines = [f'{n},"text ""{n}"" of\nrow {n}",label' for n in range(5)]
    whole = ("id,text,label\n" + "\n".join(lines)).encode()
    folder = tmp_path_factory.mktemp("cut")
    (folder / "d.csv").write_bytes(whole[:cut])
    rows, problems = read_or_refused(folder / "d.csv")
    good = [row for row in rows if row.whole]
    assert [row.values["id"] for row in good] == [str(n) for n in range(len(good))]
    assert {row.values["text"] for row in good} <= {f'text "{n}" of\nrow {n}' for n in range(5)}
    assert rows or problems[0]["rule"] in ("csv.quotes", "file.empty", "file.rows", "header.required")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.csv", b'[{"id": "1", "text": "x", "label": "a"}]', "the file is JSON"),
        ("d.tsv", b'{"id": "1"}', "the file is JSON"),
        ("d.jsonl", b"<!DOCTYPE html><html><body>who are you?</body></html>", "a web page or XML"),
        ("d.csv", b"id|text|label\n1|x|a\n", "the header is one field with vertical bars in it"),
    ],
)
def test_what_is_no_table_of_that_name_is_told_for_what_it_is(inbox, name, content, says):
    (inbox / name).write_bytes(content)
    assert says in refused(inbox / name)["message"]


def test_a_folder_names_no_file_outside_it(inbox, tmp_path):
    (tmp_path / "elsewhere.csv").write_bytes(ROWS)
    (inbox / "d").mkdir()
    (inbox / "d" / "rows.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert refused(inbox / "d")["rule"] == "file.link"


def test_an_id_behind_a_mark_of_a_joined_file_is_no_new_id(inbox):
    (inbox / "d.csv").write_bytes(b"id,text,label\n1,x,a\n\xef\xbb\xbf2,y,b\n")
    first, second = read(inbox / "d.csv")
    assert (first.faults, [fault.rule for fault in second.faults]) == ((), ["id.mark"])


def test_what_is_too_large_or_too_deep_is_told_in_words(inbox):
    (inbox / "d.csv").write_bytes(b"id,text,label\n1," + b"x" * 17_000_000 + b",a\n")
    (inbox / "e.jsonl").write_bytes(b'{"id": "1", "text": "x", "label": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    reasons = [row.faults[0].reason for name in ("d.csv", "e.jsonl") for row in read(inbox / name)]
    assert [reason.partition(";")[0] for reason in reasons] == [
        "a value of more than 16,777,216 characters", "not JSON that can be read: lists or objects lie too deep in one another",
    ]  # fmt: skip
