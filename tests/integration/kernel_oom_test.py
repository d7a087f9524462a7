"""The kernel kills a step for want of memory: a real kill, in a control group with a limit."""

from __future__ import annotations

import os
import runpy
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

HELP = runpy.run_path(str(Path(__file__).parents[1] / "toyspace.py"))
LIMIT = 200_000_000


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose members may hold 200 MB together."""
    for root, limit in ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max")):
        folder = root / f"regraft-{uuid.uuid4().hex[:8]}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / limit).is_file():
            (folder / limit).write_text(str(LIMIT))
            yield folder
            folder.rmdir()
            return
        folder.rmdir()
    pytest.skip("no control group with a limit on memory can be made here")


def test_a_step_that_the_kernel_killed_names_its_batches_and_the_next_to_try(group: Path, tmp_path: Path) -> None:
    toy = HELP["Toy"](tmp_path / "w", links=5)
    toy.configure(fault=str(group), train={"batch_size": 16, "sequence_length": 128})
    run = toy.start()
    assert run.end() == 8
    said = "step 'count' was killed by the kernel for want of memory at batches of 16 x 128 tokens; half as many rows are the next to try"
    assert said in run.events[-1]["message"]
    assert not (toy.root / "artifacts/toy/count/record.json").exists()


def test_a_step_killed_by_hand_is_not_said_to_want_memory(tmp_path: Path) -> None:
    toy = HELP["Toy"](tmp_path / "w", links=4000)
    run = toy.start()
    run.until("progress")
    os.kill(toy.descendants()["step"], 9)
    assert run.end() == 1
    assert "was killed by signal 9, SIGKILL" in run.events[-1]["message"]
