"""A training step that several processes of a machine share: the bytes of one, and what is left when one of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from everything import PIPELINE, Ran, configure
from services import PATIENCE, until
from workbench import regraft

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.execution.shared_step import VARIABLE, asked


@pytest.fixture
def shared(ran: Ran) -> Ran:
    """The workspace after its first run, whose next adaptation has 32 steps and keeps a checkpoint of each."""
    configure(ran.root, pretrain={**PIPELINE["pretrain"], "budget_tokens": 65_536, "checkpoint_seconds": 0.001})
    assert regraft(ran.root, "dvc").returncode == 0
    return ran


def pretrain(root: Path, ranks: int) -> subprocess.Popen[str]:
    version = files.read_json(root / "artifacts/tiny/pretrain/record.json")["step_version"]
    argv = [sys.executable, "-m", "regraft", "step", "pretrain", "--pipeline", "tiny", "--step-version", str(version)]
    env = {**os.environ, VARIABLE: str(ranks)}
    return subprocess.Popen(argv, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rank(number: int, step: int) -> int | None:
    """The process that is a rank of the step's."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent, name = path.joinpath("stat").read_text().rpartition(")")[2].split()[1], path.joinpath("comm").read_text().strip()
        except OSError:
            continue
        if (name, parent) == (f"regraft rank {number}", str(step)):
            return int(path.name)
    return None


@pytest.mark.release("ranks_test.py: a rank that dies ends the others, and the training goes on with one")
def test_a_rank_that_dies_ends_the_step_and_ranks_that_go_on_leave_the_bytes_of_one(shared: Ran) -> None:
    root = shared.root
    first = pretrain(root, 2)
    until(lambda: list((root / ".regraft/checkpoints/tiny/pretrain").glob("*/0*/manifest.json")))
    killed = rank(1, first.pid)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    told, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode == 8, told
    assert "rank 1 of 2 that share this training was killed by SIGKILL" in told

    second = pretrain(root, 2)
    told, _ = second.communicate(timeout=PATIENCE)
    both: dict[str, Any] = shared.record("pretrain")
    assert (second.returncode, both["workers"]) == (0, 2), told
    assert sorted(path.name for path in (root / "artifacts/tiny/pretrain").iterdir()) == ["evidence", "out", "record.json"]

    shutil.rmtree(root / ".regraft/checkpoints/tiny/pretrain")
    alone = pretrain(root, 1)
    told, _ = alone.communicate(timeout=PATIENCE)
    assert alone.returncode == 0, told
    assert shared.record("pretrain")["outputs"] == both["outputs"]


@pytest.mark.parametrize("text", ["", "two", "0", "-1", "1.5"])
def test_a_number_of_ranks_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="no number of processes"):
        asked({VARIABLE: text})


def test_without_a_word_a_step_is_one_process():
    assert asked({}) == 1
