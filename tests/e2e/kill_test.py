"""Kill -9 any process of a run, singly or together: nothing writes 5 s later, and the next run continues.

The runs are real (CLI, flow process, DVC, step, over the lifeline), the step only counts; see toyspace.py.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import runpy
import signal
import time
from pathlib import Path
from typing import Any

import pytest

HELP = runpy.run_path(str(Path(__file__).parents[1] / "toyspace.py"))
ROLES = ("cli", "flow", "dvc", "starter", "client", "keeper", "step", "steps")
_IN_ROUND = dict(zip(ROLES, itertools.combinations(range(5), 3), strict=False))
"""Any two sets of three rounds out of five overlap and differ: of every two roles, one round kills both and one only either."""
ROUNDS = [tuple(role for role in ROLES if n in _IN_ROUND[role]) for n in range(5)]
SHARP = [*((role,) for role in ROLES if role != "starter"), ROLES]
"""Each process alone, and all at once; a run does not need the starter once it has started DVC."""
WITHOUT_SERVER = [("step",), ("dvc",), ("flow", "dvc"), ("cli", "flow", "dvc"), ("cli", "flow", "dvc", "step")]


def expected(links: int) -> str:
    """The chain, walked without interruption."""
    state = ""
    for link in range(1, links + 1):
        state = hashlib.sha256(f"{state}{link}".encode()).hexdigest()
    return state


@pytest.fixture
def toy(tmp_path: Path) -> Any:
    space = HELP["Toy"](tmp_path / "w", links=4000)
    yield space
    for pid in space.descendants().values():
        os.kill(pid, signal.SIGKILL)


def beats(toy: Any) -> list[tuple[int, float]]:
    """Who wrote, and when, in the order in which they wrote."""
    path = toy.root / ".regraft" / "heartbeats"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]


def assert_one_writer_at_a_time(toy: Any) -> None:
    writers = [pid for pid, _ in itertools.groupby(pid for pid, _ in beats(toy))]
    assert len(writers) == len(set(writers)), "two steps wrote at the same time"


def assert_it_ends_with_the_same_bits(toy: Any) -> None:
    toy.hurry()
    last = toy.start()
    assert last.end() == 0, last.errors
    assert toy.state == expected(4000)
    assert_one_writer_at_a_time(toy)


@pytest.mark.parametrize(
    ("switch", "combinations"),
    [
        pytest.param("1", SHARP, id="step server"),
        pytest.param("1", ROUNDS, id="pairs", marks=pytest.mark.release("each process alone, and all at once")),
        pytest.param("0", WITHOUT_SERVER, id="without", marks=pytest.mark.release("the same kills with the step server")),
    ],
)
def test_after_kills_of_any_processes_the_run_continues_and_ends_with_the_same_bits(
    toy: Any, switch: str, combinations: list[tuple[str, ...]]
) -> None:
    reached = 0
    toy.env["REGRAFT_STEP_SERVER"] = switch
    for roles in combinations:
        run = toy.start()
        done = run.until("progress")["done"]
        assert set(roles) <= toy.descendants().keys(), "the matrix names a process that a run does not have"
        assert done > reached, f"{roles}: the run began again instead of continuing from {reached}"
        reached = done
        killed = time.time()
        run.kill(*roles)
        HELP["wait_until_quiet"](toy, 5.0)
        assert run.end() != 0
        assert beats(toy)[-1][1] < killed + 5
    assert_it_ends_with_the_same_bits(toy)
    assert toy.resumed >= reached


def test_the_dvc_of_a_starter_that_is_killed_goes_on(toy: Any) -> None:
    run = toy.start()
    run.until("progress")
    run.kill("starter")
    toy.hurry()
    assert run.end() == 0, run.errors
    assert toy.state == expected(4000)
    assert not toy.descendants()


def test_killed_at_any_moment_of_its_start_a_run_leaves_nothing_that_stops_the_next(toy: Any) -> None:
    for tenth in range(1, 16, 2):  # the step is at work after about 1.5 s
        run = toy.start()
        time.sleep(tenth / 10)
        run.kill(*(toy.descendants() if tenth % 4 == 1 else ["cli"]))
        HELP["wait_until_quiet"](toy, 5.0)
        assert run.end() == -signal.SIGKILL
    assert_it_ends_with_the_same_bits(toy)


def test_killed_while_dvc_takes_the_output_the_step_is_not_computed_again(toy: Any) -> None:
    toy.hurry()
    run = toy.start()
    while run.until("progress")["done"] < 4000:
        pass
    run.kill("cli", "flow", "dvc")
    HELP["wait_until_quiet"](toy, 5.0)
    run.end()
    assert_it_ends_with_the_same_bits(toy)
    assert toy.resumed in (0, 4000)
    assert len(beats(toy)) == 4000, "links were walked twice"


def test_a_step_that_is_deaf_in_native_code_goes_too(toy: Any) -> None:
    toy.configure(links=4000, fault="deaf")
    run = toy.start()
    run.until("progress")
    run.kill("cli", "flow")
    HELP["wait_until_quiet"](toy, 5.0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_a_run_writes_its_checkpoint_first(toy: Any, number: int, code: int) -> None:
    run = toy.start()
    done = run.until("progress")["done"]
    run.kill("cli", number=number)
    assert run.end() == code
    assert run.events[-1]["sentence"] == f"stopped by {signal.Signals(number).name}; `regraft run toy` continues"
    assert not toy.descendants()
    walked = len(beats(toy))
    assert_it_ends_with_the_same_bits(toy)
    assert toy.resumed == walked > done, "links walked after the last regular checkpoint were lost"
