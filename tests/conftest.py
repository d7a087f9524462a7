"""What many tests share: the tiny workspace before and after a run, a command line to call, and a quiet environment."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from everything import Ran, prepare, refuse
from tinyspace import imported, make_tiny
from workbench import copy, regraft

from regraft.cli.environment import QUIET
from regraft.core import files
from regraft.core.workspace import Workspace

# Before any library is imported, and for every child: no telemetry, no hub, no configuration of whoever runs the tests.
for _name in [name for name in os.environ if name.startswith(("REGRAFT_", "MLFLOW_", "PREFECT_"))]:
    del os.environ[_name]
os.environ.update(QUIET, HF_HUB_OFFLINE="1")
# A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that: theirs is pressed here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.set_threshold(50_000, 20, 100)  # by default a sixth of what it takes to collect the tests and import torch goes into looking for garbage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring tests into an order that leaves no worker idle, and skip those for a GPU without one, or fail where one is required."""
    _spread_what_waits(items)
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu or os.environ.get("REHEARSE_GPU"):  # on a CPU, to see that they can be run: benchmarks/gpu.sh --rehearse
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("REQUIRE_GPU"):
        pytest.fail(f"REQUIRE_GPU is set but CUDA is not here; {len(gpu)} tests would be skipped silently")
    for item in gpu:
        item.add_marker(pytest.mark.skip(reason="no CUDA; set REQUIRE_GPU=1 to make this an error"))


def _spread_what_waits(items: list[pytest.Item]) -> None:
    """One file that needs :func:`everything` comes first and makes it; meanwhile the other workers have those that do not."""
    waiting = [item.path for item in items if "everything" in getattr(item, "fixturenames", ())]
    if waiting:
        first, tiers = waiting[0], dict.fromkeys(item.path.parent for item in items)
        order = {tier: number for number, tier in enumerate(tiers)}
        items.sort(key=lambda item: (item.path != first, order[item.path.parent], item.path in waiting))


@pytest.fixture(autouse=True)
def modules_go_with_their_folder(request: pytest.FixtureRequest) -> Iterator[None]:
    """A module that a test imports from its ``tmp_path`` is forgotten after it: the next test may write one of that name."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder, before = str(request.getfixturevalue("tmp_path")), set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
            del sys.modules[name]


# --- the tiny workspace ------------------------------------------------------------------------------------------


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` as ``make`` leaves it: made by whichever worker needs it first, the same for all of the session."""
    session = factory.getbasetemp()
    session = session.parent if "PYTEST_XDIST_WORKER" in os.environ else session
    folder = session / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := folder.with_suffix(".done")).exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny workspace as ``regraft dvc`` leaves it; copied for every test."""
    return once(tmp_path_factory, "tiny", make_tiny)


@pytest.fixture(scope="session")
def base(tiny_template: Path) -> Path:
    """The tiny model's folder; read only."""
    return tiny_template / "models" / "tiny"


@pytest.fixture(scope="session")
def everything(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """After a first run that asked for everything and passed; read only."""

    def make(root: Path) -> None:
        copy(tiny_template, root)
        prepare(root)
        done = regraft(root, "run", "tiny", own_server=True)
        assert done.returncode == 0, done.stdout + done.stderr
        files.write_text(root / ".regraft" / "first.txt", done.stdout)

    root = once(tmp_path_factory, "everything", make)
    return Ran(root, files.read_json(root / "state/latest/tiny.json"), (root / ".regraft" / "first.txt").read_text())


@pytest.fixture(scope="session")
def refused(everything: Ran, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """After a second run there, whose gates ask for what its model does not keep; read only."""

    def make(root: Path) -> None:
        refuse(replace(everything, root=copy(everything.root, root)))
        done = regraft(root, "run", "tiny", "--json")
        assert done.returncode == 4, done.stdout + done.stderr
        files.write_text(root / ".regraft" / "second.json", done.stdout)

    root = once(tmp_path_factory, "refused", make)
    text = (root / ".regraft" / "second.json").read_text()
    return Ran(root, json.loads(text), text)


@pytest.fixture
def ran(everything: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ran]:
    """A copy of one's own, which is the current folder and whose ``pipelines`` and ``tasks`` are imported."""
    root = copy(everything.root, tmp_path / "w")
    monkeypatch.chdir(root)
    with imported(root):
        yield replace(everything, root=root)


@pytest.fixture
def tiny(tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A tiny workspace of one's own, which is the current folder and whose ``pipelines`` and ``tasks`` are imported."""
    root = copy(tiny_template, tmp_path / "w")
    monkeypatch.chdir(root)
    with imported(root):
        yield Workspace(root)


# --- the command line --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one document on stdout."""
        value: dict[str, object] = json.loads(self.out)
        return value


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``regraft ARGV`` in this process: 20 ms instead of the 600 ms of a new one."""
    from regraft.cli import console, main

    def call(*argv: str, width: int = 200) -> Said:
        monkeypatch.setattr(sys, "argv", ["regraft", *argv])
        monkeypatch.setenv("COLUMNS", str(width))
        for side in (console.out, console.err):  # they read COLUMNS when they were made, maybe in another test
            monkeypatch.setattr(side, "_width", width)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def ask(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """``regraft ARGV`` in this process, in the workspace that comes first: MLflow and torch are imported once, not by each verb."""

    def call(root: Path, *argv: str, width: int = 200) -> Said:
        with monkeypatch.context() as patch:
            patch.chdir(root)
            with imported(root):
                return cli(*argv, width=width)

    return call
