"""``regraft run`` from the first run to a broken champion: the real flow, steps, Prefect and MLflow on the tiny workspace."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import services
import yaml
from everything import ASKED_FOR, FLOOR, KEPT, STEPS, Ran, configure, of_each
from services import shared_prefect
from workbench import copy, regraft, told

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution.events import Watch
from regraft.gates.telling import row
from regraft.registry.tracking import Tracker

ALL = (*STEPS, *ASKED_FOR)
OTHERS = [{**FLOOR, "at_least": 0.02}, *KEPT]
"""Gates of which the first run's were others."""
Ask = Callable[..., Any]


def run(root: Path, code: int) -> dict[str, Any]:
    """``regraft run`` that ends with ``code``; its result."""
    return told(root, code, "run", "tiny")


def database(root: Path, name: str, query: str) -> list[Any]:
    """What stands in a database of the workspace."""
    with sqlite3.connect(f"file:{root / 'state' / name}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def test_a_first_run_ends_with_a_champion_and_the_evidence_for_it(everything: Ran) -> None:
    root, result = everything.root, everything.result
    assert (result["outcome"], result["champion"]["version"], result["champion"]["digest"]) == ("pass", "1", result["candidate"]["digest"])
    records = [everything.record(step) for step in ALL]
    assert {record["run"] for record in records} == {result["run"]}
    assert {record["mlflow_run_id"] for record in records} == {result["mlflow_run_id"]}
    assert [entry["action"] for entry in map(files.read_json, sorted((root / "state/journal/tiny").glob("*.json")))] == [
        "register",
        "promote",
    ]
    ((artifacts, status),) = database(root, "mlflow.db", f"select artifact_uri, status from runs where name = '{result['run']}'")
    folder = Path(artifacts.removeprefix("file://"))
    assert status == "FINISHED"
    assert sorted(path.stem for path in (folder / "records").glob("*.json")) == sorted(ALL)
    assert json.loads((folder / "evidence" / "verdict.json").read_text())["outcome"] == "pass"
    assert json.loads((folder / "evidence" / "measurements.json").read_text())["decisions_on_these_rows"] == 1
    assert (folder / "evidence" / "slices.parquet").is_file()
    assert {row["slices"] for row in result["power"] if "slices" in row} == {"text_length", "text_oov", "text_script"}, (
        "no cluster has 30 rows"
    )
    curves = {key for (key,) in database(root, "mlflow.db", "select key from metrics group by key having count(*) > 1")}
    assert any(key.startswith("pretrain/") for key in curves), curves


def test_prefect_shows_the_run_its_tasks_and_one_page(everything: Ran) -> None:
    root, result = everything.root, everything.result
    assert database(root, "prefect/prefect.db", "select name, state_name from flow_run") == [(result["run"], "Completed")]
    tasks = {name for (name,) in database(root, "prefect/prefect.db", "select name from task_run")}
    assert {*ALL, "track", "decide", "publish", "register", "promote", "page"} <= tasks, "names without Prefect's suffixes"
    ((tags,),) = database(root, "prefect/prefect.db", "select tags from flow_run")
    assert set(json.loads(tags)) == {"regraft", "pipeline:tiny"}
    ((page,),) = database(root, "prefect/prefect.db", "select data from artifact where key = 'verdict-tiny'")
    findings = files.read_json(everything.evidence / "verdict.json")["findings"]
    asked = [finding for finding in findings if finding["value"] is not None or finding["outcome"] != "info"]
    assert [row(finding).requirement for finding in asked if f"| {row(finding).requirement} |" not in page] == []
    assert f"regraft explain {result['run']}" in page


def test_a_verdict_is_told_once_and_not_again_when_nothing_is_to_do(ran: Ran, ask: Ask) -> None:
    assert ask(ran.root, "run", "tiny").code == 0
    (line,) = (ran.root / "told.jsonl").read_text().splitlines()
    message = json.loads(line)
    for key in ("run", "outcome", "exit", "champion"):
        assert message[key] == ran.result[key], key
    assert message["verdict"]["candidate"] == ran.result["candidate"]


def test_a_registered_version_has_a_card_that_its_artifacts_vouch_for(everything: Ran, ask: Ask, tmp_path: Path) -> None:
    root, result = everything.root, everything.result
    card = ask(root, "card", "tiny", "1").out
    assert ask(root, "card", "tiny", "1", "--html", str(tmp_path / "card.html")).code == 0
    page = (tmp_path / "card.html").read_text()
    assert "<h2>Intended use</h2>\n<p>Sorts places.</p>" in page
    assert "Nobody has said what it must not be used for, under which licence it is." in page
    assert "Sorts places." in card
    assert result["candidate"]["digest"] in card
    verified = ask(root, "card", "verify", "tiny", "--json")
    assert verified.code == 0, verified.err
    said = verified.json
    assert said["numbers"] > 100
    assert {f"records/{step}.json" for step in ALL} <= set(said["sources"])
    ((description,),) = database(root, "mlflow.db", "select description from model_versions")
    assert description.startswith("PASS on ")


def test_a_watcher_reads_how_the_run_went(everything: Ran, ask: Ask) -> None:
    root, result = everything.root, everything.result
    seen = Watch(Workspace(root), "tiny").look()
    assert seen is not None
    assert (seen.run, seen.state, seen.outcome) == (result["run"], "done", "pass")
    assert {name: step.state for name, step in seen.steps.items()} == dict.fromkeys(ALL, "computed")
    said = ask(root, "status", "--watch")
    assert (said.code, f"{result['run']} score-base computed" in said.out) == (0, True)


@pytest.fixture(scope="module")
def judged_anew(everything: Ran, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """After a second run under other gates, where no page can be written; read only."""
    root = copy(everything.root, tmp_path_factory.mktemp("anew") / "w")
    shutil.rmtree(root / ".regraft" / "reports")
    (root / ".regraft" / "reports").write_text("a file where a folder is needed")
    configure(root, gates=OTHERS)
    done = regraft(root, "run", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    return Ran(root, files.read_json(root / "state/latest/tiny.json"), done.stdout + done.stderr)


def test_other_gates_judge_the_same_models_and_no_step_runs(everything: Ran, judged_anew: Ran) -> None:
    root, result = judged_anew.root, judged_anew.result
    assert result["run"] != everything.result["run"]
    assert result["champion"]["version"] == "1"
    assert "already champion" in result["sentence"]
    assert {judged_anew.record(step)["run"] for step in STEPS} == {everything.result["run"]}, "a gate is no reason to run a step"
    assert set(ASKED_FOR) & set(yaml.safe_load((root / "dvc.yaml").read_text())["stages"]) == set(of_each("forgetting")), (
        "nobody asks for the others any more"
    )
    (evidence,) = (path.parent for path in (root / ".regraft" / "evidence").rglob("verdict.json") if result["run"] in str(path))
    assert not (evidence / "cost.json").exists(), "no gate asked what serving takes"


def test_a_page_that_cannot_be_made_costs_no_run(judged_anew: Ran) -> None:
    assert "warning: no report: " in " ".join(judged_anew.out.split())
    assert judged_anew.result["report"] is None
    assert "report:" not in judged_anew.out.replace("no report:", "")


def leads_everywhere(root: Path, result: dict[str, Any]) -> None:
    """From MLflow's run, its version, the page and the pages of a Prefect server that stays, people reach the others and the journal."""
    api, tracker, version = shared_prefect(), Tracker(Workspace(root)), result["champion"]["version"]
    (flow_run,) = (known["id"] for known in services.flow_runs(api) if known["name"] == result["run"])
    in_prefect = f"{api.removesuffix('/api')}/runs/flow-run/{flow_run}"
    of_run, report = (tracker.page_of(result["mlflow_run_id"], below) for below in ("", "/artifacts/report.html"))
    of_version = tracker.page_of_version("tiny", version)
    with tracker.store() as client:
        note = client.get_run(result["mlflow_run_id"]).data.tags["mlflow.note.content"]
        known = client.get_model_version("tiny", version)
    artifacts = httpx.post(f"{api}/artifacts/filter", json={"flow_runs": {"id": {"any_": [flow_run]}}}).raise_for_status().json()
    labels = services.flow_run(api, flow_run)["labels"]
    leads = {
        "MLflow run": (note, {report, of_version, in_prefect, "- journal entry 3, register by ", "- journal entry 4, promote by "}),
        "version": (known.description, {report, of_run, in_prefect}),
        "page": ((root / result["report"]).read_text(), {in_prefect, "regraft ui mlflow", "regraft history tiny", ">4<"}),
        "Prefect": ("".join(artifact["data"] for artifact in artifacts), {report, of_run, of_version, "- journal entry 4, promote by "}),
    }
    assert {name: missing for name, (text, wanted) in leads.items() if (missing := {each for each in wanted if each not in text})} == {}
    assert known.tags["regraft.journal"] == "journal/tiny/00000003.json"
    assert (labels["regraft.page"], labels["regraft.mlflow_run"]) == (report, of_run)


def test_a_champion_is_challenged_replaced_put_back_and_at_last_broken(ran: Ran, ask: Ask) -> None:
    root, before = ran.root, ran.result

    shutil.rmtree(root / "state" / "predictions", ignore_errors=True)
    configure(root, gates=OTHERS, finetune={"epochs": 1})
    other = run(root, 0)
    assert other["champion"]["version"] == "2"
    leads_everywhere(root, other)
    rows = files.read_json(root / "artifacts/tiny/held_out/out/digests.json")["test"]
    assert (root / "state/predictions" / before["champion"]["digest"] / f"{rows}.parquet").is_file(), "the champion was not scored"

    assert ask(root, "rollback", "tiny", "--reason", "users complain").code == 0
    withheld = run(root, 6)
    assert withheld["champion"]["version"] == "1"
    assert "users complain" in withheld["sentence"]
    again, of_a_decision = ask(root, "run", "tiny", "--json").json, ("exit", "decided", "standing_exit")
    assert (again["exit"], again["decided"], again["standing_exit"]) == (0, False, 6)
    assert {**again, **dict.fromkeys(of_a_decision)} == {**withheld, **dict.fromkeys(of_a_decision)}, "the standing answer changed"

    for weights in (root / "state" / "mlartifacts").rglob("model.safetensors"):
        weights.chmod(0o644)
        weights.write_bytes(b"not a model")
    shutil.rmtree(root / "state" / "predictions")
    configure(root, gates=[FLOOR, {"metric": "macro_f1", "beats": "champion"}, *KEPT])
    broken = run(root, 5)
    assert broken["outcome"] == "inconclusive"
    assert "champion version 1 cannot be compared with" in broken["sentence"]
    assert str(root) not in broken["sentence"], "a verdict says the same wherever it is made"
    assert broken["champion"]["version"] == "1"
