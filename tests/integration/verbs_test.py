"""``regraft predict`` and ``regraft diff`` against a real MLflow store and real, tiny models."""

from __future__ import annotations

import gzip
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.models import kinds
from regraft.registry import promotion, registration
from regraft.registry.journal import Journal
from regraft.registry.stores.folder import Folder
from regraft.registry.tracking import Tracker
from regraft.reports.run_diff import last_two

TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))
TEXTS = ["the array of the tensor", "frame", "of"]
RUNS = {seed: f"tiny-20260101T00000{seed}-abcdef" for seed in (1, 2, 3)}


def record(step: str, seed: int, **changes: Any) -> dict[str, Any]:
    """What a step leaves, as far as readers of past runs look at it."""
    base = {
        "schema": 1, "pipeline": "tiny", "step": step, "step_version": 1, "run": RUNS[seed],
        "inputs": {"labelled": {"path": "data/rows.jsonl", "hash": "a" * 64}, "text": {"path": "artifacts/x", "hash": str(seed) * 64}},
        "params": {"finetune": {"epochs": 2, "batch_size": 16}, "columns": [{"name": "id", "required": True}], "seed": 17},
        "metrics": {"macro_f1": 0.5, "rows": 100}, "device": "cpu", "threads": 2, "precision": "bf16", "exact": True,
        "versions": {"torch": "2.13.0"}, "git": {"sha": "0" * 40, "dirty": False},
    }  # fmt: skip
    return base | changes


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``state/`` with version 1, then champion 2, and the records of both runs; run 3 was killed after a step."""
    home = tmp_path_factory.mktemp("stocked")
    tracker = Tracker(Workspace(home))
    changed = {
        "params": {"finetune": {"epochs": 8, "batch_size": 16}, "columns": [{"name": "id", "required": False}], "seed": 17},
        "inputs": {"labelled": {"path": "data/rows.jsonl", "hash": "b" * 64}}, "metrics": {"macro_f1": 0.625, "rows": 120},
        "versions": {"torch": "2.13.1"}, "git": {"sha": "1" * 40, "dirty": True}, "threads": 1, "step_version": 2,
    }  # fmt: skip
    for seed in (1, 2, 3):
        run_id = tracker.start_run("tiny", RUNS[seed])
        for step in ("finetune-adapted", "finetune-base", "score-base")[: 1 if seed == 3 else 3]:
            tracker.log_record(run_id, record(step, seed, **(changed if seed == 2 and step != "score-base" else {})))
        if seed == 3:
            tracker.finish(run_id, "KILLED")
            continue
        evidence = home / f"evidence{seed}"
        gate = {"metric": "macro_f1", "at_least": 0.3 * seed}
        files.write_json(evidence / "decision.json", {"gates": [gate], "seed": 17})
        now = promotion.champion(tracker, "tiny")
        folder = TINY["make"](home / f"seed{seed}" / "model", seed)
        candidate = {"name": "base", "digest": files.digest(folder)}
        against = {"version": now["version"], "digest": now["digest"]} if now else None
        verdict = {"outcome": "pass", "candidate": candidate, "champion": against, "rows": {"digest": "r" * 64, "n": 30}}
        files.write_json(evidence / "verdict.json", verdict)
        tracker.log_evidence(run_id, evidence, "pass")
        version = registration.register(
            tracker, "tiny", run_id=run_id, run_name=RUNS[seed], model_dir=folder, digest=files.digest(folder), verdict=verdict,
            input_example=TEXTS, data_hashes={}, git_sha=None,
        )  # fmt: skip
        promotion.promote(tracker, "tiny", version, expected=now, reason="gates passed")
        tracker.finish(run_id)
    return home / "state"


@pytest.fixture
def told(tiny: Workspace, stocked: Path) -> Tracker:
    shutil.copytree(stocked, tiny.state)
    return Tracker(tiny)


# --- predict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "argv"), [("2", []), ("1", ["--version", "1"])])
def test_predict_answers_as_the_registered_model_does(told, cli, version, argv):
    said = cli("predict", "tiny", *argv, *TEXTS, "--json")
    measured = kinds.load(registration.model_folder(told, "tiny", version)).predict(TEXTS)
    document = said.json
    assert (said.code, set(document)) == (0, {"schema", "pipeline", "version", "digest", "answers"})
    assert document["version"] == version
    assert [a["label"] for a in document["answers"]] == [TINY["LABELS"][i] for i in measured.argmax(axis=1)]
    assert [a["p"] for a in document["answers"]] == pytest.approx(measured.max(axis=1).tolist(), abs=1e-6)
    assert [a["text"] for a in document["answers"]] == TEXTS
    assert list(document["answers"][0]["probabilities"]) == list(TINY["LABELS"])


def test_texts_files_and_standard_input_are_asked_about_in_their_order(told, cli, tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text('id,text\n1,"the array, quoted"\n2,frame\n')
    (tmp_path / "rows.jsonl").write_text('{"text": "of", "other": 3}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("tensor\n\n größer \n".encode())))
    argv = ["a text", str(tmp_path / "rows.csv"), "-", str(tmp_path / "rows.jsonl"), "--json", "--", "-dash"]
    answers = cli("predict", "tiny", *argv).json["answers"]
    assert [a["text"] for a in answers] == ["a text", "the array, quoted", "frame", "tensor", "größer", "of", "-dash"]
    assert [a["row"] for a in answers] == [None, 2, 3, 1, 3, 1, None]


@pytest.mark.parametrize("name", ["rows.tsv", "rows.csv.gz", "rows.tsv.gz", "rows.jsonl.gz", "rows.parquet", "ROWS.CSV"])
def test_every_format_that_rows_are_read_from_can_be_asked_about(told, cli, tmp_path, name):
    path, mark = tmp_path / name, "\t" if ".tsv" in name else ","
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"id": [1, 2], "text": ["the array", "frame"]}), path)
    else:
        rows = '{"text": "the array"}\n{"text": "frame"}\n' if ".jsonl" in name else f"id{mark}text\n1{mark}the array\n2{mark}frame\n"
        path.write_bytes(gzip.compress(rows.encode()) if name.endswith(".gz") else rows.encode())
    answers = cli("predict", "tiny", str(path), "--json").json["answers"]
    assert [(a["text"], a["file"]) for a in answers] == [("the array", str(path)), ("frame", str(path))]


def test_a_text_longer_than_any_file_name_is_a_text(told, cli):
    text = "the array of the tensor " * 300
    assert cli("predict", "tiny", text, "--json").json["answers"][0]["text"] == text


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl", "out.parquet"])
def test_answers_are_written_with_the_ids_of_the_rows(told, cli, tmp_path, name):
    (tmp_path / "rows.csv").write_text('id,text\n7,"the array, quoted"\n8,=frame\n')
    out = tmp_path / name
    said = cli("predict", "tiny", str(tmp_path / "rows.csv"), "--out", str(out))
    assert (said.code, "2 answers written to" in said.out) == (0, True)
    read = {
        "csv": pd.read_csv,
        "tsv": partial(pd.read_csv, sep="\t"),
        "jsonl": partial(pd.read_json, lines=True),
        "parquet": pd.read_parquet,
    }
    table = read[name.partition(".")[2]](out)
    assert list(table.columns) == ["id", "text", "label", "p"]
    formula = "'=frame" if name.endswith("sv") else "=frame"
    assert (table["id"].astype(str).tolist(), table["text"].tolist()) == (["7", "8"], ["the array, quoted", formula])


def test_answers_to_typed_texts_have_no_id_and_a_format_that_is_none_is_refused_before_anything_is_asked(told, cli, tmp_path):
    cli("predict", "tiny", "the array", "--out", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "text,label,p"
    for name, text in (("out.xlsx", "answers are written as .csv"), ("none/out.csv", "the folder is not there")):
        said = cli("predict", "tiny", "the array", "--out", str(tmp_path / name))
        assert (said.code, text in said.err) == (2, True)


def test_the_terminal_has_one_line_a_text(told, cli):
    lines = cli("predict", "tiny", "the array\nof the tensor").out.splitlines()
    assert lines[0].startswith("tiny version 2 (")
    assert lines[1].split() == ["label", "p", "text"]
    assert lines[2].split()[2:] == ["the", "array", "of", "the", "tensor"]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["nope", "x"], 2, "no pipeline 'nope'"),
        (["tiny"], 2, "Missing argument"),
        (["tiny", "x", "--version", "9"], 2, "no registered version 9; registered: 1, 2"),
        (["tiny", "x", "--version", "0"], 2, "Invalid value"),
        (["tiny", "  "], 2, "text 1 is empty"),
        (["tiny", "none.csv"], 2, "none.csv is not there; a text that ends with .csv"),
        (["tiny", "none.csv.gz"], 2, "none.csv.gz is not there; a text that ends with .gz"),
        (["tiny", "other.txt"], 2, "other.txt is a file, and rows are read from .csv, .tsv, .jsonl (each also as .gz) and .parquet files"),
        (["tiny", "other.txt"], 2, "next: regraft predict PIPELINE - < other.txt"),
        (["tiny", "other.txt.gz"], 2, "next: gunzip -c other.txt.gz | regraft predict PIPELINE -"),
        (["tiny", "other.xlsx"], 2, "next: save it as CSV UTF-8 in the spreadsheet"),
        (["tiny", "data"], 2, "data is a folder, and rows are read from"),
        (["tiny", "other.csv"], 3, "no column 'text'; did you mean 'texts'?"),
        (["tiny", "holes.jsonl"], 3, "holes.jsonl:2: no text [text.required]"),
        (["tiny", "holes.jsonl"], 3, "holes.jsonl:3: text is the number 5.5, not a string"),
        (["tiny", "latin.csv"], 3, "not UTF-8"),
        (["tiny", "empty.csv"], 3, "the file is empty"),
        (["tiny", "-"], 2, "standard input held no text"),
    ],
)
def test_predict_says_what_is_wrong_and_answers_nothing(told, cli, monkeypatch, argv, code, text):
    for name in ("other.csv", "other.txt", "other.txt.gz", "other.xlsx"):
        files.write_text(Path(name), "id,texts\n1,a\n")
    files.write_text(Path("holes.jsonl"), '{"text": "a"}\n{"text": null}\n{"text": 5.5}\n')
    files.write_bytes(Path("latin.csv"), "text\ngrößer\n".encode("cp1252"))
    files.write_text(Path("empty.csv"), "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    said = cli("predict", *argv)
    assert (said.code, said.out, text in said.err) == (code, "", True), said
    assert "Traceback" not in said.err


def test_a_model_whose_bytes_changed_answers_nothing_and_the_file_is_named(told, cli):
    weights = registration.model_folder(told, "tiny", "2") / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    said = cli("predict", "tiny", "x")
    assert (said.code, said.out, "model.safetensors: sha256 is" in said.err) == (8, "", True)


def test_without_a_champion_the_next_command_is_run(tiny, cli):
    said = cli("predict", "tiny", "x")
    assert (said.code, "next: regraft run tiny" in said.err) == (2, True)


def test_a_pipe_gets_the_answers_and_nothing_else(told):
    argv = [sys.executable, "-m", "regraft", "predict", "tiny", "frame", "--json"]
    done = subprocess.run(argv, cwd=told.workspace.root, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(json.loads(done.stdout)["answers"])) == (0, "", 1)


# --- diff --------------------------------------------------------------------------------------------------------


def found(document: dict[str, Any]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """``{section: {key: (a, b)}}``."""
    sections: dict[str, dict[str, tuple[Any, Any]]] = {}
    for difference in document["differences"]:
        sections.setdefault(difference["section"], {})[difference["key"]] = (difference["a"], difference["b"])
    return sections


def test_diff_tells_every_kind_of_difference_once_and_nothing_that_is_the_same(told, cli):
    document = cli("diff", "tiny/1", "tiny/2", "--json").json
    digests = [registration.registered(Journal(Folder(told.workspace.state), "tiny").entries(), "tiny", v).digest for v in "12"]
    assert found(document) == {
        "params": {"finetune.epochs": (2, 8), "columns.id.required": (True, False)},
        "gates": {"gate.1.at_least": (0.3, 0.6)},
        "data": {"labelled": ("a" * 64, "b" * 64)},
        "libraries": {"torch": ("2.13.0", "2.13.1")},
        "machine": {"threads": (2, 1)},
        "code": {"step version": (1, 2), "git sha": ("0" * 40, "1" * 40), "uncommitted changes": (False, True)},
        "metrics": {"macro_f1": (0.5, 0.625), "rows": (100, 120)},
        "verdict": {
            "candidate.digest": tuple(digests), "champion.digest": (None, digests[0]), "champion.version": (None, "1"),
        },
    }  # fmt: skip
    assert {tuple(d["steps"]) for d in document["differences"]} == {("finetune-adapted", "finetune-base"), ()}
    assert (document["a"]["version"], document["b"]["run"]) == ("1", RUNS[2])


@pytest.mark.parametrize(("a", "b"), [(RUNS[1], RUNS[2]), ("tiny/1", "tiny@champion"), (RUNS[1], "tiny/2")])
def test_runs_versions_and_aliases_are_names_of_the_same_things(told, cli, a, b):
    assert found(cli("diff", a, b, "--json").json) == found(cli("diff", "tiny/1", "tiny/2", "--json").json)


def test_a_run_that_was_killed_differs_by_the_steps_it_did_not_reach(told, cli):
    document = cli("diff", "tiny", "tiny/1", "--json").json  # the latest run
    assert (document["a"]["run"], document["a"]["status"]) == (RUNS[3], "KILLED")
    assert found(document) == {"steps": {"step": (None, "reached")}, "verdict": {"outcome": (None, "pass")}}


def test_the_terminal_shows_short_values_and_the_change(told, cli):
    said = cli("diff", "tiny/1", "tiny/2").out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == f"a {RUNS[1]} version 1, PASS"
    assert "finetune.epochs 2 8 +6 finetune-adapted, finetune-base" in lines
    assert "macro_f1 0.5 0.625 +0.125 finetune-adapted, finetune-base" in lines
    assert "labelled aaaaaaaaaaaa bbbbbbbbbbbb finetune-adapted, finetune-base" in lines
    assert "uncommitted changes no yes finetune-adapted, finetune-base" in lines
    assert "the same run" in cli("diff", "tiny/2", RUNS[2]).out


@pytest.mark.parametrize(
    ("a", "text"),
    [
        ("nope", "no run of pipeline 'nope'"),
        ("tiny-20990101T000000-abcdef", "no run called"),
        ("tiny/9", "no registered version 9"),
        ("tiny@prod", "no version with the alias 'prod'"),
        ("nope/1", "no pipeline 'nope'"),
        ("a'b-c", "no run called"),
    ],
)
def test_diff_says_what_it_does_not_find(told, cli, a, text):
    said = cli("diff", a, "tiny/1")
    assert (said.code, said.out, text in said.err) == (2, "", True), said
    assert "next: " in said.err


def test_a_pipeline_alone_means_its_last_two_runs(told, cli):
    document = cli("diff", "tiny", "--json").json
    assert (document["a"]["run"], document["b"]["run"]) == (RUNS[2], RUNS[3])
    assert last_two(Tracker(told.workspace), "tiny", "compare", decided=True) == (RUNS[1], RUNS[2])
    for verb in ("diff", "compare"):
        alone = cli(verb, "tiny/1")
        assert (alone.code, f"`regraft {verb} tiny/1` names one side alone" in alone.err) == (2, True), alone.err
        assert f"regraft {verb} PIPELINE" in alone.err


# --- status ------------------------------------------------------------------------------------------------------


def test_status_tells_the_time_as_history_does_and_programs_the_whole_of_it(told, cli):
    since = cli("status", "tiny", "--json").json["pipelines"]["tiny"]["champion"]["since"]
    shown = f" since {since[:10]} {since[11:16]}"
    assert f"{shown}, {RUNS[2]}\n" in cli("status", "tiny").out
    assert f"{shown}\n" in cli("history", "tiny").out
    assert since.endswith("+00:00")


# --- ls, logs, open ----------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_the_versions_that_they_became(told, cli):
    with told.store() as client:
        client.log_metric(told.find_run(RUNS[2]).run_id, "test/macro_f1", 0.625)
    lines = {line.split()[0]: line.split() for line in cli("ls", "tiny", width=60).out.splitlines()[2:]}
    assert list(lines) == [RUNS[3], RUNS[2], RUNS[1]]
    assert (lines[RUNS[3]][1:], lines[RUNS[2]][-2:], lines[RUNS[1]][-1]) == (["killed"], ["2", "champion"], "1")
    assert "0.625" in lines[RUNS[2]]
    runs = cli("ls", "tiny", "-n", "2", "--json").json["pipelines"]["tiny"]["runs"]
    assert [(run["run"], run["version"], run["alias"]) for run in runs] == [(RUNS[3], None, None), (RUNS[2], "2", "champion")]


def test_a_log_is_shown_from_its_end_and_one_that_is_not_there_is_named(told, cli):
    log = told.workspace.log_file(RUNS[1])
    log.parent.mkdir(parents=True)
    log.write_text("one [bold]\ntwo\nthree\n")
    assert cli("logs", "tiny", "-n", "2").out == "two\nthree\n"
    assert cli("logs", RUNS[1], "-n", "0", "--follow").out == "one [bold]\ntwo\nthree\n"
    assert cli("logs", RUNS[1], "--path").out == f".regraft/logs/{RUNS[1]}.log\n"
    assert (cli("logs", RUNS[2]).code, cli("logs", "nope").code) == (2, 2)


def test_pages_of_servers_that_are_configured_are_opened_and_others_are_told_how(told, cli, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert "prefect server start" in cli("ui", "prefect").err
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert (cli("ui", "prefect").code, cli("ui", "mlflow").code, cli("ui", "dvc").code) == (0, 0, 2)
    assert opened == ["http://prefect.example:4200", "https://mlflow.example/#/experiments?workflowType=machine_learning"]
