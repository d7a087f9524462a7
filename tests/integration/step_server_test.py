"""A step that is forked from the run's server is the step that would have run in a process of its own; see toyspace.py."""

from __future__ import annotations

import errno
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from services import PATIENCE
from tinyspace import imported

from regraft.cli import step_client, step_server
from regraft.core.workspace import Workspace
from regraft.execution import composition, step_server_start, step_wire
from regraft.execution.launch import write_invocation
from regraft.execution.repro import Run, _step_server, step_environment

HELP = runpy.run_path(str(Path(__file__).parents[1] / "toyspace.py"))
STEP = ["step", "count", "--pipeline", "toy", "--step-version", "1"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every step imports for itself")


class Served:
    """The toy workspace, its step server, and the command line that DVC would run, without DVC."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.toy = HELP["Toy"](root, links=30)
        self.toy.hurry()
        self.workspace = Workspace(root)
        monkeypatch.setenv("REGRAFT_INVOCATION", "toy-0")
        write_invocation(self.workspace, "toy", "toy", "toy-0", allow_inexact=False)
        monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
        with imported(root):
            self.server = step_server_start.start(self.workspace, "toy", None)
        assert self.server is not None
        self._lifelines: list[int] = []

    def start(self, *, served: bool = True, socket: str | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Begin the step; ``served=False``: as without a server."""
        assert self.server is not None
        said = {"socket": socket or self.server.socket, "models": False} if served else None
        write_invocation(self.workspace, "toy", "toy", "toy-1", allow_inexact=False, step_server=said)
        self.workspace.error_file("toy-1").unlink(missing_ok=True)
        read_end, write_end = os.pipe()
        self._lifelines.append(write_end)
        command = [sys.executable, "-m", "regraft", *STEP]
        environment = {**step_environment(self.workspace), "REGRAFT_INVOCATION": "toy-1", **env}
        environment.pop("PYTEST_CURRENT_TEST", None)  # another one than when the server was started
        process = subprocess.Popen(
            command, cwd=self.toy.root, env=environment, stdin=read_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(read_end)
        return process

    def run(self, **options: Any) -> dict[str, Any]:
        """Everything by which the outside tells how the step went."""
        process = self.start(**options)
        out, err = process.communicate(timeout=60)
        said, error = [line for line in out.decode().splitlines() if '"pid"' not in line], self.workspace.error_file("toy-1")
        told = json.loads(error.read_text()) if error.is_file() else None
        return {"code": process.returncode, "out": said, "err": err.decode().splitlines(), "told": told, "pid": process.pid}

    def close(self) -> None:
        """End all."""
        assert self.server is not None
        for lifeline in self._lifelines:
            os.close(lifeline)
        self.server.child.cut()
        self.server.child.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        space = Served(tmp_path_factory.mktemp("served") / "w", patch)
        yield space
        space.close()
        for pid in space.toy.descendants().values():
            os.kill(pid, signal.SIGKILL)


def evidence(served: Served, name: str) -> Any:
    return json.loads((served.toy.root / "artifacts/toy/count/evidence" / name).read_text())


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("started", "seconds", "peak_mb", "energy")}


def test_outputs_and_record_are_those_of_a_process_of_its_own(served: Served) -> None:
    served.toy.configure(links=30)
    results = {}
    for there in (True, False):
        said = served.run(served=there)
        assert (said["code"], said["err"], said["told"]) == (0, [], None)
        record = json.loads((served.toy.root / "artifacts/toy/count/record.json").read_text())
        results[there] = (served.toy.state, comparable(record), [line.replace("30", "n") for line in said["out"]])
    assert results[True] == results[False]


FAULTS = {
    "rejected data": "typed",
    "a bug": "crash",
    "killed": "exec import os; os.kill(os.getpid(), 9)",
    "ended by another signal": "exec import os, signal; os.kill(os.getpid(), signal.SIGUSR1)",
    "its own exit code": "exec import sys; sys.exit(7)",
    "words on both streams": "exec import sys; print('to stdout'); print('to stderr', file=sys.stderr)",
    "the last words of atexit": "exec import atexit; atexit.register(print, 'at the end')",
    "a thread that is not done": "exec import threading, time; threading.Thread(target=lambda: (time.sleep(0.3), print('late'))).start()",
    "no such option": None,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_ends_and_says_the_same(served: Served, fault: str) -> None:
    if FAULTS[fault] is None:
        served.toy.configure(lnks=3)
    else:
        served.toy.configure(links=30, fault=FAULTS[fault])
    there, here = served.run(), served.run(served=False)
    crash = [said["told"].pop("message") if said["told"] and fault == "a bug" else "" for said in (there, here)]
    assert crash[0].partition("; the traceback")[0] == crash[1].partition("; the traceback")[0]
    for said in (there, here):
        del said["pid"]
        said["err"] = [line for line in said["err"] if "error-" not in line and "crash" not in line]
    assert there == here


LOOK = """exec import json, os, pathlib, signal, sys
look = {
    "environment": dict(os.environ), "folder": os.getcwd(), "umask": os.umask(0o22), "argv": sys.argv[1:],
    "fds": sorted(os.path.basename(os.path.realpath(f"/proc/self/fd/{n}")).partition(":")[0] for n in os.listdir("/proc/self/fd")),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "pid": os.getpid(), "path": sys.path,
    "handlers": [str(signal.getsignal(n)).partition(" at ")[0] for n in (1, 2, 13, 14, 15, 17)],
    "tasks": [name for name in sys.modules if name.partition(".")[0] in ("tasks",)],
}
pathlib.Path(out.parent, "evidence", "look.json").write_text(json.dumps(look))
"""


def test_the_process_of_a_step_is_like_one_that_was_started(served: Served) -> None:
    served.toy.configure(links=30, fault=LOOK)
    looks = []
    for there in (True, False):
        said = served.run(served=there, DVC_STAGE="count@toy", MLFLOW_RUN_ID="abc")
        assert said["code"] == 0, said
        look = evidence(served, "look.json")
        assert (look.pop("pid") == said["pid"]) is not there
        look["path"] = look["path"][1:]  # -m puts the folder first, the installed command its own
        looks.append(look)
    assert looks[0] == looks[1]
    assert looks[0]["environment"]["DVC_STAGE"] == "count@toy"


def test_one_steps_environment_and_modules_do_not_reach_the_next(served: Served) -> None:
    served.toy.configure(links=30, fault="exec import os, wave; os.environ['LEAK'] = '1'; os.chdir('/')")
    served.run(DVC_STAGE="first")
    served.toy.configure(
        links=30,
        fault="exec import os, sys; print(os.environ.get('LEAK'), os.environ.get('DVC_STAGE'), 'wave' in sys.modules, os.getcwd())",
    )
    assert f"None None False {served.toy.root}" in served.run()["out"]


def test_the_server_keeps_nothing_of_a_step(served: Served) -> None:
    assert served.server is not None
    served.toy.configure(links=30)
    server = Path(f"/proc/{served.server.child.process.pid}")
    served.run()
    before = len(list((server / "fd").iterdir()))
    for _ in range(3):
        served.run()
    assert len(list((server / "fd").iterdir())) == before
    assert len(list((server / "task").iterdir())) == 1


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"OMP_NUM_THREADS": "7"}, "OMP_NUM_THREADS: not what the step server was started with"),
        ({"HF_HOME": "/elsewhere"}, "HF_HOME: not what the step server was started with"),
        ({"PYTHONOPTIMIZE": "1"}, "interpreter: not what the step server has"),
        ({"REGRAFT_STEP_SERVER": "0"}, ""),
        ({"socket": "/nowhere"}, "its run's step server does not answer ([Errno 2] No such file or directory)"),
    ],
)
def test_what_was_read_at_import_has_to_be_the_same(served: Served, env: dict[str, str], reason: str) -> None:
    served.toy.configure(links=30, fault="exec import os; print('pid of the step', os.getpid())")
    said = served.run(**env)
    assert said["code"] == 0
    assert f"pid of the step {said['pid']}" in said["out"]
    assert said["err"] == ([f"regraft: this step imports for itself: {reason}"] if reason else [])


@pytest.mark.parametrize("name", list(step_wire.identity()))
def test_a_step_of_another_installation_is_not_taken(served: Served, name: str) -> None:
    assert served.server is not None
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(served.server.socket)
        step_wire.send(channel, {"identity": {**step_wire.identity(), name: "another"}, "models": False})
        assert step_wire.receive(channel)[0] == {"refused": f"{name}: not what the step server has"}


def test_a_client_that_says_half_a_word_holds_nobody_up(served: Served) -> None:
    assert served.server is not None
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(served.server.socket)
        channel.send(b"\0\0")
    served.toy.configure(links=30)
    assert served.run()["code"] == 0


def test_a_signal_that_comes_while_the_request_is_made_does_not_garble_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(models: bool) -> dict[str, Any]:
        signal.raise_signal(signal.SIGINT)  # in this thread: the client has no other, the tests' process may
        return {"models": models}

    monkeypatch.setattr(step_client, "_request", interrupted)
    here: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _: here.append(number))
    client, keeper = socket.socketpair()
    try:
        with client, keeper:
            keeper.settimeout(10)
            step_wire.send(keeper, {"refused": "for the test"})
            assert step_client._Client(client).run(models=True) == "for the test"
            request, streams = step_wire.receive(keeper, 3)
            assert (request, keeper.recv(64)) == ({"models": True}, bytes([signal.SIGINT]))
    finally:
        signal.signal(signal.SIGINT, former)
    for stream in streams:
        os.close(stream)
    assert here == [signal.SIGINT], "the step is this process now, so the signal is for it"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


def test_a_server_that_can_fork_no_process_says_so_and_keeps_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = sorted(os.listdir("/proc/self/fd"))
    with socket.socket() as listener:
        client, theirs = socket.socketpair()
        with client:
            client.settimeout(10)
            step_wire.send(client, step_client._request(models=False), (0, 1, 2))
            monkeypatch.setattr(os, "fork", fork)
            step_server.Server(listener)._hear(theirs)
            assert step_wire.receive(client)[0] == {"refused": "no process could be forked (Resource temporarily unavailable)"}
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_step_on_a_gpu_imports_for_itself(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(served.workspace, "toy", "toy", lambda _: None, step_server="there")
    with imported(served.workspace.root):
        (step,) = composition.steps(served.workspace)
        for gpu, device, expected in ((True, "cuda", None), (False, "cuda", False), (True, "cpu", True)):
            object.__setattr__(step, "gpu", gpu)
            monkeypatch.setattr("regraft.execution.repro.device", lambda device=device: device)
            said = _step_server(run, "count")
            assert said == (None if expected is None else {"socket": "there", "models": expected})
        object.__setattr__(step, "gpu", False)
        assert _step_server(Run(served.workspace, "toy", "toy", lambda _: None), "count") is None


def test_nothing_is_started_for_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert step_server_start.start(served.workspace, "toy", []) is None
    monkeypatch.setenv("REGRAFT_STEP_SERVER", "0")
    assert step_server_start.start(served.workspace, "toy", None) is None


# --- ends ---------------------------------------------------------------------------------------------------------


def at_work(served: Served) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    """A step that walks until it is asked to stop, and the processes that there are then."""
    served.toy.configure(links=10**9)
    (served.toy.root / "fast").unlink(missing_ok=True)
    process = served.start()
    assert process.stdout is not None
    while b'"progress"' not in process.stdout.readline():
        assert process.poll() is None
    roles = served.toy.descendants()
    assert roles.keys() == {"steps", "client", "keeper", "step"}
    return process, roles


@pytest.mark.parametrize("killed", ["client", "keeper", "step"])
def test_whichever_is_killed_no_step_is_left_when_dvc_drops_its_lock(served: Served, killed: str) -> None:
    process, roles = at_work(served)
    os.kill(roles[killed], signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    if killed != "client":  # DVC sees the client's end, so the step's has to come first
        assert gone(roles["step"])
    until(lambda: gone(roles["step"]) and gone(roles["keeper"]))
    assert not gone(roles["steps"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_step_which_writes_its_checkpoint(served: Served, number: signal.Signals) -> None:
    process, roles = at_work(served)
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode not in (0, -number)
    assert b'"progress"' in out.splitlines()[-1]
    assert "asked to stop" in json.loads(served.workspace.error_file("toy-1").read_text())["message"]
    assert gone(roles["step"])


def test_what_a_step_leaves_running_goes_with_it(served: Served) -> None:
    served.toy.configure(links=30, fault="exec import subprocess; print('child', subprocess.Popen(['sleep', '1000']).pid)")
    said = served.run()  # returns when nobody holds its stdout any more
    (child,) = [line.split()[1] for line in said["out"] if line.startswith("child")]
    until(lambda: gone(int(child)))  # a process closes its files a moment before its number is free


@pytest.mark.parametrize("how", ["killed", "lifeline"])
def test_when_the_server_goes_its_step_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    served = Served(tmp_path / "w", monkeypatch)
    assert served.server is not None
    process, roles = at_work(served)
    if how == "killed":
        os.kill(roles["steps"], signal.SIGKILL)
    else:
        served.server.child.cut()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert gone(roles["step"])
    served.close()


def test_a_path_too_long_for_a_socket_is_reached_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 40] * 4)
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        with step_wire.address(folder / "s") as address:
            listener.bind(address)
        listener.listen()
        with step_wire.address(folder / "s") as address:
            caller.connect(address)
        assert (folder / "s").is_socket()


def test_the_client_is_light() -> None:
    heavy = {"typer", "pydantic", "yaml", "rich", "torch"}
    code = f"import sys, regraft.cli, regraft.cli.step_client; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_module_that_is_imported_ahead_is_there() -> None:
    from importlib.util import find_spec

    for name in (*step_server_start.STEP, *step_server_start.DATA, *step_server_start.MODELS):
        assert find_spec(name), name
