"""A run's processes and what they say, with real DVC and a step that only counts; see toyspace.py."""

from __future__ import annotations

import os
import runpy
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HELP = runpy.run_path(str(Path(__file__).parents[1] / "toyspace.py"))
Toy = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Toy]:
    made = []

    def build(**options: Any) -> Any:
        made.append(HELP["Toy"](tmp_path / f"w{len(made)}", **options))
        return made[-1]

    yield build
    for space in made:
        for pid in space.descendants().values():
            os.kill(pid, signal.SIGKILL)


def test_a_step_that_did_not_change_is_cached_and_names_the_run_that_computed_it(make: Toy) -> None:
    toy = make(links=10)
    first = toy.start()
    assert first.end() == 0
    second = toy.start()
    assert second.end() == 0
    (finished,) = [event for event in second.events if event["event"] == "step_finished"]
    assert (finished["state"], finished["from_run"]) == ("cached", first.events[-1]["run"])
    assert not [event for event in second.events if event["event"] == "step_started"]


def test_what_a_step_says_when_it_fails_arrives_whole(make: Toy) -> None:
    toy = make()
    toy.configure(fault="typed")
    run = toy.start()
    assert run.end() == 3
    raised = run.events[-1]
    assert (raised["error"], raised["message"]) == ("DataRejected", "row 3 is bad")
    assert raised["problems"] == [{"file": "in.txt", "row": 3, "column": "text"}]
    assert "Traceback" not in run.errors


def test_a_step_that_crashes_is_an_internal_error_that_names_the_log(make: Toy) -> None:
    toy = make()
    toy.configure(fault="crash")
    run = toy.start()
    assert run.end() == 1
    message = run.events[-1]["message"]
    said, _, log = message.partition("; the traceback is in ")
    assert said == "step 'count' failed: internal error, ZeroDivisionError: boom"
    assert 'raise ZeroDivisionError("boom")' in Path(log).read_text()


def test_a_second_run_waits_or_is_told_the_pid_of_the_first(make: Toy) -> None:
    toy = make(links=4000)
    first = toy.start()
    first.until("progress")
    hasty = toy.start("toy", "--no-wait")
    assert hasty.end() == 7
    assert hasty.events[-1]["message"] == f"a run of 'toy' is in progress (pid {first.process.pid})"
    patient = toy.start()
    assert patient.until("waiting")["pid"] == first.process.pid
    toy.hurry()
    assert (first.end(), patient.end()) == (0, 0)
    assert patient.events[-1]["cached"]


def test_two_pipelines_run_at_once_in_one_workspace(make: Toy) -> None:
    toy = make(pipelines=("toy", "other"))
    runs = [toy.start("toy"), toy.start("other")]
    assert [run.end() for run in runs] == [0, 0]
    assert [run.events[-1]["cached"] for run in runs] == [False, False]


def test_dvc_busy_elsewhere_delays_a_step_and_does_not_fail_it(make: Toy) -> None:
    import fcntl

    toy = make(links=10)
    lock = toy.root / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = toy.start()
        run.until("run_started")
        time.sleep(5)  # longer than the 3 s that DVC waits by itself
        assert run.process.poll() is None
    assert run.end() == 0


def test_a_half_written_dvc_lock_costs_nothing_but_a_sentence(make: Toy) -> None:
    toy = make(links=10)
    assert toy.start().end() == 0
    lock = toy.root / "dvc.lock"
    lock.write_text(lock.read_text()[:40])
    run = toy.start()
    assert run.end() == 0
    assert run.events[0]["event"] == "warning"
    assert run.events[-1]["cached"], "it comes back from the run cache"


def test_killed_with_its_prefect_server_a_run_leaves_nothing_behind_and_continues(make: Toy) -> None:
    toy, reached = make(links=4000, prefect=True), 0  # one workspace: a fresh Prefect database takes 6 s
    for roles in [("server",), ("cli", "server"), ("flow", "server")]:
        run = toy.start()
        done = run.until("progress")["done"]
        assert done > reached
        reached = done
        run.kill(*roles)
        HELP["wait_until_quiet"](toy, 5.0)
        assert run.end() != 0
        if roles == ("server",):
            assert run.events[-1]["error"] == "EnvironmentFault"
            assert "the Prefect server of this run ended with exit -9" in run.events[-1]["message"]
    toy.hurry()
    last = toy.start()
    assert last.end() == 0
    assert toy.resumed >= reached
    again = toy.start()
    assert again.end() == 0
    assert not toy.descendants(), "a server outlived its run"
    with sqlite3.connect(f"file:{toy.root / 'state' / 'prefect' / 'prefect.db'}?mode=ro", uri=True) as database:
        flows = dict(database.execute("select name, state_name from flow_run").fetchall())
        tasks = [name for (name,) in database.execute("select state_name from task_run order by start_time").fetchall()]
    assert [flows[run.events[-1]["run"]] for run in (last, again)] == ["Completed", "Completed"]
    assert tasks[-2:] == ["Completed", "Cached"]


def rows(path: Path, query: str) -> list[Any]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def test_a_fresh_workspace_copies_prefects_empty_database(make: Toy, tmp_path: Path) -> None:
    spaces = [make(links=10, prefect=True) for _ in range(2)]
    for toy in spaces:
        toy.env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        toy.hurry()
        assert toy.start().end() == 0
    folders = [toy.root / "state" / "prefect" for toy in spaces]
    assert [(folder / "copied").exists() for folder in folders] == [False, True]
    for query in (
        "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name",
        "SELECT version_num FROM alembic_version",
        "SELECT slug FROM block_type ORDER BY slug",
    ):
        made, copied = (rows(folder / "prefect.db", query) for folder in folders)
        assert made == copied != []
    first, second = (rows(folder / "prefect.db", "SELECT name FROM flow_run") for folder in folders)
    assert len(first) == len(second) == 1
    assert first != second


def test_what_the_machine_says_of_prefect_and_proxies_does_not_reach_the_server_of_a_run(make: Toy, tmp_path: Path) -> None:
    toy = make(links=10, prefect=True)
    theirs, home = tmp_path / "theirs.db", tmp_path / "prefect"
    home.mkdir()
    profile = f'active = "mine"\n[profiles.mine]\nPREFECT_SERVER_DATABASE_CONNECTION_URL = "sqlite+aiosqlite:///{theirs}"\n'
    (home / "profiles.toml").write_text(profile)
    (toy.root / ".env").write_text(f"PREFECT_API_DATABASE_CONNECTION_URL=sqlite+aiosqlite:///{theirs}\n")
    nobody = "http://127.0.0.1:9"
    toy.env |= {
        "PREFECT_HOME": str(home), "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{theirs}", "PREFECT_API_KEY": "theirs",
        "HTTP_PROXY": nobody, "https_proxy": nobody, "ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "example.org", "PYTHONSAFEPATH": "1",
    }  # fmt: skip
    toy.hurry()
    assert toy.start().end() == 0
    assert len(rows(toy.root / "state" / "prefect" / "prefect.db", "SELECT name FROM flow_run")) == 1
    assert not theirs.exists()


def test_a_prefect_server_that_does_not_answer_is_said_to_be_that(make: Toy) -> None:
    toy = make(links=1, prefect=True)
    toy.env["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    run = toy.start()
    assert run.end() == 8
    (error,) = [event for event in run.events if event["event"] == "raised"]
    assert error["message"] == "no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api: [Errno 111] Connection refused"
