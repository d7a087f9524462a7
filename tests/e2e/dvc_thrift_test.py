"""Nothing is computed twice: real DVC, the real steps, on the tiny workspace. Every test starts where a first run ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
from everything import STEPS as ALL
from everything import Ran, configure

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import dvc
from regraft.execution.dvc import write_generated
from regraft.execution.launch import new_run_id
from regraft.execution.repro import Run, run_step_with_dvc
from regraft.execution.resolve import write_resolved


def bring(workspace: Workspace, steps: Sequence[str] = ALL) -> set[str]:
    """Bring ``steps`` up to date as a run does, one after the other; returns those that were computed."""
    run = Run(workspace, "tiny", new_run_id("tiny"), emit=lambda event: None)
    outcomes = [run_step_with_dvc(run, step, number) for number, step in enumerate(steps)]
    return {outcome.step for outcome in outcomes if not outcome.cached}


@pytest.fixture
def workspace(ran: Ran) -> Workspace:
    return Workspace(ran.root)


def edit_rows(workspace: Workspace, change: Callable[[list[dict[str, str]]], None]) -> None:
    path = workspace.root / "data" / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def change(workspace: Workspace, **keys: Any) -> None:
    """Edit the pipeline file and render what follows from it."""
    configure(workspace.root, **keys)
    write_resolved(workspace, "tiny")
    write_generated(workspace)


def stale(workspace: Workspace) -> set[str]:
    """Steps that DVC would look at again."""
    said = dvc.status(workspace, [f"{step}@tiny" for step in ALL])
    return {address.partition("@")[0] for address, changes in said.items() if changes}


def record(workspace: Workspace, step: str) -> dict[str, Any]:
    value: dict[str, Any] = files.read_json(workspace.artifacts("tiny", step) / "record.json")
    return value


def test_an_edited_label_even_an_invalid_one_leaves_the_adaptation_alone(workspace):
    upstream = ("contract", "splits", "corpus", "tokens", "pretrain")
    edit_rows(workspace, lambda rows: rows[0].update(label="kitchen"))
    assert bring(workspace, upstream) == {"contract"}
    assert stale(workspace) >= {"finetune-base", "finetune-adapted", "tfidf", "held_out"}

    edit_rows(workspace, lambda rows: rows[1].update(label=""))
    assert bring(workspace, upstream) == {"contract"}
    out = workspace.artifacts("tiny", "contract") / "out"
    assert pd.read_parquet(out / "quarantine.parquet")["id"].tolist() == ["garden-001"]
    assert len(pd.read_parquet(out / "rows.parquet")) == 120
    assert len(pd.read_parquet(out / "texts.parquet")) == 121


def test_another_corpus_leaves_the_contract_and_the_unadapted_model_alone(workspace):
    with (workspace.root / "data" / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"text": "a new document about ropes and tides " * 9}) + "\n")
    assert bring(workspace, ("contract", "corpus", "finetune-base", "tfidf")) == {"corpus"}
    assert stale(workspace) == {"tokens"}, "what follows it is asked once it came out different"


def test_a_reverted_parameter_and_a_lost_output_come_back_from_the_run_cache(workspace):
    first = {step: record(workspace, step) for step in ALL}
    change(workspace, finetune={"epochs": 1})
    assert bring(workspace, ("pretrain", "finetune-base")) == {"finetune-base"}
    assert record(workspace, "finetune-base")["outputs"] != first["finetune-base"]["outputs"]

    change(workspace, finetune={"epochs": 2})
    shutil.rmtree(workspace.root / "artifacts")
    (workspace.root / "dvc.lock").unlink()
    assert bring(workspace) == set()
    assert {step: record(workspace, step) for step in ALL} == first


def test_a_record_describes_what_lies_beside_it(workspace):
    for step in ALL:
        home, said = workspace.artifacts("tiny", step), record(workspace, step)
        assert said["outputs"] == files.tree(home / "out"), step
        assert said["inputs"] == {
            name: {"path": entry["path"], "hash": files.digest(workspace.root / entry["path"])} for name, entry in said["inputs"].items()
        }, step


def test_nothing_below_out_names_the_folder_the_machine_or_the_run(everything):
    workspace = Workspace(everything.root)
    said = [str(everything.root), socket.gethostname(), record(workspace, "score-base")["run"]]
    words = [word.encode() for word in said if word]  # a step run by hand has no run
    for step in ALL:
        for path in files.walk(workspace.artifacts("tiny", step) / "out"):
            data = path.read_bytes()
            # a short host name stands in any weights or vocabulary by chance: there, only longer words tell
            chance = path.suffix not in (".json", ".jsonl") or path.name.startswith(("tokenizer", "vocab"))
            found = [word for word in words if word in data and not (chance and len(word) < 6)]
            assert not found, path


def test_while_dvc_is_at_work_the_reading_verbs_say_who_to_watch(workspace):
    held = {"pid": os.getpid(), "cmd": "dvc repro"}
    path = str(workspace.artifacts("tiny", "pretrain") / "out")
    files.write_json(workspace.root / ".dvc" / "tmp" / "rwlock", {"write": {path: held}, "read": {}})
    for verb, code in (("plan", 7), ("status", 0)):
        argv = [sys.executable, "-m", "regraft", verb, "tiny"]
        done = subprocess.run(argv, cwd=workspace.root, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "a run is at work here, and DVC says nothing of the steps meanwhile\n" in said
        assert "next: regraft status --watch\n" in said
