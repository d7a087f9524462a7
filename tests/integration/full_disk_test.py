"""A file system of 2 MB: a run that does not fit does not start, a step that fills it says so and leaves nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import regraft

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@pytest.fixture
def small(tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tiny workspace on a disk of 2 MB."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    root = shutil.copytree(tiny_template, tmp_path / "w", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("REGRAFT_WORKSPACE", str(root))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield root
    subprocess.run(["umount", "-l", tmp_path], check=True)


def leave(root: Path, free: int) -> None:
    """Fill the disk but for ``free`` bytes."""
    with (root.parent / "fill").open("wb") as fill:
        fill.write(bytes(shutil.disk_usage(root).free - free))
    assert abs(shutil.disk_usage(root).free - free) < 8192


def test_a_run_that_does_not_fit_does_not_start_and_names_both_numbers(small: Path) -> None:
    leave(small, 500_000)
    done = regraft(small, "run", "tiny")
    assert done.returncode == 8
    found = re.search(r"the run needs about ([\d.]+) MB of disk, (\d+) kB are free at .*; most of it for 'pretrain': (\d+) kB", done.stderr)
    assert found
    assert 1 < float(found[1]) < 2
    assert 400 < int(found[2]) <= 500
    assert "next: regraft gc" in done.stderr
    assert not (small / "artifacts").exists()


def test_a_step_that_fills_the_disk_says_so_and_leaves_no_output(small: Path) -> None:
    leave(small, 24_000)
    done = regraft(small, "step", "contract", "--pipeline", "tiny", "--step-version", "1")
    assert done.returncode == 8, done.stderr
    assert "step 'contract': No space left on device" in done.stderr
    assert "are free; how much the step needs is unknown" in done.stderr
    assert "next: regraft gc" in done.stderr
    assert "Traceback" not in done.stderr
    home = small / "artifacts" / "tiny" / "contract"
    assert not (home / "record.json").exists()
    assert not (home / "out").exists()


def test_a_drop_that_fills_the_disk_leaves_the_data_and_is_taken_in_once_there_is_room(small: Path) -> None:
    rows = small / "data" / "rows.jsonl"
    before = rows.read_bytes()
    drop = "".join(json.dumps({"id": f"n{n}", "text": f"a new row with the number {n}", "label": "garden"}) + "\n" for n in range(400))
    (small.parent / "drop.jsonl").write_text(drop)
    argv = ("handoff", "tiny", str(small.parent / "drop.jsonl"), "--add", "--no-commit")
    leave(small, 60_000)
    done = regraft(small, *argv)
    assert (done.returncode, "No space left on device" in done.stderr) == (8, True), done.stderr
    assert "Traceback" not in done.stderr
    assert rows.read_bytes() == before
    (small.parent / "fill").unlink()
    done = regraft(small, *argv)
    assert done.returncode == 0, done.stderr
    assert rows.read_bytes() == before + drop.encode()


def test_a_message_that_does_not_fit_on_the_disk_still_arrives(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from regraft.core.errors import EnvironmentFault
    from regraft.core.workspace import Workspace
    from regraft.execution.launch import parse_event
    from regraft.execution.supervise import report_error

    (small / ".regraft" / "errors").mkdir(parents=True)
    leave(small, 0)
    monkeypatch.setenv("REGRAFT_INVOCATION", "tiny-1")
    report_error(Workspace(small), EnvironmentFault("full", fix="regraft plan tiny"))
    event = parse_event(capsys.readouterr().out.strip())
    assert event is not None
    assert (event["event"], event["exit"], event["message"], event["fix"]) == ("error", 8, "full", "regraft plan tiny")
