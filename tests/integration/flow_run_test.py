"""``regraft run`` from the first run to a broken champion: the real flow, steps, Prefect and MLflow on the tiny workspace."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution.events import Watch

FLOOR = {"metric": "macro_f1", "at_least": 0.01}
STEPS = ["contract", "corpus", "tokens", "pretrain", "finetune", "finetune_base", "tfidf", "scores"]


@dataclass(frozen=True)
class Tiny:
    """A tiny workspace and its command line."""

    root: Path

    def regraft(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "regraft", *argv], cwd=self.root, capture_output=True, text=True, check=False)

    def run(self, code: int) -> dict[str, Any]:
        """``regraft run`` that ends with ``code``; its result."""
        done = self.regraft("run", "tiny", "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def configure(self, **changes: Any) -> None:
        path = self.root / "pipelines" / "tiny.yaml"
        value = yaml.safe_load(path.read_text())
        for key, change in changes.items():
            value[key] = {**value.get(key, {}), **change} if isinstance(change, Mapping) else change
        path.write_text(yaml.safe_dump(value, sort_keys=False))

    def records(self) -> dict[str, dict[str, Any]]:
        return {step: files.read_json(self.root / "artifacts" / "tiny" / step / "record.json") for step in STEPS}

    def database(self, name: str, query: str) -> list[Any]:
        with sqlite3.connect(f"file:{self.root / 'state' / name}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def first(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, dict[str, Any]]:
    """After a first run; read only."""
    tiny = Tiny(shutil.copytree(tiny_template, tmp_path_factory.mktemp("run") / "w"))
    tiny.configure(gates=[FLOOR], notify={"command": "cat >> told.jsonl"}, card={"intended_use": "Sorts places."})
    return tiny, tiny.run(0)


def test_a_first_run_ends_with_a_champion_and_the_evidence_for_it(first: tuple[Tiny, dict[str, Any]]) -> None:
    tiny, result = first
    assert (result["outcome"], result["champion"]["version"], result["champion"]["digest"]) == ("pass", "1", result["candidate"]["digest"])
    assert {record["run"] for record in tiny.records().values()} == {result["run"]}
    assert {record["mlflow_run_id"] for record in tiny.records().values()} == {result["mlflow_run_id"]}
    assert [entry["action"] for entry in map(files.read_json, sorted((tiny.root / "state/journal/tiny").glob("*.json")))] == [
        "register",
        "promote",
    ]
    ((artifacts, status),) = tiny.database("mlflow.db", f"select artifact_uri, status from runs where name = '{result['run']}'")
    folder = Path(artifacts.removeprefix("file://"))
    assert status == "FINISHED"
    assert sorted(path.stem for path in (folder / "records").glob("*.json")) == sorted(STEPS)
    assert json.loads((folder / "evidence" / "verdict.json").read_text())["outcome"] == "pass"
    assert json.loads((folder / "evidence" / "measurements.json").read_text())["decisions_on_these_rows"] == 1
    assert (folder / "evidence" / "slices.parquet").is_file()
    assert {row["slices"] for row in result["power"] if "slices" in row} == {"text_length", "text_oov", "text_script"}, (
        "no cluster has 30 rows"
    )
    curves = {key for (key,) in tiny.database("mlflow.db", "select key from metrics group by key having count(*) > 1")}
    assert any(key.startswith("pretrain/") for key in curves), curves


def test_prefect_shows_the_run_its_tasks_and_one_page(first: tuple[Tiny, dict[str, Any]]) -> None:
    tiny, result = first
    assert tiny.database("prefect/prefect.db", "select name, state_name from flow_run") == [(result["run"], "Completed")]
    tasks = {name.rpartition("-")[0] for (name,) in tiny.database("prefect/prefect.db", "select name from task_run")}
    assert {*STEPS, "track", "decide", "publish", "register", "promote"} <= tasks
    ((page,),) = tiny.database("prefect/prefect.db", "select data from artifact where key = 'verdict-tiny'")
    assert "| at_least |" in page
    assert f"regraft explain {result['run']}" in page


def test_a_verdict_is_told_once_and_not_again_when_nothing_is_to_do(first: tuple[Tiny, dict[str, Any]], tmp_path: Path) -> None:
    tiny, result = Tiny(shutil.copytree(first[0].root, tmp_path / "w")), first[1]
    tiny.run(0)
    (line,) = (tiny.root / "told.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert [told[key] for key in ("run", "outcome", "exit", "champion")] == [result[key] for key in ("run", "outcome", "exit", "champion")]
    assert told["verdict"]["candidate"] == result["candidate"]


def test_a_registered_version_has_a_card_that_its_artifacts_vouch_for(first: tuple[Tiny, dict[str, Any]]) -> None:
    tiny, result = first
    card = tiny.regraft("card", "tiny", "1")
    assert "Sorts places." in card.stdout
    assert result["candidate"]["digest"] in card.stdout
    verified = tiny.regraft("card", "verify", "tiny", "--json")
    assert verified.returncode == 0, verified.stderr
    said = json.loads(verified.stdout)
    assert said["numbers"] > 100
    assert {f"records/{step}.json" for step in STEPS} <= set(said["sources"])
    ((description,),) = tiny.database("mlflow.db", "select description from model_versions")
    assert description.startswith("PASS on ")


def test_a_watcher_reads_how_the_run_went(first: tuple[Tiny, dict[str, Any]]) -> None:
    tiny, result = first
    seen = Watch(Workspace(tiny.root), "tiny").look()
    assert seen is not None
    assert (seen.run, seen.state, seen.outcome) == (result["run"], "done", "pass")
    assert {name: step.state for name, step in seen.steps.items()} == dict.fromkeys(STEPS, "computed")
    said = tiny.regraft("status", "--watch")
    assert (said.returncode, f"{result['run']} scores computed" in said.stdout) == (0, True)


def test_a_champion_is_challenged_replaced_put_back_and_at_last_broken(first: tuple[Tiny, dict[str, Any]], tmp_path: Path) -> None:
    tiny, before = Tiny(shutil.copytree(first[0].root, tmp_path / "w")), first[1]

    tiny.configure(gates=[{**FLOOR, "at_least": 0.02}])
    same = tiny.run(0)
    assert same["champion"]["version"] == "1"
    assert "already champion" in same["sentence"]
    assert {record["run"] for record in tiny.records().values()} == {before["run"]}, "a gate is no reason to run a step"

    shutil.rmtree(tiny.root / "state" / "predictions")
    tiny.configure(finetune={"epochs": 1})
    other = tiny.run(0)
    assert other["champion"]["version"] == "2"
    rows = files.read_json(tiny.root / "artifacts/tiny/scores/out/digests.json")["rows"]
    assert (tiny.root / "state/predictions" / before["champion"]["digest"] / f"{rows}.parquet").is_file(), "the champion was not scored"

    assert tiny.regraft("rollback", "tiny", "--reason", "users complain").returncode == 0
    withheld = tiny.run(6)
    assert withheld["champion"]["version"] == "1"
    assert "users complain" in withheld["sentence"]
    assert withheld == tiny.run(6), "the standing answer changed although nothing else did"

    for weights in (tiny.root / "state" / "mlartifacts").rglob("model.safetensors"):
        weights.chmod(0o644)
        weights.write_bytes(b"not a model")
    shutil.rmtree(tiny.root / "state" / "predictions")
    tiny.configure(gates=[FLOOR, {"metric": "macro_f1", "beats": "champion"}])
    broken = tiny.run(5)
    assert broken["outcome"] == "inconclusive"
    assert "champion version 1 cannot be compared with" in broken["sentence"]
    assert str(tiny.root) not in broken["sentence"], "a verdict says the same wherever it is made"
    assert broken["champion"]["version"] == "1"
