"""What a watcher makes of a run's events, as they are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution.events import WINDOW, Recorder, RunSeen, Watch, events_file, run_at_work

RUN = "demo-20260101T000000-abcdef"
HOLD = """
import sys
from pathlib import Path
from regraft.execution.events import Recorder
record = Recorder(Path(sys.argv[1]))
record({"event": "run_started", "run": "r"})
print("held", flush=True)
sys.stdin.read()
"""


def added(*events: dict[str, object]) -> RunSeen:
    seen = RunSeen(RUN)
    for event in events:
        seen.add(event)
    return seen


START = {"at": 100.0, "event": "step_started", "step": "pretrain"}


def progress(at: float, done: int, total: int = 100) -> dict[str, object]:
    return {"at": at, "event": "progress", "step": "pretrain", "done": done, "total": total, "unit": "steps", "metrics": {}}


def test_time_left_follows_from_the_speed_of_the_last_half_minute():
    slow, fast = [progress(100 + at, at) for at in range(1, 11)], [progress(110 + WINDOW + at, 10 + 2 * at) for at in range(1, 11)]
    step = added(START, *slow, *fast).current
    assert step is not None
    assert step.speed == pytest.approx(2.0)
    assert step.left(110 + WINDOW + 10) == pytest.approx((100 - 30) / 2)
    assert step.left(110 + WINDOW + 15) == pytest.approx((100 - 30) / 2 - 5), "the clock runs on between two events"


def test_a_step_that_goes_on_from_a_checkpoint_gets_no_speed_for_what_was_done_before():
    resumed = {"at": 101.0, "event": "resume", "step": "pretrain", "message": "continues", "done": 80, "total": 100}
    step = added(START, resumed, progress(103.0, 90)).current
    assert step is not None
    assert (step.done, step.speed) == (90, 5.0)


def test_one_point_gives_no_time_left():
    step = added(START, progress(101.0, 5)).current
    assert step is not None
    assert (step.speed, step.left(102.0)) == (None, None)


BEGIN = {"at": 99.0, "event": "run_started", "expected": {"contract": 20.0, "pretrain": 100.0, "score": 10.0}}
CONTRACT = [{"at": 99.0, "event": "step_started", "step": "contract"}, {"at": 139.0, "event": "step_finished", "step": "contract"}]


def finished(**how: object) -> list[dict[str, object]]:
    return [CONTRACT[0], {**CONTRACT[1], **how}]


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([], 130.0),
        (finished(state="cached", seconds=0.4), 110.0),
        (finished(state="computed", seconds=40.0), 220.0),  # twice as long as estimated, and so will the others
        ([*finished(state="computed", seconds=40.0), {**START, "at": 150.0}], 210.0),  # 10 of the 200 seconds are over
        ([*finished(state="cached", seconds=0.4), {**START, "at": 150.0}, progress(150.0, 10), progress(160.0, 20)], 90.0),
    ],
)
def test_what_is_left_of_a_run_is_stretched_by_how_long_its_steps_took(events, left):
    assert added(BEGIN, *events).left(160.0) == pytest.approx(left)


@pytest.mark.parametrize("expected", [None, {"contract": None, "pretrain": 100.0}])
def test_where_a_step_to_come_was_not_estimated_nothing_is_said_of_the_run(expected):
    assert added({**BEGIN, "expected": expected}).left(160.0) is None


def test_nothing_is_left_of_a_run_that_is_over():
    assert added(BEGIN, {"at": 160.0, "event": "result", "sentence": "done"}).left(161.0) is None


@pytest.mark.parametrize(
    ("events", "alive", "state", "last"),
    [
        ([], True, "running", ""),
        ([], False, "stopped", ""),
        ([{"at": 2, "event": "error", "message": "disk full"}], False, "failed", "disk full"),
        ([{"at": 2, "event": "verdict", "outcome": "fail"}, {"at": 3, "event": "result", "sentence": "lost"}], False, "done", "lost"),
        ([{"at": 2, "event": "verdict", "outcome": "pass"}, {"at": 3, "event": "error", "message": "moved"}], False, "failed", "moved"),
        ([{"at": 2, "event": "of a later release"}], True, "running", ""),
    ],
)
def test_how_a_run_ended(events, alive, state, last):
    seen = added(*events)
    seen.alive = alive
    assert (seen.state, seen.last) == (state, last)


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path):
    workspace = Workspace(tmp_path)
    path = events_file(workspace, RUN)
    line = json.dumps(START) + "\n"
    files.write_text(path, line[:20])
    watch = Watch(workspace, "demo")
    assert watch.look().steps == {}  # type: ignore[union-attr]
    files.write_text(path, line + "torn by a full disk\n" + json.dumps(progress(101.0, 7)) + "\n")
    assert watch.look().current.done == 7  # type: ignore[union-attr]


def test_the_newest_run_is_watched_and_other_pipelines_are_not(tmp_path):
    workspace = Workspace(tmp_path)
    for name in ("demo-20260102T000000-000000", "demo-20260103T000000-aaaaaa", "demo2-20260104T000000-000000"):
        Recorder(events_file(workspace, name))({"event": "run_started", "run": name})
    assert Watch(workspace, "demo").look().run == "demo-20260103T000000-aaaaaa"  # type: ignore[union-attr]
    assert Watch(workspace, "other").look() is None


def test_a_killed_run_is_seen_to_be_gone(tmp_path):
    path = events_file(Workspace(tmp_path), RUN)
    watch = Watch(Workspace(tmp_path), "demo")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert watch.look().state == "running"  # type: ignore[union-attr]
        process.kill()
        process.wait()
        assert watch.look().state == "stopped"  # type: ignore[union-attr]


def test_a_run_goes_on_where_its_events_cannot_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    record = Recorder(tmp_path / "logs" / f"{RUN}.events.jsonl")
    record({"event": "run_started"})
    record.close()
    full = Recorder(Path("/dev/full"))
    full({"event": "run_started"})
    full.close()


def test_the_run_that_is_alive_is_the_newest_whatever_the_clock_said(tmp_path):
    workspace = Workspace(tmp_path)
    for run in ("demo-20300101T000000-aaaaaa", "demo-20260101T000000-bbbbbb"):  # the clock was set back in between
        record = Recorder(events_file(workspace, run))
        record({"event": "run_started", "run": run})
        assert run_at_work(workspace, "demo").run == run
        if run.startswith("demo-2030"):
            record.close()
    record.close()
    assert run_at_work(workspace, "demo") is None
