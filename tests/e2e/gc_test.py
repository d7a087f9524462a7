"""``regraft gc`` on real stores: what it lists, what it frees with ``--yes``, and what it never touches."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import dvc
from regraft.registry import promotion, registration
from regraft.registry.journal import Journal
from regraft.registry.store import store_of
from regraft.registry.stores.folder import Folder
from regraft.registry.tracking import Tracker
from regraft.upkeep.gc import dvc_cache

TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))


# --- models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``state/`` with versions 1 to 4 promoted one after the other; 5 lost; 6 is challenger. Each has stored predictions."""
    home = tmp_path_factory.mktemp("stocked")
    tracker = Tracker(Workspace(home))
    for seed in range(1, 7):
        folder = TINY["make"](home / f"seed{seed}" / "model", seed)
        run = f"tiny-20260101T00000{seed}-abcdef"
        now = promotion.champion(tracker, "tiny")
        registration.register(
            tracker, "tiny", run_id=tracker.start_run("tiny", run), run_name=run, model_dir=folder, digest=files.digest(folder),
            verdict={"outcome": "fail" if seed == 5 else "pass", "rows": {"digest": "rows"}, "champion": now}, input_example=["the array"],
            data_hashes={}, git_sha=None,
        )  # fmt: skip
        if seed <= 4:
            promotion.promote(tracker, "tiny", str(seed), expected=now, reason="gates passed")
        files.write_text(home / "state" / "predictions" / files.digest(folder) / "rows.parquet", "answers")
    return home / "state"


@pytest.fixture
def registry(tiny: Workspace, stocked: Path) -> Tracker:
    """The stocked registry in a workspace of one's own."""
    shutil.copytree(stocked, tiny.state)
    return Tracker(tiny)


def weights(tracker: Tracker) -> set[str]:
    """Versions whose weights are there and whole."""
    found = set()
    for version in "123456":
        try:
            registration.model_folder(tracker, "tiny", version)
        except EnvironmentFault:
            continue
        found.add(version)
    return found


def test_only_versions_nobody_can_come_back_to_lose_their_weights_and_nothing_else(registry, cli):
    listed = cli("gc", "--json").json
    (models,) = (room for room in listed["rooms"] if room["name"] == "models")
    assert [item["why"] for item in models["items"]] == ["tiny version 1", "tiny version 5"]
    assert {v["version"]: v["why"] for v in listed["kept"]} == {
        "4": "champion", "6": "challenger", "3": "rollback target", "2": "the verdict on version 3 was about it",
    }  # fmt: skip
    assert (listed["freed"], weights(registry)) == (False, set("123456"))

    said = cli("gc", "--yes", "--json")
    assert (said.code, said.json["freed"], weights(registry)) == (0, True, set("2346"))
    with registry.store() as client:
        tags = {v: client.get_model_version("tiny", v).tags for v in "123456"}
    assert {v for v in tags if "regraft.freed" in tags[v]} == set("15")
    assert all(tags[v]["regraft.digest"] for v in tags)
    assert len(list((registry.workspace.state / "predictions").iterdir())) == 4
    assert len(list((registry.workspace.state / "mlartifacts").rglob("MLmodel"))) == 6
    assert cli("gc", "--json").json["bytes"] == 0


def test_after_gc_a_rollback_works_and_one_to_a_freed_version_says_so_and_changes_nothing(registry, cli):
    cli("gc", "--yes")
    refused = cli("rollback", "tiny", "--to", "1")
    assert (refused.code, "weights of version 1 of 'tiny' were freed by `regraft gc`" in refused.err) == (8, True)
    assert promotion.champion(registry, "tiny")["version"] == "4"
    assert cli("rollback", "tiny").code == 0
    assert promotion.champion(registry, "tiny")["version"] == "3"


def test_an_alias_of_ones_own_a_base_model_and_a_candidate_that_waits_keep_their_weights(registry, cli):
    tiny = registry.workspace
    value = yaml.safe_load(tiny.pipeline_file("tiny").read_text())
    value["base_model"] = tiny.relative(registration.model_folder(registry, "tiny", "1"))
    files.write_text(tiny.pipeline_file("second"), yaml.safe_dump(value))
    digest = registration.registered(Journal(Folder(tiny.state), "tiny").entries(), "tiny", "5").digest
    store_of(tiny).keep_latest("tiny", {"candidate": {"digest": digest}})
    why = {v["version"]: v["why"] for v in cli("gc", "--json").json["kept"]}
    assert (why["1"], why["5"]) == ("base model of 'second'", "candidate of the last verdict")
    registry.set_alias("tiny", "eu", "5")
    tiny.pipeline_file("second").write_text("version: 1\nbase_model: [")
    why = {v["version"]: v["why"] for v in cli("gc", "--json").json["kept"]}
    assert (why["1"], why["5"]) == ("pipelines/second.yaml cannot be read, and may start from it", "eu")


def test_a_version_that_was_promoted_after_the_survey_keeps_its_weights(registry):
    from regraft.upkeep import gc

    with gc.held(registry.workspace):
        found = gc.survey(registry.workspace, registry)
        promotion.rollback(registry, "tiny", 1, reason="back")
        gc.free(registry.workspace, registry, found)
    assert weights(registry) == set("12346")


def test_nothing_is_looked_at_or_freed_while_a_run_is_in_progress(registry, cli):
    lock = registry.workspace.scratch / "locks" / "tiny.lock"
    files.write_text(lock, f"{os.getpid()}\n")
    with lock.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for argv in (["gc"], ["gc", "--yes"]):
            said = cli(*argv)
            assert (said.code, said.out) == (7, "")
            assert f"a run of 'tiny' is in progress (pid {os.getpid()}); nothing was examined or freed" in said.err
    assert weights(registry) == set("123456")


def test_a_tampered_journal_stops_it(registry, cli):
    path = registry.workspace.state / "journal" / "tiny" / "00000002.json"
    path.write_text(path.read_text().replace("gates passed", "because"))
    said = cli("gc", "--yes")
    assert (said.code, "entry 2 was edited" in said.err) == (8, True)
    assert len(list((registry.workspace.state / "mlartifacts").rglob("model.safetensors"))) == 6


def test_weights_on_a_shared_store_are_left_to_it(registry, monkeypatch, cli):
    monkeypatch.setattr(Tracker, "remote", True)
    rooms = {room["name"]: room for room in cli("gc", "--json").json["rooms"]}
    assert (rooms["models"]["items"], "is shared" in rooms["models"]["note"], "predictions" in rooms) == ([], True, False)


# --- DVC's cache -------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tiny: Workspace) -> Callable[..., None]:
    """``(*argv)`` runs DVC in a workspace with a stage of its own, ``probe``, that copies in.txt."""
    dvc.ensure_repository(tiny)
    value = {"stages": {"probe": {"cmd": "cp in.txt out.txt", "deps": ["in.txt"], "outs": ["out.txt"]}}}
    (tiny.root / "dvc.yaml").write_text(yaml.safe_dump(value))

    def run(*argv: str) -> None:
        subprocess.run(dvc.command(*argv, "-q"), cwd=tiny.root, env=dvc.environment(), check=True)

    return run


def outputs(workspace: Workspace) -> set[str]:
    """What the objects in the cache say, folders aside."""
    return {path.read_text() for path in (workspace.root / ".dvc/cache/files/md5").glob("??/*") if not path.name.endswith(".dir")}


def git(workspace: Workspace, *argv: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *argv]
    subprocess.run(command, cwd=workspace.root, check=True, capture_output=True)


def test_objects_that_nothing_names_go_and_what_a_parameter_put_back_needs_stays(tiny, cached, cli):
    for text in ("one", "two"):
        (tiny.root / "in.txt").write_text(text)
        cached("repro", "probe")
        (tiny.root / "extra").mkdir(exist_ok=True)
        (tiny.root / "extra" / "file").write_text(f"extra {text}")
        cached("add", "extra")
    assert cli("gc", "--yes").code == 0
    assert outputs(tiny) == {"one", "two", "extra two"}
    (tiny.root / "in.txt").write_text("one")
    (tiny.root / "out.txt").unlink()
    cached("repro", "probe")
    assert (tiny.root / "out.txt").read_text() == "one"
    assert cli("gc", "--run-cache", "--yes").code == 0
    assert outputs(tiny) == {"one", "extra two"}
    assert dvc.ask(tiny, "status", "probe", "extra.dvc").strip().endswith("up to date.")


def test_what_the_run_cache_could_free_is_mentioned_where_it_is_something(tiny, cached, cli):
    said = {}
    for text in ("small", "large" * 600_000, "last"):
        (tiny.root / "in.txt").write_text(text)
        cached("repro", "probe")
        said[text] = cli("gc").out
    assert [" more with --run-cache" in out for out in said.values()] == [False, False, True]
    assert " 3 MB more with --run-cache" in said["last"]


def test_what_a_commit_names_stays(tiny, cached, cli):
    git(tiny, "init", "-q")
    for text in ("committed", "loose", "now"):
        (tiny.root / "file").write_text(text)
        cached("add", "file")
        if text == "committed":
            git(tiny, "add", "file.dvc")
            git(tiny, "commit", "-qm", "x")
    assert cli("gc", "--yes").code == 0
    assert outputs(tiny) == {"committed", "now"}


def test_a_repository_that_git_cannot_read_is_a_reason_to_keep_everything(tiny, cached, cli):
    for text in ("loose", "now"):
        (tiny.root / "file").write_text(text)
        cached("add", "file")
    (tiny.root / ".git").mkdir()
    said = cli("gc", "--yes")
    assert "not examined: git does not read this repository" in said.out
    assert outputs(tiny) == {"loose", "now"}


def test_results_that_no_stage_of_today_can_hit_go(tiny, cached, cli):
    stage = {"cmd": "regraft step gone --pipeline tiny --step-version 1 || cp in.txt out.txt", "deps": ["in.txt"], "outs": ["out.txt"]}
    (tiny.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"probe": stage}}))
    (tiny.root / "in.txt").write_text("of a gone step")
    cached("repro", "probe")
    (tiny.root / "dvc.lock").unlink()
    assert cli("gc", "--yes").code == 0
    assert (outputs(tiny), list((tiny.root / ".dvc/cache/runs").glob("*/*/*"))) == (set(), [])


def test_a_cache_outside_the_workspace_is_left_alone(tiny, cached, cli, tmp_path):
    cached("cache", "dir", str(tmp_path / "shared"))
    for text in ("loose", "now"):
        (tiny.root / "file").write_text(text)
        cached("add", "file")
    assert "lies outside the workspace and may be shared" in cli("gc", "--yes").out
    assert len(list((tmp_path / "shared").rglob("files/md5/*/*"))) == 2


def test_gc_and_dvc_keep_each_other_out(tiny, cached):
    with dvc_cache.locked(tiny):
        done = subprocess.run(
            dvc.command("repro", "probe"), cwd=tiny.root, env=dvc.environment(), capture_output=True, text=True, check=False
        )
    assert (done.returncode != 0, "Unable to acquire lock" in done.stderr) == (True, True)
