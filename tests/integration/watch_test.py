"""What ``status --watch`` draws, and what it says where there is no terminal."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from rich.console import Console, Group
from services import PATIENCE

from regraft.cli.watch import _pipeline
from regraft.execution.events import Recorder, RunSeen, events_file

RUN = "tiny-20260101T000000-abcdef"
ORDER = ["contract", "pretrain", "score"]
EVENTS = [
    {"at": 100.0, "event": "run_started", "run": RUN},
    {"at": 101.0, "event": "step_finished", "step": "contract", "state": "cached", "seconds": 0.4},
    {"at": 102.0, "event": "step_started", "step": "pretrain"},
    {"at": 103.0, "event": "progress", "step": "pretrain", "done": 10, "total": 100, "unit": "steps"},
    {"at": 113.0, "event": "progress", "step": "pretrain", "done": 30, "total": 100, "unit": "steps"},
]
DECIDED = [
    *(
        {"at": 120.0, "event": "step_finished", "step": step, "state": "computed", "seconds": 9.9}
        for step in ("pretrain", "score")
    ),
    {"at": 121.0, "event": "verdict", "outcome": "inconclusive", "findings": []},
    {"at": 122.0, "event": "result", "sentence": "that does not decide", "exit": 5},
]  # fmt: skip


def drawn(events: list[dict[str, object]], now: float, alive: bool = True, width: int = 120) -> list[str]:
    seen = RunSeen(RUN, alive=alive)
    for event in events:
        seen.add(event)
    text = io.StringIO()
    console = Console(file=text, width=width)
    console.print(Group(*_pipeline("tiny", seen, ORDER, now, console.width)))
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_the_step_at_work_has_progress_speed_and_time_left():
    lines = drawn(EVENTS, now=113.0)
    assert lines[0] == f"{RUN} running, 0:00:13"
    assert lines[2] == "contract cached"
    assert lines[3].startswith("pretrain 0:00:11")
    assert lines[3].endswith("30 % 2.0 steps/s 0:00:35")
    assert lines[4:] == ["score waits", "decide waits"]


BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}\N{BOX DRAWINGS HEAVY LEFT}"
AT_LENGTH = [
    {"at": 100.0, "event": "run_started", "run": RUN},
    {"at": 102.0, "event": "step_started", "step": "finetune-base"},
    {"at": 36_100.0, "event": "progress", "step": "finetune-base", "done": 89_000, "total": 90_000, "unit": "steps", "tokens": 2048},
    {"at": 36_104.0, "event": "progress", "step": "finetune-base", "done": 89_400, "total": 90_000, "unit": "steps", "tokens": 2048},
]


@pytest.mark.parametrize("width", [68, 80, 99, 100, 120])
def test_a_narrow_terminal_loses_the_bar_and_no_number(width):
    (line,) = (line for line in drawn(AT_LENGTH, now=36_104.0, width=width) if line.startswith("finetune-base"))
    assert line.translate(dict.fromkeys(map(ord, BAR))).split() == [
        "finetune-base", "10:00:02", "99", "%", "204,800", "tokens/s", "0:00:06"
    ]  # fmt: skip
    assert (BAR[0] in line) == (width >= 100)


def test_beside_a_long_name_the_speed_goes_before_the_time_left_is_cut():
    name = "finetune-long_training_with_small_rate"
    events = [{**event, "step": name} if "step" in event else event for event in AT_LENGTH]
    (line,) = (line for line in drawn(events, now=36_104.0, width=80) if line.startswith(name))
    assert line.split() == [name, "10:00:02", "99", "%", "0:00:06"]


def test_after_the_last_step_the_decision_is_at_work():
    assert drawn([*EVENTS, *DECIDED[:2]], now=120.5)[-1] == "decide at work"


def test_a_run_that_is_over_shows_its_verdict_and_last_words():
    lines = drawn([*EVENTS, *DECIDED], now=900.0, alive=False)
    assert lines[0] == f"{RUN} done, 0:00:22"
    assert lines[-2:] == ["decide INCONCLUSIVE", "that does not decide"]


def test_a_run_that_was_killed_is_not_shown_as_running():
    lines = drawn(EVENTS, now=900.0, alive=False)
    assert (lines[0], lines[3]) == (f"{RUN} stopped", "pretrain stopped")


def test_a_pipeline_without_a_run_says_so():
    text = io.StringIO()
    Console(file=text, width=120).print(Group(*_pipeline("tiny", None, ORDER, 0.0, 120)))
    assert " ".join(text.getvalue().split()) == "tiny no run has been seen here"


def test_without_a_terminal_every_step_is_a_line_and_the_watch_ends_with_the_run(cli, tiny):
    record = Recorder(events_file(tiny, RUN))
    for event in [*EVENTS, *DECIDED]:
        record(event)
    record.close()
    said = cli("status", "tiny", "--watch")
    assert said.code == 0
    assert [line.removeprefix(f"{RUN} ") for line in said.out.splitlines()] == [
        "started", "contract started", "contract cached", "pretrain started", "pretrain computed in 9.9 s", "score started",
        "score computed in 9.9 s", "verdict INCONCLUSIVE", "done: that does not decide",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        ("status --watch", 0, "no run has been seen here"),
        ("status nope --watch", 2, "no pipeline 'nope'"),
        ("status --watch --json", 2, "regraft status --json"),
    ],
)
def test_a_watch_that_sees_nothing_says_why(argv, code, text, cli, tiny):
    said = cli(*argv.split())
    assert (said.code, text in said.out + said.err) == (code, True)


def test_on_a_terminal_it_draws_until_ctrl_c_which_is_no_error(tiny):
    record = Recorder(events_file(tiny, RUN))
    for event in EVENTS:
        record(event)
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen([sys.executable, "-m", "regraft", "status", "--watch"], cwd=tiny.root, env=env, stdout=theirs) as process:
        os.close(theirs)
        seen, deadline = "", time.monotonic() + PATIENCE
        while "steps/s" not in seen:
            assert time.monotonic() < deadline, seen
            seen += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # EIO once it has ended
            while os.read(ours, 4096):  # a terminal that nobody reads is full at some time, and the last frame waits
                pass
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    record.close()
    assert RUN in seen
