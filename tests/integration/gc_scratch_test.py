"""What ``regraft gc`` finds in ``.regraft/``: nothing that the next run would miss."""

from __future__ import annotations

import fcntl
import os
import shutil

import pytest
import yaml

from regraft.core import files, lock
from regraft.core.errors import Conflict
from regraft.core.workspace import Workspace
from regraft.execution import clones, composition
from regraft.execution.resolve import resolve, write_resolved
from regraft.upkeep import gc
from regraft.upkeep.gc import dvc_cache, scratch


def room(workspace: Workspace, name: str) -> dict[str, str]:
    """``{path: why}`` of what could go."""
    (found,) = (room for room in scratch.rooms(workspace) if room.name == name)
    return {workspace.relative(item.path): item.why for item in found.items}


@pytest.fixture
def stopped(tiny: Workspace) -> tuple[Workspace, str]:
    """A workspace in which ``contract`` was stopped: it has a checkpoint of today's fingerprint, and one of another."""
    step = composition.step_in(tiny, resolve(tiny, "tiny"), "contract")
    resolved = write_resolved(tiny, "tiny")
    today = scratch._fingerprint(tiny, "tiny", step, resolved)
    for identity in (today, "0" * 64):
        files.write_text(tiny.checkpoints("tiny", "contract", identity) / "00000001" / "state.pt", "x" * 1000)
    return tiny, today


def test_a_checkpoint_goes_unless_a_run_of_today_would_go_on_from_it(stopped):
    tiny, _ = stopped
    assert room(tiny, "checkpoints") == {f".regraft/checkpoints/tiny/contract/{'0' * 64}": "'tiny' has other settings, data or code by now"}


def test_changed_data_lets_the_checkpoint_go_and_data_put_back_keeps_it(stopped):
    tiny, today = stopped
    rows = tiny.root / "data" / "rows.jsonl"
    text = rows.read_text()
    rows.write_text(text + text.splitlines()[0].replace("-000", "-999") + "\n")
    assert f".regraft/checkpoints/tiny/contract/{today}" in room(tiny, "checkpoints")
    rows.write_text(text)
    assert f".regraft/checkpoints/tiny/contract/{today}" not in room(tiny, "checkpoints")


def test_a_checkpoint_of_a_run_with_set_stays_while_its_resolved_file_does(stopped):
    tiny, _ = stopped
    resolved = write_resolved(tiny, "tiny", ["split.near_duplicate=0.9", "task.id=text"])
    changed = scratch._fingerprint(tiny, "tiny", composition.step_in(tiny, resolve(tiny, "tiny"), "contract"), resolved)
    files.write_text(tiny.checkpoints("tiny", "contract", changed) / "lock", "")
    assert not [path for path in room(tiny, "checkpoints") if changed in path]
    write_resolved(tiny, "tiny")
    assert [path for path in room(tiny, "checkpoints") if changed in path]


@pytest.mark.parametrize("fault", ["file", "input"])
def test_where_todays_fingerprint_cannot_be_told_checkpoints_stay(stopped, fault):
    tiny, _ = stopped
    if fault == "input":
        files.write_text(tiny.checkpoints("tiny", "tokens", "1" * 64) / "lock", "")
        assert not [path for path in room(tiny, "checkpoints") if "/tokens/" in path]
    else:
        tiny.pipeline_file("tiny").write_text("version: 2\n")
        assert room(tiny, "checkpoints") == {}


def test_a_checkpoint_that_a_step_holds_stays(stopped):
    tiny, _ = stopped
    lock = tiny.checkpoints("tiny", "contract", "0" * 64) / "lock"
    lock.touch()
    with lock.open("r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert room(tiny, "checkpoints") == {}


def test_checkpoints_of_pipelines_and_steps_that_are_gone_go(tiny):
    for pipeline, step in (("gone", "tokens"), ("tiny", "gone")):
        files.write_text(tiny.checkpoints(pipeline, step, "a") / "lock", "")
    assert set(room(tiny, "checkpoints").values()) == {"there is no pipeline of this name", "there is no step of this name"}


def test_of_runs_the_last_of_every_pipeline_keeps_its_logs(tiny):
    text = yaml.safe_load(tiny.pipeline_file("tiny").read_text())
    files.write_text(tiny.pipeline_file("other"), yaml.safe_dump(text))
    workspace = Workspace(tiny.root)
    old, new = "tiny-20260101T000000-ffffff", "tiny-20260102T000000-aaaaaa"
    other, gone = "other-20250101T000000-abcdef", "gone-20260103T000000-abcdef"
    for run in (old, new, other, gone):
        files.write_text(workspace.log_file(run), "log")
        files.write_text(workspace.error_file(f"{run}-3"), "{}")
        files.write_text(workspace.scratch / "invocations" / f"{run}-champion.json", "{}")
        files.write_text(workspace.scratch / "evidence" / run / "verdict.json", "{}")
    files.write_text(workspace.log_file("crash-20260101T000000"), "Traceback")
    files.write_text(workspace.scratch / "logs" / "notes-of-mine.txt", "mine")
    found = room(workspace, "runs")
    assert {path for path in found if old not in path and gone not in path} == {".regraft/logs/crash-20260101T000000.log"}
    assert len(found) == 9


def test_copies_go_and_locks_and_unknown_folders_stay(tiny):
    for name in ("downloads/run/x", "models/tiny/1/MLmodel", "broken/dvc.lock-1", "locks/tiny.lock", "somebodys/x"):
        files.write_text(tiny.scratch / name, "x")
    found = [path for rooms in scratch.rooms(tiny) for path in (tiny.relative(item.path) for item in rooms.items)]
    assert found == [".regraft/downloads/run", ".regraft/models/tiny", ".regraft/broken/dvc.lock-1"]


def test_outputs_of_a_candidate_that_left_of_a_step_of_0_2_and_of_a_pipeline_that_is_gone_go(tiny, cli, monkeypatch):
    for step in ("tiny/contract", "tiny/finetune-base", "tiny/finetune-lora", "tiny/scores", "left/contract"):
        files.write_text(tiny.root / "artifacts" / step / "record.json", "{}")
    gone = {
        "artifacts/left": "there is no pipeline of this name",
        "artifacts/tiny/finetune-lora": "'tiny' has no such step now",
        "artifacts/tiny/scores": "'tiny' has no such step now",
    }
    assert room(tiny, "artifacts") == gone
    monkeypatch.chdir(tiny.root)
    assert "outputs of candidates, steps and pipelines that are gone" in cli("gc").out
    assert cli("gc", "--yes").code == 0
    assert sorted(path.name for path in (tiny.root / "artifacts" / "tiny").iterdir()) == ["contract", "finetune-base"]
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + "zzz: 1\n")
    files.write_text(tiny.root / "artifacts" / "tiny" / "scores" / "record.json", "{}")
    assert room(tiny, "artifacts") == {}, "of a file with a fault nobody knows which steps it has"


def test_a_clone_of_a_pipeline_that_is_gone_goes_and_one_in_use_loses_what_nobody_comes_back_to(stopped):
    tiny, _ = stopped
    for name in ("gone", "tiny-gpu"):
        shutil.copytree(tiny.root, tiny.root.parent / "clone")
        (tiny.scratch / "clones").mkdir(exist_ok=True)
        (tiny.root.parent / "clone").rename(tiny.scratch / "clones" / name)
    assert room(tiny, "clones") == {".regraft/clones/gone": "there is no pipeline of this name"}
    assert not [path for path in room(tiny, "checkpoints") if "clones" in path], "which step code a clone has is not known here"
    for at in ("20260101T000000", "20260102T000000"):
        files.write_text(tiny.scratch / "clones" / "tiny-gpu" / ".regraft" / "logs" / f"tiny-{at}-abcdef.log", "x")
    assert room(tiny, "runs") == {".regraft/clones/tiny-gpu/.regraft/logs/tiny-20260101T000000-abcdef.log": "of an earlier run"}
    md5 = "0123456789abcdef0123456789abcdef"
    files.write_text(tiny.scratch / "clones" / "tiny-gpu" / "x.dvc", f"outs:\n- md5: {md5}\n  path: x\n")
    assert md5 in set(dvc_cache._in_workspace(tiny)), "what only a clone names is in the cache that it shares"
    handle = lock.open_lock(clones.lock_of(tiny.scratch / "clones" / "tiny-gpu"))
    lock.take(handle)
    lock.sign(handle)
    with pytest.raises(Conflict, match=rf"at work in \.regraft/clones/tiny-gpu \(pid {os.getpid()}\)"), gc.held(tiny):
        pass
    os.close(handle)
