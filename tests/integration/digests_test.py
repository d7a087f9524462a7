"""Corrupted bytes are found by their digest before anything reads them, named, and repaired; real DVC, a step that counts."""

from __future__ import annotations

import copy
import hashlib
import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regraft.core.workspace import Workspace
from regraft.execution import integrity
from regraft.upkeep.doctor import folder

HELP = runpy.run_path(str(Path(__file__).parents[1] / "toyspace.py"))
HOME = "artifacts/toy/count"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace after its first run."""
    made = HELP["Toy"](tmp_path_factory.mktemp("ran") / "w", links=5)
    assert made.start().end() == 0
    return made


@pytest.fixture
def toy(ran: Any, tmp_path: Path) -> Any:
    """A copy of it."""
    own = copy.copy(ran)
    own.root = shutil.copytree(ran.root, tmp_path / "w")
    return own


def cached(toy: Any, path: str) -> Path:
    """The object of DVC's cache behind ``path``."""
    md5 = hashlib.md5((toy.root / path).read_bytes()).hexdigest()
    found: Path = toy.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    assert found.is_file()
    return found


def spoil(path: Path) -> None:
    """Change one bit, as a bad disk does: size, time and permissions stay."""
    before, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def corrupt_cache(toy: Any, name: str) -> str:
    """Corrupt the cached object of an output and make DVC take it."""
    broken = cached(toy, f"{HOME}/{name}")
    spoil(broken)
    integrity._remove(toy.root / HOME / name.partition("/")[0])
    return f"{HOME}/{name} comes from a corrupted object of DVC's cache, {broken.relative_to(toy.root)}"


def change_unseen(toy: Any, name: str) -> str:
    """Change an output so that DVC, which looks at size and time, does not see it."""
    assert toy.start().end() == 0  # this copy of the workspace is new to DVC: it hashes once
    spoil(toy.root / HOME / name)
    return f"{HOME}/{name} was changed by hand"


def refused(toy: Any) -> dict[str, Any]:
    run = toy.start()
    assert run.end() == 8
    raised: dict[str, Any] = run.events[-1]
    return raised


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        pytest.param(corrupt_cache, "out/state.txt", id="an output in the cache"),
        pytest.param(corrupt_cache, "record.json", id="the record in the cache"),
        pytest.param(change_unseen, "out/state.txt", id="an output in the workspace"),
    ],
)
def test_what_dvc_hands_back_changed_is_refused_named_and_after_the_repair_computed_again(
    toy: Any, damage: Callable[[Any, str], str], name: str
) -> None:
    state = toy.state
    said = damage(toy, name)
    assert said in refused(toy)["message"]
    (check,) = folder.digests(Workspace(toy.root))
    assert (check.state, check.fix) == ("bad", "regraft doctor --repair")
    assert integrity.repair(Workspace(toy.root))
    assert not integrity.examine(Workspace(toy.root)).broken
    assert toy.start().end() == 0
    assert toy.state == state


def test_an_output_edited_by_hand_is_restored_from_the_cache_by_the_next_run(toy: Any) -> None:
    state = toy.state
    (toy.root / HOME / "out" / "state.txt").write_text("mine")
    run = toy.start()
    assert run.end() == 0
    assert [event["state"] for event in run.events if event["event"] == "step_finished"] == ["cached"]
    assert toy.state == state


def test_a_corrupted_object_is_put_back_from_a_whole_copy_in_the_workspace(toy: Any) -> None:
    broken = cached(toy, f"{HOME}/out/state.txt")
    whole = broken.read_bytes()
    spoil(broken)
    (sentence,) = integrity.repair(Workspace(toy.root))
    assert sentence == f"{broken.relative_to(toy.root)} was corrupted: put back from {HOME}/out/state.txt"
    assert broken.read_bytes() == whole
    assert broken.stat().st_mode & 0o777 == 0o444
    assert list((toy.root / ".regraft" / "broken").iterdir())


def test_without_time_the_doctor_says_how_much_was_read(toy: Any) -> None:
    found = integrity.examine(Workspace(toy.root), seconds=-1)
    assert (found.broken, found.read) == ((), 0)
    assert found.total > 3
