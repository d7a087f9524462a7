"""``regraft new``: what is guessed of a table, what is written, and what is refused with nothing written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from regraft.config.pipeline_file import load_pipeline
from regraft.core.errors import ConfigError, DataRejected
from regraft.core.workspace import Workspace
from regraft.data.contract import Contract
from regraft.data.contract_file import load_contract
from regraft.data.guesses import Table, guess
from regraft.data.rows import Row
from regraft.upkeep import new_pipeline

TEAMS = ("billing", "shipping", "account")
ROWS = [{"body": f"Hello, my parcel {n} has not come yet", "team": TEAMS[n % 3], "opened": f"2026-03-{n % 28 + 1:02d}"} for n in range(120)]


def sheet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def table(rows: Sequence[Mapping[str, str]]) -> Table:
    return Table.of(Row("rows.csv", n, dict(row), (), None) for n, row in enumerate(rows, start=2))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    root = tmp_path / "w"
    (root / "pipelines").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(root)
    return Workspace(root)


def written(workspace: Workspace) -> list[str]:
    return sorted(path.relative_to(workspace.root).as_posix() for path in workspace.root.rglob("*") if path.is_file())


def test_a_sheet_without_ids_and_with_its_own_names_becomes_a_pipeline_that_loads(workspace, tmp_path):
    made = new_pipeline.new(workspace, "tickets", str(sheet(tmp_path / "rows.csv", ROWS)))
    assert (made.guess.text, made.guess.label, made.guess.id, made.guess.split) == ("body", "team", None, None)
    options = load_pipeline(Workspace(workspace.root), "tickets")
    assert (options.task.text, options.task.label, options.task.id) == ("body", "team", None)
    assert (options.data.labelled, options.data.corpus, options.adapt) == ("data/tickets/rows.csv", None, "never")
    assert [gate.model_dump(exclude_none=True)["beats"] for gate in options.gates] == ["tfidf", "champion"]
    assert (workspace.root / "data/tickets/rows.csv").read_bytes() == (tmp_path / "rows.csv").read_bytes()
    contract = Contract.model_validate(load_contract(workspace.root / "pipelines/tickets.contract.yaml")).for_task(options.task)
    assert contract.column("team").valid_values == tuple(sorted(TEAMS))


def test_what_lies_in_the_workspace_is_not_copied(workspace):
    sheet(workspace.root / "data/mine/rows.csv", ROWS)
    made = new_pipeline.new(workspace, "mine", "data/mine/rows.csv")
    assert written(workspace) == ["data/mine/rows.csv", "dvc.yaml", "pipelines/mine.contract.yaml", "pipelines/mine.yaml"]
    assert (made.labelled.shown, made.labelled.copied) == ("data/mine/rows.csv", False)


def test_labels_and_columns_that_yaml_would_read_as_something_else_stay_what_they_are(workspace):
    labels = ("yes", "1", "a: b #c", "it's", "null", "2026-01-01")
    sheet(workspace.root / "rows.csv", [{"the: text": f"some sentence, number {n}", "on": labels[n % 6]} for n in range(120)])
    new_pipeline.new(workspace, "odd", "rows.csv")
    options = load_pipeline(Workspace(workspace.root), "odd")
    assert (options.task.text, options.task.label) == ("the: text", "on")
    contract = Contract.model_validate(load_contract(workspace.root / "pipelines/odd.contract.yaml"))
    assert contract.column("on").valid_values == tuple(sorted(labels))


def test_a_corpus_is_named_and_then_the_model_is_adapted(workspace):
    sheet(workspace.root / "rows.csv", ROWS)
    sheet(workspace.root / "corpus.csv", [{"n": str(n), "article": f"A longer article about parcels, number {n}"} for n in range(20)])
    new_pipeline.new(workspace, "mine", "rows.csv", corpus="corpus.csv")
    options = load_pipeline(Workspace(workspace.root), "mine")
    assert (options.data.corpus, options.data.corpus_text, options.adapts) == ("corpus.csv", "article", True)


def test_a_column_of_splits_and_one_of_ids_are_found():
    rows = [{"ticket_id": f"T{n}", **row, "split": ("train", "train", "validation", "test")[n % 4]} for n, row in enumerate(ROWS)]
    found = guess(table(rows))
    assert (found.id, found.split) == ("ticket_id", "split")


def test_an_id_that_repeats_is_none():
    found = guess(table([{"id": str(n // 2), **row} for n, row in enumerate(ROWS)]))
    assert found.id is None
    assert found.id_why == "the column 'id' has no value of its own in every row; ids are made of the texts"


@pytest.mark.parametrize(
    ("rows", "given", "text", "fix"),
    [
        ([{**row, "channel": "mail" if n % 2 else "web", "team": row["team"]} for n, row in enumerate(ROWS)], {}, None, None),
        ([{"body": r["body"], "who": r["team"], "how": r["team"][:1]} for r in ROWS], {}, "which column is the label?", "--label who"),
        ([{"a": r["body"], "b": r["body"][::-1], "team": r["team"]} for r in ROWS], {}, "which column is the text?", "--text a"),
        (ROWS, {"label": "taem"}, "there is no column 'taem'; did you mean 'team'?", "--label"),
        (ROWS, {"text": "team", "label": "team"}, "text and label are both the column 'team'", "--text"),
        (ROWS, {"row_id": "team"}, "the column 'team' has no value of its own in every row", "leave --id out"),
    ],
)
def test_what_cannot_be_told_is_asked_with_the_option_that_answers(rows, given, text, fix):
    if text is None:
        assert guess(table(rows), **given).label == "team"  # among several that could be: what it is called decides
        return
    with pytest.raises(ConfigError) as caught:
        guess(table(rows), **given)
    assert text in str(caught.value)
    assert fix in (caught.value.fix or "")


def spreadsheet(folder: Path) -> str:
    (folder / "rows.xlsx").write_bytes(b"PK\x03\x04")
    return str(folder / "rows.xlsx")


def of_semicolons(folder: Path) -> str:
    (folder / "rows.csv").write_text("body;team\nhello;billing\n")
    return str(folder / "rows.csv")


def lines(rows: Sequence[Mapping[str, Any]]) -> Callable[[Path], str]:
    """Writes ``rows`` as JSON, one a line."""

    def write(folder: Path) -> str:
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(folder / "rows.jsonl")

    return write


def of_four_fields(folder: Path) -> str:
    (folder / "rows.csv").write_text("id,body,team\n" + "1,hello,you,billing\n" * 3)
    return str(folder / "rows.csv")


def one_team(folder: Path) -> str:
    return str(sheet(folder / "rows.csv", [{"id": n, "text": row["body"], "label": "billing"} for n, row in enumerate(ROWS)]))


BODIES = [{"id": str(n), "text": row["body"], "label": row["team"]} for n, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("name", "data", "error", "text"),
    [
        (
            "tickets",
            lines([{**row, "label": n % 2 == 0} for n, row in enumerate(BODIES)]),
            DataRejected,
            "label is a boolean in 120 of 120",
        ),
        ("tickets", lines([{**row, "text": {"body": row["text"]}} for row in BODIES]), DataRejected, "text is an object in 120 of 120"),
        ("tickets", lines([{**row, "text": "\ud800"} for row in BODIES]), DataRejected, "rows.jsonl:1: text"),
        ("tickets", of_four_fields, DataRejected, "rows.csv:2: 4 fields, but the header has 3"),
        ("tickets", spreadsheet, DataRejected, "rows.xlsx: not a spreadsheet that Excel could open"),
        ("tickets", of_semicolons, DataRejected, "the header is one field with semicolons in it"),
        ("tickets", lambda folder: str(folder / "no.csv"), ConfigError, "no such file or folder"),
        ("Tickets!", lambda folder: str(folder), ConfigError, "a pipeline cannot be called 'Tickets!'"),
        ("tickets", lambda folder: str(folder), ConfigError, "is a folder with the workspace in it"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(workspace, tmp_path, name: str, data: Callable[[Path], str], error: Any, text: str):
    with pytest.raises(error) as caught:
        new_pipeline.new(workspace, name, data(tmp_path))
    assert text in str(caught.value)
    assert written(workspace) == ["dvc.yaml"]


def test_a_first_line_that_is_a_row_is_refused_and_columns_that_are_named_are_taken_as_they_are(workspace, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{TEAMS[n % 3]},Where is parcel {n} of mine?\n" for n in range(60)))
    with pytest.raises(
        ConfigError, match=r"the first line is no header but a row: 'billing' is also the value of 19 other rows"
    ) as refused:
        new_pipeline.new(workspace, "tickets", str(path))
    assert str(path) in str(refused.value.fix)
    assert written(workspace) == ["dvc.yaml"]
    new_pipeline.new(workspace, "tickets", str(path), text="Where is parcel 0 of mine?", label="billing")
    spam = [{"text": f"win {n} prizes today", "spam": ("spam", "ham")[n % 2]} for n in range(20)]
    assert guess(table(spam)).label == "spam", "a column may be called as one of its values"


@pytest.mark.parametrize(("several", "text", "fix"), [
    (False, "are columns of 0 and 1, and one of them is 1 in each row", "write one column with the name of the class"),
    (True, "are columns of 0 and 1, and rows have several", "--label billing"),
])  # fmt: skip
def test_labels_in_a_column_each_are_refused_with_a_way_on(workspace, tmp_path, several, text, fix):
    rows = [{"body": row["body"]} | {team: str(int(row["team"] == team or several)) for team in TEAMS} for row in ROWS]
    with pytest.raises(ConfigError, match=text) as refused:
        new_pipeline.new(workspace, "tickets", str(sheet(tmp_path / "rows.csv", rows)))
    assert fix in str(refused.value.fix)
    assert guess(table([{**row, "team": "a" if n % 2 else "b"} for n, row in enumerate(rows)])).label == "team"


def test_texts_that_were_decoded_twice_are_said_before_the_first_run(workspace, tmp_path):
    rows = [{**row, "body": f"{row['body']} fÃ¼r mich" if n < 3 else row["body"]} for n, row in enumerate(ROWS)]
    made = new_pipeline.new(workspace, "tickets", str(sheet(tmp_path / "rows.csv", rows)))
    assert [told for told in new_pipeline.warnings(made) if told.startswith("3 rows look as if read in a wrong encoding")]


def test_one_class_alone_and_a_base_model_that_is_not_there_are_refused(workspace, tmp_path):
    with pytest.raises(ConfigError, match="the column 'label' has one class alone, 'billing'"):
        new_pipeline.new(workspace, "tickets", one_team(tmp_path), label="label")
    with pytest.raises(ConfigError, match="no such folder"):
        new_pipeline.new(workspace, "tickets", str(sheet(tmp_path / "rows.csv", ROWS)), base_model="models/none")
    assert written(workspace) == ["dvc.yaml"]


def test_a_pipeline_that_is_there_stays_as_it_is(workspace, tmp_path):
    (workspace.root / "pipelines/tickets.yaml").write_text("version: 1\n")
    with pytest.raises(ConfigError, match="already there"):
        new_pipeline.new(workspace, "tickets", str(sheet(tmp_path / "rows.csv", ROWS)))
    assert (workspace.root / "pipelines/tickets.yaml").read_text() == "version: 1\n"
    assert not (workspace.root / "data").exists()


def test_small_classes_and_rows_without_a_label_are_said_before_the_first_run(workspace):
    rows = [
        *ROWS,
        {"body": "the only one of its kind", "team": "legal", "opened": "2026-01-01"},
        {"body": "no team", "team": "", "opened": ""},
    ]
    sheet(workspace.root / "rows.csv", rows)
    thin, unlabelled = new_pipeline.warnings(new_pipeline.new(workspace, "tickets", "rows.csv"))
    assert "'legal' (1)" in thin
    assert unlabelled == "1 row without a label will be set aside; above 10 % the run stops"


def test_what_the_first_run_would_say_of_labels_splits_and_torn_rows_is_said_now(workspace, tmp_path):
    rows = [
        {"id": str(n), "body": row["body"], "team": row["team"], "split": ("train", "test", "extra")[n % 3]} for n, row in enumerate(ROWS)
    ]
    first, second = sorted({row["team"] for row in rows})[:2]
    rows[0]["team"], rows[1]["team"] = first.upper(), f"{first}|{second}"
    path = sheet(tmp_path / "rows.csv", rows)
    path.write_text(path.read_text() + "torn,row\n")
    made = new_pipeline.new(workspace, "tickets", str(path))
    told = " ".join(new_pipeline.warnings(made))
    assert made.guess.id == "id"
    for says in (
        "differ only by case",
        f"such as '{first}|{second}'",
        "'split' says 'extra', which is no split",
        "1 row cannot be read",
        "2 fields",
    ):
        assert says in told, says


def test_a_fault_of_a_file_elsewhere_is_mended_where_it_lies(workspace, tmp_path):
    (tmp_path / "out").mkdir()
    path = lines([{**row, "label": [row["label"]]} for row in BODIES])(tmp_path / "out")
    with pytest.raises(DataRejected) as caught:
        new_pipeline.new(workspace, "tickets", path)
    assert f" {path} > " in str(caught.value.problems[0]["fix"])


def test_the_verb_says_what_it_guessed_and_what_comes_next(workspace, tmp_path, cli):
    said = cli("new", "tickets", "--data", str(sheet(tmp_path / "rows.csv", ROWS)))
    assert said.code == 0
    assert "3 classes: billing 40, shipping 40, account 40" in said.out
    assert "next: regraft plan tickets" in said.out
    again = json.loads(cli("new", "more", "--data", "data/tickets/rows.csv", "--json").out)
    assert again["task"] == {"text": "body", "label": "team", "id": None, "split": None}
    assert yaml.safe_load((workspace.root / again["written"][0]).read_text())["task"]["id"] is None


def spreadsheet(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_becomes_the_csv_file_that_a_run_reads(workspace: Workspace, tmp_path: Path):
    rows = [[row["body"], row["team"], number] for number, row in enumerate(ROWS)]
    made = new_pipeline.new(workspace, "parcels", str(spreadsheet(tmp_path / "parcels.xlsx", [["body", "team", "nr"], *rows])))
    assert (made.labelled.shown, made.guess.text, made.guess.label) == ("data/parcels/parcels.csv", "body", "team")
    with (workspace.root / "data/parcels/parcels.csv").open(newline="", encoding="utf8") as handle:
        assert list(csv.reader(handle)) == [["body", "team", "nr"], *([body, team, str(number)] for body, team, number in rows)]


def test_a_row_of_a_spreadsheet_that_cannot_be_told_is_named_and_nothing_is_written(workspace: Workspace, tmp_path: Path):
    rows = [[row["body"], row["team"]] for row in ROWS]
    path = spreadsheet(tmp_path / "parcels.xlsx", [["body", "team"], *rows, ["Hello", "billing", "what is this"]])
    with pytest.raises(ConfigError, match="row 122: a value right of the last column"):
        new_pipeline.new(workspace, "parcels", str(path))
    assert not (workspace.root / "data" / "parcels").exists() or not list((workspace.root / "data" / "parcels").iterdir())
    assert not workspace.pipeline_file("parcels").exists()


def test_another_base_model_stands_in_the_pipeline_file(workspace: Workspace, tmp_path: Path):
    spec = f"hub:somebody/an-encoder@{'7' * 40}"
    new_pipeline.new(workspace, "parcels", str(sheet(tmp_path / "parcels.csv", ROWS)), base_model=spec)
    assert load_pipeline(workspace, "parcels").base_model == spec
