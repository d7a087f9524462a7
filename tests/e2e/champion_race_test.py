"""People of two clones, each with a home of its own, promote at once by the command line: of every round one model is champion."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from services import PATIENCE
from workbench import copy

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.registry import promotion, registration
from regraft.registry.store import VARIABLE, store_of
from regraft.registry.tracking import Tracker

RACERS, ROUNDS = 8, 20
TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))


def registered(tracker: Tracker, model: Path, name: str) -> str:
    """The version of a model whose verdict passed against today's champion."""
    current = promotion.champion(tracker, "tiny")
    return registration.register(
        tracker,
        "tiny",
        run_id=tracker.start_run("tiny", name),
        run_name=name,
        model_dir=model,
        digest=files.digest(model),
        verdict={"outcome": "pass", "rows": {"digest": "rows"}, "champion": current},
        input_example=["the array"],
        data_hashes={},
        git_sha=None,
    )


@pytest.mark.timeout(3600)
@pytest.mark.release("journal_race_test.py, and eight processes that promote at once in registry_promotion_test.py")
def test_of_those_who_promote_at_once_those_who_wanted_the_winner_have_it_and_the_others_exit_7(
    tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    clones = [copy(tiny_template, tmp_path / name) for name in ("one", "two")]
    models = [TINY["make"](tmp_path / "models" / str(seed), seed) for seed in (1, 2)]
    tracker = Tracker(Workspace(clones[0]))
    for number in range(ROUNDS):
        versions = [registered(tracker, model, f"tiny-20260101T0000{number:02}-00000{seed}") for seed, model in enumerate(models)]
        wanted = [versions[racer // 2 % 2] for racer in range(RACERS)]
        racing = [promoting(clones[racer % 2], version) for racer, version in enumerate(wanted)]
        told = [process.communicate(timeout=PATIENCE)[1] for process in racing]
        champion = promotion.champion(tracker, "tiny")
        assert champion is not None
        assert [process.returncode for process in racing] == [0 if version == champion["version"] else 7 for version in wanted], told
        assert tracker.aliases("tiny")["champion"] == champion["version"] in versions
    entries = store_of(Workspace(clones[1])).journal("tiny").entries()
    moves = [entry for entry in entries if entry.action != "register"]
    assert len(moves) == ROUNDS
    assert [move.from_ for move in moves] == [None, *(move.to for move in moves[:-1])]


def promoting(clone: Path, version: str) -> subprocess.Popen[str]:
    """``regraft promote tiny VERSION`` in a clone, under way."""
    (home := clone.with_name(f"home-{clone.name}")).mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "regraft", "promote", "tiny", version]
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.Popen(argv, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
