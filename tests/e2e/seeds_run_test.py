"""A pipeline with a gate ``seeds``: the step itself, cut and continued, and a run through the command line that it decides both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from everything import Ran
from sklearn.metrics import f1_score

from regraft.config.pipeline_file import load_pipeline
from regraft.core import files, progress
from regraft.core.errors import ConfigError, EnvironmentFault, Interrupted
from regraft.core.workspace import Workspace
from regraft.evaluation import predictions
from regraft.evaluation.scoring import HeldOut
from regraft.training import finetuning
from regraft.training.options import finetune_options
from regraft.training.seeds import repeat
from regraft.training.workers import Team

OPTIONS = finetune_options({}, {"epochs": 2, "batch_size": 16, "max_length": 16, "checkpoint_seconds": 1e9})


def fine_tune(root: Path, home: Path | None, cut: int = 0) -> dict[str, str]:
    """Two further seeds of two models on the tiny rows; the sha256 of every answer. ``cut``: stop before so many batches."""
    rows = pd.read_json(root / "data" / "rows.jsonl", lines=True)
    rows["split"] = ["test" if number % 4 == 0 else "train" for number in range(len(rows))]
    test = rows[rows["split"] == "test"].sort_values("id")
    labels, held = sorted(set(rows["label"])), HeldOut(list(test["id"]), list(test["text"]), list(test["label"]))
    seen = 0

    def train(encoder: Path, name: str, seed: int, folder: Path) -> dict[str, float]:
        return finetuning.finetune(encoder, rows, labels, OPTIONS, name=name, text_column="text", seed=seed, out=folder)

    take = Team.step

    def counted(self: Team, step: int, *more: float) -> Any:
        nonlocal seen
        seen += 1
        if seen == cut:
            progress.STOP.set()
        return take(self, step, *more)

    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, progress.running(progress.Running(pipeline="tiny", step="seeds", checkpoints=home)):
        patch.setattr(Team, "step", counted)
        try:
            encoders = {"adapted": root / "models" / "tiny", "base": root / "models" / "tiny"}
            done = repeat(train, encoders, 3, held, seed=17, scratch=scratch)
        finally:
            progress.STOP.clear()
        facts = progress.current().facts
    assert list(scratch.iterdir()) == [], "no model is left"
    for one in done:
        predictions.write(root / "answers" / f"{one.model}.{one.number}", one.answers)
    assert facts["exact"] is True
    return {**files.tree(root / "answers"), "batches": str(seen)}


def test_cut_in_the_middle_of_a_later_training_it_goes_on_there_and_ends_with_the_same_bytes(tiny: Workspace, tmp_path: Path) -> None:
    whole = fine_tune(tiny.root, None)
    assert whole["adapted.2"] == whole["base.2"] != whole["adapted.3"], "one encoder: what differs follows from the number"
    home, batches = tmp_path / "checkpoints", int(whole["batches"])
    with pytest.raises(Interrupted, match="seeds/adapted-3 stopped at step"):
        fine_tune(tiny.root, home, cut=batches // 2 + 2)
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["adapted-2", "adapted-3", "base-2"]
    assert not list((home / "adapted-2").glob("[0-9]*")), "checkpoints of a finished training take up room"
    again = fine_tune(tiny.root, home)
    assert int(again.pop("batches")) == batches - (batches // 2 + 2), "no batch twice"
    assert again == {name: sha for name, sha in whole.items() if name != "batches"}
    damaged = home / "base-3" / "answers.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert {**again, "batches": str(batches // 4)} == fine_tune(tiny.root, home), "an answer that is not whole is made again, alone"


def test_parts_from_another_kind_of_machine_are_not_put_together(tiny: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regraft.models import machine

    home = tmp_path / "checkpoints"
    with pytest.raises(Interrupted):
        fine_tune(tiny.root, home, cut=14)
    here = machine.Machine.here()
    monkeypatch.setattr(machine.Machine, "here", lambda: replace(here, capability="another processor"))
    with pytest.raises(EnvironmentFault, match="cannot be continued to the same bits on this machine: capability"):
        fine_tune(tiny.root, home)


def test_seeds_twice_is_a_fault_with_its_line(tiny: Workspace) -> None:
    path = tiny.root / "pipelines" / "tiny.yaml"
    files.write_text(path, path.read_text() + "gates:\n- {seeds: 3}\n- {seeds: 5}\n")
    with pytest.raises(ConfigError, match=r"gates: `seeds: 3` and `seeds: 5` stand there; .*keep one of the lines \(line \d+\)$"):
        load_pipeline(tiny, "tiny")


def test_a_workspace_without_the_step_is_told_so_before_anything_runs(tiny: Workspace, cli: Callable[..., Any]) -> None:
    path = tiny.root / "pipelines" / "__init__.py"
    path.write_text(path.read_text().replace(", SEEDS)", ")"))
    files.write_text(tiny.root / "pipelines" / "tiny.yaml", tiny.pipeline_file("tiny").read_text() + "gates: [{seeds: 3}]\n")
    said = cli("plan", "tiny")
    assert said.code == 2
    assert ".seeds needs the step 'seeds'" in said.err


def test_the_spread_over_seeds_decides_a_run_both_ways(everything: Ran, refused: Ran) -> None:
    floor, spread = everything.findings("at_least")[0], everything.finding("seeds")
    assert (floor["outcome"], floor["low"] < floor["value"] < floor["high"]) == ("pass", True)
    answers = predictions.read(everything.evidence / "predictions" / f"{everything.result['candidate']['name']}.parquet")
    own = f1_score(answers.labels, answers.preds, average="macro")
    assert spread["threshold"] == pytest.approx(own, abs=1e-6), "the registered model's own"
    assert "How much the random seed matters" in (everything.root / everything.result["report"]).read_text()
    assert everything.record("seeds-base")["metrics"]["trainings"] == 2

    undecided = refused.findings("at_least")[0]
    assert undecided["outcome"] == "inconclusive", "the interval lies on both sides"
    assert refused.record("seeds-base")["invocation"] == everything.record("seeds-base")["invocation"], "another floor trains nothing"
