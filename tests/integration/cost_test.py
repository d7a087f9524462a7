"""What a run will cost, from records that lie where DVC keeps them; no DVC runs."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from regraft.core import files
from regraft.core.cores import cores, device, workers
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import composition, run_cost
from regraft.execution.plan import Assessment, StepState
from regraft.execution.resolve import resolve
from regraft.execution.run_cost import RunCost, StepCost, estimate, require_room
from regraft.models import base_model

SIZES = {"rows": 1000, "labels": 10, "splits": 500, "encoder": 90_000, "labelled": 11_000, "tokens": 4000}


@pytest.fixture
def model(tiny: Workspace) -> int:
    """Bytes of the tiny model in fp32, with its tokenizer."""
    folder = tiny.root / "models" / "tiny"
    return sum(path.stat().st_size for path in folder.iterdir())


def remember(workspace: Workspace, step: str, model: int, *, pipeline: str = "tiny", lock: bool = True, **said: Any) -> None:
    """Leave one earlier run of ``step``: an entry of dvc.lock or of the run cache, and its record in DVC's cache."""
    params = resolve(workspace, "tiny")[step]
    record = {"run": f"{pipeline}-1", "started": "2026-01-01", "seconds": 60.0, "device": device(), "threads": cores(), "params": params}
    definition = composition.step_in(workspace, resolve(workspace, "tiny"), step)
    inputs = {name: {"path": f"artifacts/{pipeline}/{name}"} for name in definition.sources}
    record = {**record, "inputs": inputs, "metrics": {"tokens": 2000, "head_steps": 2}} | said
    path = workspace.root / "record.json"
    files.write_json(path, record)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    cache = workspace.root / ".dvc" / "cache"
    (cache / "files" / "md5" / md5[:2]).mkdir(parents=True, exist_ok=True)
    shutil.move(path, cache / "files" / "md5" / md5[:2] / md5[2:])
    home = f"artifacts/{pipeline}/{step}"
    outs = [{"path": f"{home}/out", "md5": "0.dir", "size": model}, {"path": f"{home}/record.json", "md5": md5, "size": 1}]
    deps = [{"path": item["path"], "size": SIZES[name.partition(".")[0]]} for name, item in record["inputs"].items()]
    entry = {
        "cmd": f"regraft step {step} --pipeline {pipeline} --step-version {definition.version}",
        "deps": deps,
        "outs": outs,
    }
    if lock:
        path = workspace.root / "dvc.lock"
        stages = yaml.safe_load(path.read_text())["stages"] if path.is_file() else {}
        files.write_text(path, yaml.safe_dump({"schema": "2.0", "stages": {**stages, f"{step}@{pipeline}": entry}}))
    else:
        files.write_text(cache / "runs" / "ab" / md5 / md5, yaml.safe_dump(entry))


def costs(workspace: Workspace, *names: str, sets: tuple[str, ...] = ()) -> dict[str, StepCost]:
    """The estimate where ``names`` run."""
    values = resolve(workspace, "tiny", sets)
    states = [
        StepState(step.name, "stale" if step.name in names else "fresh", (), True) for step in composition.steps_in(workspace, values)
    ]
    found = estimate(workspace, "tiny", values, Assessment(tuple(states), None))
    return {step.name: step for step in found.steps}


def test_without_records_times_follow_from_the_data_and_the_speed_of_the_machine(tiny: Workspace, model: int) -> None:
    found = costs(tiny, *(step.name for step in composition.steps_in(tiny, resolve(tiny, "tiny"))))
    assert {step.guessed for step in found.values()} == {True}
    assert all(step.minutes and step.minutes < 0.2 for step in found.values())
    assert found["contract"].disk_bytes is None
    assert found["contract"].based_on == "time from the size of the data and the speed of this machine, as it never ran here; disk unknown"
    # What a training keeps follows from its model: two copies of it, and three checkpoints of weights and two moments.
    assert found["pretrain"].disk_bytes == pytest.approx((2 + 9) * model, rel=0.1)
    assert found["pretrain"].tokens == 2500


@pytest.mark.parametrize(
    ("step", "assignment", "factor"),
    [
        ("finetune-adapted", "finetune.epochs=6", 3),
        ("finetune-base", "finetune.epochs=1", 0.5),
        ("finetune-adapted", "finetune.learning_rate=0.1", 1),
        ("pretrain", "pretrain.budget_tokens=9500", 4),
        ("pretrain", "pretrain.learning_rate=0.1", 1),
    ],
)
def test_time_grows_with_the_tokens_trained_on(tiny: Workspace, model: int, step: str, assignment: str, factor: float) -> None:
    remember(tiny, step, model)
    found = costs(tiny, step, sets=(assignment,))[step]
    assert found.minutes == pytest.approx(factor)
    assert found.tokens == pytest.approx(factor * (2500 if step == "pretrain" else 2000))
    assert found.based_on.startswith("time by tokens, from tiny-1; ")


def test_time_grows_with_the_data_and_so_does_that_of_the_steps_behind(tiny: Workspace, model: int) -> None:
    data = tiny.root / "data" / "rows.jsonl"
    remember(tiny, "contract", 100, inputs={"labelled": {"path": "artifacts/tiny/labelled"}})
    remember(tiny, "finetune-adapted", model)
    before = SIZES["labelled"]
    data.write_bytes((b"x" * 99 + b"\n") * (3 * before // 100))
    found = costs(tiny, "contract", "finetune-adapted")
    assert found["contract"].minutes == pytest.approx(3)
    assert found["contract"].disk_bytes == 2 * 300
    assert found["finetune-adapted"].tokens == 6000
    assert found["finetune-adapted"].minutes == pytest.approx(3)


@pytest.mark.parametrize(("made_from", "factor"), [(("labelled",), 4), (("labelled.0", "labelled.1"), 2)])
def test_time_grows_with_all_files_of_an_input_however_many_it_had(tiny: Workspace, made_from: tuple[str, ...], factor: int) -> None:
    remember(tiny, "contract", 100, inputs={name: {"path": f"artifacts/tiny/{name}"} for name in made_from})
    for name in ("rows.jsonl", "more.jsonl"):
        (tiny.root / "data" / name).write_bytes(b"x" * 2 * SIZES["labelled"])
    found = costs(tiny, "contract", sets=("data.labelled=[data/rows.jsonl,data/more.jsonl]",))
    assert found["contract"].minutes == pytest.approx(factor)


@pytest.mark.parametrize(
    "other",
    [
        {"threads": 99},
        {"threads": 1, "shards": 2, "workers": 99},
        {"device": "tpu"},
        {"params": {"of": "another version"}},
        {"seconds": 0.0},
    ],
    ids=lambda other: list(other)[-1],
)
def test_records_of_another_machine_or_step_tell_no_time(tiny: Workspace, model: int, other: dict[str, Any]) -> None:
    remember(tiny, "pretrain", model, **other)
    assert costs(tiny, "pretrain")["pretrain"].guessed


def test_a_training_in_shards_tells_the_time_where_as_many_cores_would_share_it(tiny: Workspace, model: int) -> None:
    remember(tiny, "pretrain", model, threads=1, shards=2, workers=workers(2))
    assert not costs(tiny, "pretrain")["pretrain"].guessed


def test_a_model_of_another_size_tells_no_time(tiny: Workspace, model: int) -> None:
    remember(tiny, "pretrain", 4 * model)
    assert costs(tiny, "pretrain")["pretrain"].guessed


def test_the_median_of_the_runs_nearest_in_work_is_taken_whatever_their_pipeline(tiny: Workspace, model: int) -> None:
    remember(tiny, "pretrain", model, run="tiny-9", started="2026-01-09")
    for number, seconds in ((2, 30.0), (3, 600.0)):
        remember(tiny, "pretrain", model, lock=False, pipeline="other", run=f"other-{number}", seconds=seconds)
    far = resolve(tiny, "tiny", ["pretrain.budget_tokens=2000000"])["pretrain"]
    remember(tiny, "pretrain", model, lock=False, run="tiny-far", params=far, seconds=1.0)
    found = costs(tiny, "pretrain")["pretrain"]
    assert found.minutes == pytest.approx(1)
    assert "tiny-far" not in found.based_on


def test_a_broken_entry_of_the_run_cache_is_left_out(tiny: Workspace, model: int) -> None:
    remember(tiny, "pretrain", model)
    files.write_text(tiny.root / ".dvc/cache/runs/ab/cd/ef", "cmd: regraft step pretrain --pipeline tiny --step-version 1\nouts: [")
    assert costs(tiny, "pretrain")["pretrain"].minutes == pytest.approx(1)


def step_cost(disk: int | None, kept: int | None, minutes: float | None = 1.0) -> StepCost:
    return StepCost("s", None, minutes, disk, kept, "")


def test_a_run_needs_what_stays_and_the_checkpoints_of_one_step_at_a_time() -> None:
    total = RunCost((step_cost(1100, 200), step_cost(1500, 300), step_cost(50, 50)), 1000, registry_bytes=100)
    assert total.disk_bytes == 200 + 300 + 50 + 1200 + 100
    assert total.minutes == 3
    unknown = RunCost((step_cost(None, None, None), step_cost(70, 70)), 1000)
    assert (unknown.minutes, unknown.disk_bytes, unknown.unknown, unknown.partly) == (None, 70, ("s",), True)
    assert RunCost((), 0).disk_bytes is None


def test_a_run_is_refused_below_what_it_needs_and_not_at_it(tmp_path: Path) -> None:
    total = RunCost((step_cost(3_000_000, 1000),), 3_000_000)
    require_room(total, Workspace(tmp_path))
    require_room(replace(total, steps=(step_cost(None, None),), free_bytes=0), Workspace(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"needs about 3 MB of disk, 3 MB are free") as refused:
        require_room(replace(total, free_bytes=2_999_999), Workspace(tmp_path))
    assert (refused.value.exit_code, refused.value.fix) == (8, "regraft gc")


def test_the_parameters_of_a_model_are_counted_from_its_header(tiny: Workspace) -> None:
    from safetensors.numpy import load_file

    folder = tiny.root / "models" / "tiny"
    assert base_model.parameters(folder) == sum(value.size for value in load_file(folder / "model.safetensors").values())


def test_two_kept_checkpoints_and_one_being_written_is_what_the_trainer_does() -> None:
    from regraft.training import checkpoint

    assert run_cost.CHECKPOINTS == checkpoint.KEPT + 1


def test_further_seeds_cost_as_many_fine_tunings_and_keep_no_model(tiny: Workspace, model: int) -> None:
    remember(tiny, "finetune-adapted", model)
    path = tiny.root / "pipelines" / "tiny.yaml"
    files.write_text(path, path.read_text() + "gates: [{seeds: 4}]\n")
    found = costs(tiny, "seeds-base", sets=("finetune.epochs=4",))["seeds-base"]
    assert found.tokens == 2000 * 2 * 3, "twice the epochs; three further seeds"
    assert found.minutes == pytest.approx(2 * 3)
    assert (found.disk_bytes, found.kept_bytes) == (pytest.approx(10 * model, rel=0.1), 0)
    assert found.based_on == "3 times finetune-base: time by tokens, from tiny-1; disk for the checkpoints of one training at a time"
