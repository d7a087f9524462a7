from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from services import PATIENCE

from regraft.core.errors import BY_NAME, Conflict, DataRejected, Problem, RegraftError
from regraft.core.progress import STOP
from regraft.core.workspace import Workspace
from regraft.execution import supervise
from regraft.execution.dvc_formats import is_whole
from regraft.execution.dvc_repair import repair
from regraft.execution.launch import new_run_id, parse_event
from regraft.execution.run_lock import run_lock


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return Workspace(tmp_path)


@pytest.fixture
def stop() -> Iterator[None]:
    yield
    STOP.clear()
    supervise.STOPPED_BY.clear()


def child(workspace: Workspace, code: str, *, lifeline: bool = True) -> supervise.Child:
    env = {**os.environ, "REGRAFT_WORKSPACE": str(workspace.root)} | ({"REGRAFT_INVOCATION": "r-1"} if lifeline else {})
    return supervise.spawn([sys.executable, "-c", code], cwd=workspace.root, env=env, log=subprocess.DEVNULL)


def let_go(workspace: Workspace, code: str) -> tuple[int, str]:
    """Exit code and output of a child whose parent lets its lifeline go once it printed ``up``, and does nothing else."""
    env = {**os.environ, "REGRAFT_WORKSPACE": str(workspace.root), "REGRAFT_INVOCATION": "r-1"}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdin=PIPE, stdout=PIPE, text=True, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.stdin.close()
        return process.wait(PATIENCE), process.stdout.read()


def test_a_child_hears_the_end_of_its_lifeline_and_may_finish_what_it_does(workspace: Workspace) -> None:
    start = "from regraft.execution import supervise; from regraft.core.progress import STOP; supervise.watch(); print('up', flush=True)"
    assert let_go(workspace, f"{start}; print(STOP.wait({PATIENCE}), flush=True)") == (0, "True\n")


def test_a_child_that_ignores_the_end_of_its_lifeline_is_ended(workspace: Workspace) -> None:
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    start = f"import signal, time; from regraft.execution import supervise; {deaf}; supervise.follow_lifeline(0.3)"
    assert let_go(workspace, f"{start}; print('up', flush=True); time.sleep({2 * PATIENCE})") == (-signal.SIGKILL, "")


def test_a_lifeline_that_ended_before_the_child_began_ends_it(workspace: Workspace) -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    code = "from regraft.execution import supervise; supervise.watch(); print('began')"
    env = {**os.environ, "REGRAFT_WORKSPACE": str(workspace.root), "REGRAFT_INVOCATION": "r-1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, stdin=ours, capture_output=True, check=False)
    os.close(ours)
    assert (done.returncode, done.stdout) == (1, b"")


def test_without_an_invocation_the_end_of_stdin_means_nothing(workspace: Workspace) -> None:
    code = "import time; from regraft.execution import supervise; supervise.watch(); time.sleep(0.3); print('done')"
    env = {key: value for key, value in os.environ.items() if key != "REGRAFT_INVOCATION"}
    done = subprocess.run([sys.executable, "-c", code], input=b"", env=env, capture_output=True, check=True)
    assert done.stdout == b"done\n"


def test_a_leader_that_dies_does_not_leave_its_descendant_writing(workspace: Workspace) -> None:
    watching = "from regraft.execution import supervise; from regraft.core.progress import STOP; supervise.watch(); open('up', 'w').close()"
    inner = f"{watching}; print('inner', flush=True); STOP.wait({2 * PATIENCE})"
    start = f"import subprocess, sys, os, time; subprocess.Popen([sys.executable, '-c', {inner!r}])"
    code = f"{start}\nwhile not os.path.exists('up'): time.sleep(0.01)\ntime.sleep(0.2); os._exit(7)"
    started = time.monotonic()
    lines: list[str] = []
    assert child(workspace, code).finish(lines.append) == 7
    assert lines == ["inner"]
    assert time.monotonic() - started < PATIENCE, "the descendant wrote to its own end"


def test_a_stop_interrupts_the_child_which_may_have_a_last_word(workspace: Workspace, stop: None) -> None:
    start = "from regraft.execution import supervise; from regraft.core.progress import STOP; supervise.watch()"
    code = f"{start}; print('up', flush=True); STOP.wait(20); print('saved')"
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        STOP.set()

    assert child(workspace, code).finish(hear) == 0
    assert lines == ["up", "saved"]


@pytest.mark.parametrize("kind", BY_NAME.values())
def test_an_error_arrives_as_the_type_it_was_raised_as(kind: type[RegraftError], tmp_path: Path) -> None:
    problem = Problem(message="bad", file="a.csv", row=3, column="text")
    supervise.write_error(tmp_path / "e.json", kind("no", fix="do", problems=[problem]))
    arrived = supervise.read_error(tmp_path / "e.json")
    assert arrived is not None
    assert (type(arrived), str(arrived), arrived.fix, arrived.problems) == (kind, "no", "do", [problem])
    said = json.loads((tmp_path / "e.json").read_text())
    assert (said["exit"], said["file"], said["row"], said["column"]) == (kind.exit_code, "a.csv", 3, "text")


def test_where_nobody_left_an_error_there_is_none(tmp_path: Path) -> None:
    assert supervise.read_error(tmp_path / "none.json") is None


def test_the_error_goes_to_the_file_of_the_invocation(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGRAFT_INVOCATION", "toy-1")
    supervise.report_error(workspace, DataRejected("bad rows"))
    assert isinstance(supervise.read_error(workspace.error_file("toy-1")), DataRejected)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('@@ {"event": "progress", "done": 1}', {"event": "progress", "done": 1}),
        ('@@ {"done": 1}', None),
        ('@@ {"event": "prog@@ {"event"', None),
        ("@@ [1]", None),
        ("Running stage 'count@toy':", None),
    ],
)
def test_only_whole_events_are_events(line: str, event: object) -> None:
    assert parse_event(line) == event


def test_a_run_id_names_its_pipeline_and_second() -> None:
    name, at, unique = new_run_id("own_data").split("-")
    assert (name, len(at), len(unique)) == ("own_data", len("20260101T000000"), 6)


def test_a_pipeline_in_use_is_a_conflict_that_names_the_pid(workspace: Workspace) -> None:
    with run_lock(workspace, "toy"), pytest.raises(Conflict, match=rf"\(pid {os.getpid()}\)"), run_lock(workspace, "toy", wait=False):
        pass


def test_two_pipelines_do_not_wait_for_each_other(workspace: Workspace) -> None:
    with run_lock(workspace, "one", wait=False), run_lock(workspace, "two", wait=False):
        pass


LOCK = """schema: '2.0'
stages:
  count@toy:
    cmd: regraft step count --pipeline toy --step-version 1
    deps:
    - path: in.txt
      hash: md5
      md5: 12345678901234567890123456789012
      size: 5
    params:
      pipelines/resolved/toy.yaml:
        count:
          links: 200
          fault: ''
    outs:
    - path: artifacts/toy/count/out
      hash: md5
      md5: 79a1efc7f04b31a6bb95e20cd30bc163.dir
      size: 64
      nfiles: 1
"""


def test_whatever_is_left_of_a_cut_off_dvc_lock_dvc_reads_it_or_we_do_not(tmp_path: Path) -> None:
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    path, accepted = tmp_path / "dvc.lock", 0
    for length in range(len(LOCK) + 1):
        path.write_text(LOCK[:length])
        if is_whole(path):
            accepted += 1
            try:
                COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(LOCK[:length]))
            except Invalid as refusal:
                pytest.fail(f"DVC refuses the first {length} characters: {refusal}")
    assert accepted > 10


def test_a_half_written_dvc_lock_is_set_aside_and_said(workspace: Workspace) -> None:
    (workspace.root / "dvc.lock").write_text(LOCK[:36])
    (said,) = repair(workspace)
    assert said.startswith("dvc.lock was half-written and is set aside (.regraft/broken/dvc.lock-")
    assert not (workspace.root / "dvc.lock").exists()
    assert next((workspace.scratch / "broken").iterdir()).read_text() == LOCK[:36]
    assert repair(workspace) == []


def test_a_path_held_by_a_pid_that_is_not_dvc_any_more_is_free(workspace: Workspace) -> None:
    table = workspace.root / ".dvc" / "tmp" / "rwlock"
    table.parent.mkdir(parents=True)
    entry = {"pid": os.getppid(), "cmd": "dvc repro"}  # alive, and not DVC: the pid was given out again
    table.write_text(json.dumps({"write": {"/a": entry}, "read": {"/b": [entry]}}))
    assert repair(workspace) == []
    assert json.loads(table.read_text()) == {"write": {}, "read": {}}


def test_a_half_written_table_of_busy_paths_is_removed(workspace: Workspace) -> None:
    table = workspace.root / ".dvc" / "tmp" / "rwlock"
    table.parent.mkdir(parents=True)
    table.write_text('{"write": {"/a": {"pid"')
    assert repair(workspace) == ["DVC's table of busy paths was half-written and is removed"]
    assert not table.exists()
