"""What is said of a first run: its time, from a measurement of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from tinyspace import LAYERS, WIDTH

from regraft.core.cores import workers
from regraft.core.workspace import Workspace
from regraft.execution import composition, first_run, run_cost
from regraft.execution.first_run import FirstRun
from regraft.execution.resolve import resolve
from regraft.execution.run_cost import RunCost, StepCost
from regraft.models.speed import Shape, Speed

SHAPE = Shape(WIDTH, 64, 2, LAYERS)
STEADY = Speed(tokens=1_000.0, python=first_run.PLAIN_PYTHON)


def seconds(workspace: Workspace, step: str, speed: Speed = STEADY, tokens: float | None = None, sets: tuple[str, ...] = ()) -> float:
    """The estimate for ``step`` on a machine as fast as ``speed``."""
    first_run.keep(workspace, SHAPE, workers(2), speed)
    values = resolve(workspace, "tiny", sets)
    estimated = FirstRun(workspace, values).seconds(composition.step_in(workspace, values, step), tokens)
    assert estimated is not None
    return estimated


def test_the_machine_is_measured_by_a_process_of_its_own_and_the_answer_is_kept(tiny: Workspace) -> None:
    (tiny.scratch / first_run.KEPT).unlink()
    values = resolve(tiny, "tiny")
    step = composition.step_in(tiny, values, "finetune-base")
    assert (FirstRun(tiny, values).seconds(step, None) or 0) > 0
    kept = first_run.kept(tiny, SHAPE, workers(2))
    assert kept is not None
    assert kept.tokens > 0
    assert kept.python > 0


def test_what_was_measured_for_another_model_or_an_hour_ago_does_not_hold(tiny: Workspace) -> None:
    first_run.keep(tiny, SHAPE, 2, STEADY)
    assert first_run.kept(tiny, SHAPE, 2) == STEADY
    assert first_run.kept(tiny, replace(SHAPE, layers=12), 2) is None
    assert first_run.kept(tiny, SHAPE, 1) is None
    first_run.keep(tiny, SHAPE, 2, STEADY, at=time.time() - first_run.HOLDS)
    assert first_run.kept(tiny, SHAPE, 2) is None
    (tiny.scratch / first_run.KEPT).write_text("torn")
    assert first_run.kept(tiny, SHAPE, 2) is None


def test_a_training_takes_longer_on_a_slower_machine_and_with_more_epochs_or_tokens(tiny: Workspace) -> None:
    usual, slow = seconds(tiny, "finetune-base"), seconds(tiny, "finetune-base", replace(STEADY, tokens=100.0))
    fixed = (10 * usual - slow) / 9
    assert slow - fixed == pytest.approx(10 * (usual - fixed))
    assert seconds(tiny, "finetune-base", sets=("finetune.epochs=4",)) - fixed == pytest.approx(2 * (usual - fixed))
    assert seconds(tiny, "pretrain", tokens=2_000) < seconds(tiny, "pretrain", tokens=4_000)


def test_what_reads_data_takes_longer_where_python_is_slower_or_the_data_are_more(tiny: Workspace) -> None:
    usual = seconds(tiny, "corpus")
    assert seconds(tiny, "corpus", replace(STEADY, python=2 * STEADY.python)) == pytest.approx(2 * usual)
    with (tiny.root / "data" / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"text": "salt " * 200}) + "\n" * 1_000_000)
    assert seconds(tiny, "corpus") > usual + 0.2


def test_a_step_that_says_nothing_is_unknown(tiny: Workspace) -> None:
    values = resolve(tiny, "tiny")
    step = composition.step_in(tiny, values, "contract")
    assert FirstRun(tiny, values).seconds(replace(step, cost=replace(step.cost, first=None)), None) is None


def cost(*minutes: float | None, guessed: bool = True) -> RunCost:
    return RunCost(tuple(StepCost(f"step{n}", None, each, 1, 1, "", guessed) for n, each in enumerate(minutes)), 1)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (cost(2.0, 1.0), "takes about 3 min on this machine ("),
        (cost(2.0, guessed=False), "as earlier runs did"),
        (cost(2.0, None), "takes more than 2 min"),
        (cost(2.0, None), "how long step1 will take is not known before a first run"),
        (cost(None), "how long this takes on this machine"),
    ],
)
def test_a_run_says_at_its_start_how_long_it_will_take(known: RunCost, told: str) -> None:
    assert told in (run_cost.sentence(known) or "")


@pytest.mark.parametrize("known", [cost(), cost(0.1)])
def test_of_a_run_of_seconds_nothing_is_said(known: RunCost) -> None:
    assert run_cost.sentence(known) is None


def test_a_shape_is_read_in_the_words_of_each_family(tiny: Workspace) -> None:
    folder = tiny.root / "models" / "tiny"
    assert Shape.of(folder) == SHAPE
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None}))
    assert Shape.of(folder) == Shape(768, 3072, 12, 12)
    (folder / "config.json").write_text(json.dumps({"model_type": "new"}))
    assert Shape.of(folder) is None


def test_a_measurement_that_fails_is_no_measurement(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert first_run._measured(SHAPE, 1) is None


def test_the_measuring_process_says_a_speed_for_each_number_of_processes() -> None:
    argv = [sys.executable, "-m", "regraft.models.speed", json.dumps(SHAPE.__dict__), "2"]
    told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ}).stdout)
    assert told["tokens"] > 0
