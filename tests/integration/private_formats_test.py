"""What regraft reads of DVC's and MLflow's insides is what the installed ones write.

A failure here names the library's version: it changed a format that it never promised. Adapt
``regraft.execution.dvc_formats`` or ``regraft.registry.database``, and their TRIED.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from regraft.core import lock
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats, dvc_status
from regraft.registry import database

STAGES = """stages:
  made:
    cmd: mkdir -p made/deep && cp in.txt made/deep/file
    deps: [in.txt]
    outs: [made]
  broken:
    cmd: exit 3
    outs: [never]
"""


def dvc_changed(what: str) -> str:
    return f"DVC {version('dvc')} changed {what}; known to work with {dvc_formats.TRIED}.x"


def mlflow_changed(what: str) -> str:
    return f"MLflow {version('mlflow')} changed {what}; known to work with {database.TRIED}.x"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A DVC repository whose one good stage ran once."""
    root = tmp_path_factory.mktemp("dvc")
    (root / "pipelines").mkdir()
    (root / "in.txt").write_text("text\n")
    (root / "dvc.yaml").write_text(STAGES)
    workspace = Workspace(root)
    dvc.ensure_repository(workspace)
    (root / "data").mkdir()
    (root / "data" / "rows.csv").write_text("a,b\n")
    dvc.ask(workspace, "add", "-q", "data")
    dvc.ask(workspace, "repro", "-q", "made")
    return workspace


def repro(workspace: Workspace, *argv: str) -> str:
    done = subprocess.run(
        dvc.command("repro", *argv), cwd=workspace.root, env=dvc.environment(), capture_output=True, text=True, check=False
    )
    return done.stderr


def test_dvc_lock_has_command_paths_and_digests(repository):
    assert dvc_formats.is_whole(dvc_formats.lock_file(repository)), dvc_changed("the schema of dvc.lock")
    stage = dvc_formats.stages(repository)["made"]
    assert stage["cmd"] == "mkdir -p made/deep && cp in.txt made/deep/file", dvc_changed("the keys of dvc.lock")
    assert {out["path"] for out in stage["outs"]} == {"made"}, dvc_changed("the keys of dvc.lock")
    assert (stage["deps"][0]["size"], stage["outs"][0]["size"]) == (5, 5), dvc_changed("the sizes in dvc.lock")
    assert {out["path"] for out in dvc_formats.tracked_data(repository)["outs"]} == {"data"}, dvc_changed("the keys of a .dvc file")


def test_the_cache_lies_where_it_is_looked_for_and_a_folder_is_a_listing(repository):
    cache = dvc_formats.cache_folder(repository)
    assert str(cache) == dvc.ask(repository, "cache", "dir").strip(), dvc_changed("where the cache lies")
    made = dvc_formats.stages(repository)["made"]["outs"][0]["md5"]
    inside = dvc_formats.listing(cache, made)
    assert inside is not None, dvc_changed("the listing of a folder")
    assert list(inside) == ["deep/file"], dvc_changed("the listing of a folder")
    assert dvc_formats.object_path(cache, inside["deep/file"]).read_text() == "text\n", dvc_changed("where an object lies")
    named = dvc_formats.named_in((repository.root / "dvc.lock").read_text() + (repository.root / "data.dvc").read_text())
    assert {made, inside["deep/file"]} <= named | set(inside.values()), dvc_changed("how a file names its objects")
    assert named & dict(dvc_formats.objects(cache)).keys() >= {made}, dvc_changed("the names of objects")


def test_the_run_cache_has_an_entry_for_every_result(repository):
    entries = [dvc_formats.read_result(path.read_text()) for path in dvc_formats.results(dvc_formats.cache_folder(repository))]
    stage = dvc_formats.stages(repository)["made"]
    found = [(entry["cmd"], [out["md5"] for out in entry["outs"]]) for entry in entries if entry]
    assert found == [(stage["cmd"], [out["md5"] for out in stage["outs"]])], dvc_changed("the run cache")


def test_a_repository_that_is_locked_is_busy_in_the_words_that_are_known(repository):
    handle = lock.open_lock(repository.root / dvc_formats.LOCK)
    try:
        lock.take(handle)
        assert dvc_formats.says_busy(repro(repository, "made")), dvc_changed("its lock, or what it says of it")
    finally:
        os.close(handle)


def test_many_targets_at_once_are_answered_as_dvcs_own_command_answers_them(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    (repository.root / "in.txt").write_text("changed\n")
    targets = ("made", "broken", "data.dvc")
    answer = dvc_status._status(set(targets))
    assert answer == json.loads(dvc.ask(repository, "status", "--json", *targets)), dvc_changed("how it is asked for a stage's status")
    assert set(answer) == {"made", "broken"}
    (repository.root / "in.txt").write_text("text\n")


def test_what_dvc_refuses_it_says_in_its_own_words(repository):
    argv = [sys.executable, dvc_status.__file__, "nowhere.dvc"]
    done = subprocess.run(argv, cwd=repository.root, env=dvc.environment(), capture_output=True, text=True, check=False)
    assert done.returncode
    assert "nowhere.dvc" in done.stderr


def test_a_path_in_use_is_busy_in_the_words_that_are_known(repository):
    table = repository.root / dvc_formats.BUSY_PATHS
    user = {"pid": os.getpid(), "cmd": "dvc repro made"}
    table.write_text(json.dumps({"read": {}, "write": {str(repository.root / "made"): user}}))
    try:
        assert dvc_formats.says_busy(repro(repository, "-f", "made")), dvc_changed("its table of busy paths, or what it says of it")
        assert dvc_formats.busy_paths(table.read_text())[1], dvc_changed("its table of busy paths")
    finally:
        table.unlink()


def test_the_exit_status_of_a_stage_is_in_the_last_words(repository):
    statuses = [dvc_formats.stage_exit(line) for line in repro(repository, "broken").splitlines() if line.startswith("ERROR: ")]
    assert 3 in statuses, dvc_changed("how it says a stage's exit status")


def test_every_column_of_mlflow_that_holds_an_artifact_path_is_known(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    database.create(path)
    connection = sqlite3.connect(path)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
    finally:
        connection.close()
    places = {(table, column) for table, column in columns if column.endswith(("artifact_location", "storage_location", "artifact_uri"))}
    assert places == set(database.LOCATIONS), mlflow_changed("where it stores artifact paths")
    assert {("registered_model_aliases", name) for name in ("name", "alias", "version")} <= columns, mlflow_changed("its table of aliases")
    assert ("experiments", "name") in columns, mlflow_changed("its table of experiments")
