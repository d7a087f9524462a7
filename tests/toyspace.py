"""A workspace whose only step counts: real DVC, real processes, no model. Load it with ``runpy.run_path``.

The step ``count`` walks a chain of hashes, 10 ms a link, keeps a checkpoint every 10 links, and writes its pid and the
time into ``.regraft/heartbeats`` at every link, so that a test sees who wrote, and when, after a kill. Where a file
``fast`` lies in the workspace it does not sleep: not a parameter, so that the run in progress can be cut short.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from services import PATIENCE

from regraft.cli.environment import QUIET

REPO = Path(__file__).parents[1]
PIPELINES = """
import hashlib, json, os, time
from regraft.core import files
from regraft.steps import StepConfig
from regraft.core.errors import DataRejected, Interrupted, Problem
from regraft.core.progress import STOP, current, progress
from regraft.execution.step import Step, evidence

class CountConfig(StepConfig):
    links: int
    fault: str = ""
    train: dict[str, int] = {}

def _beat():
    with open(".regraft/heartbeats", "a") as beats:
        beats.write(f"{os.getpid()} {time.time()}\\n")

def _run(config, inputs, out):
    if config.fault == "typed":
        raise DataRejected("row 3 is bad", fix="mend it", problems=[Problem(file="in.txt", row=3, column="text")])
    if config.fault == "crash":
        raise ZeroDivisionError("boom")
    if config.fault.startswith("exec "):
        exec(config.fault.removeprefix("exec "), {"out": out})
    if config.fault.startswith("/"):  # a control group with a limit on memory
        with open(config.fault + "/cgroup.procs", "w") as members:
            members.write(str(os.getpid()))
        held = [b"x" * 10_000_000 for _ in range(100)]
    saved = current().checkpoints / "state.json"
    done, state = files.read_json(saved) if saved.is_file() else (0, "")
    files.write_json(evidence(out) / "resumed.json", done)
    while done < config.links:
        done += 1
        state = hashlib.sha256(f"{state}{done}".encode()).hexdigest()
        _beat()
        fast = os.path.exists("fast")
        time.sleep(0 if fast else 0.01)
        if done % (500 if fast else 10) == 0 or STOP.is_set():
            files.write_json(saved, [done, state])
            progress(done, config.links, "links", {"done": done})
        if config.fault == "deaf" and done == 10:
            sum(range(10**12))  # holds the interpreter's lock: no thread of the process runs again
        if STOP.is_set():
            raise Interrupted("asked to stop")
    (out / "state.txt").write_text(state)
    return {"links": done}

COUNT = Step(name="count", config=CountConfig, run=_run, inputs={"seed": "data.labelled"}, version=1)
STEPS = (COUNT,)
"""
FLOW = """
import sys
from regraft.execution.flow_main import run_flow
from regraft.execution.repro import run_step_with_dvc

def flow(run):
    outcome = run_step_with_dvc(run, "count", 1)
    return {"exit": 0, "outcome": "pass", "sentence": "counted", "champion": None, "cached": outcome.cached}

if __name__ == "__main__":
    sys.exit(run_flow(flow))
"""
PREFECT_FLOW = """
from prefect import flow
from regraft.core import files
from flows.bridge import step_task

def retrain_once(run, curves, early_step, *, own_server):
    files.write_json(run.workspace.mlflow_run_file(run.name), "")  # a flow that opens none
    @flow(name="toy", flow_run_name=run.name)
    def toy():
        states.append(step_task("count", early_step.outcome)(return_state=True))
        states[0].result()

    states = []
    toy()
    (state,) = states
    outcome = state.result()
    return {"exit": 0, "outcome": "pass", "sentence": state.name, "champion": None, "cached": outcome.cached, "own_server": own_server}
"""
CLI = """
import json, os, sys
from regraft.cli import environment
from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace
from regraft.execution import launch
from regraft.execution.run_lock import run_lock

environment.prepare()
workspace = Workspace.find()
show = lambda event: print(json.dumps(event), flush=True)
pipeline = sys.argv[1]
try:
    with run_lock(workspace, pipeline, wait="--no-wait" not in sys.argv, on_event=show):
        result = launch.launch(workspace, pipeline, on_event=show)
except RegraftError as error:
    print(json.dumps({"event": "raised", "error": type(error).__name__, "message": str(error), "problems": error.problems}), flush=True)
    sys.exit(error.exit_code)
print(json.dumps({"event": "returned", **result}), flush=True)
sys.exit(result["exit"])
"""


class Toy:
    """The workspace and the processes in it."""

    def __init__(self, root: Path, *, links: int = 200, pipelines: tuple[str, ...] = ("toy",), prefect: bool = False) -> None:
        self.root = root
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("REGRAFT", "PREFECT", "MLFLOW"))}
        self.env |= {**QUIET, "CI": "1", "OMP_NUM_THREADS": "1"}
        for folder in ("flows", "pipelines/resolved", ".regraft"):
            (root / folder).mkdir(parents=True)
        shutil.copytree(REPO / "flows", root / "flows", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        if prefect:
            (root / "flows" / "retrain_flow.py").write_text(PREFECT_FLOW)
        else:
            (root / "flows" / "__main__.py").write_text(FLOW)
        (root / "pipelines" / "__init__.py").write_text(PIPELINES)
        (root / "in.txt").write_text("seed\n")
        (root / "cli.py").write_text(CLI)
        for name in pipelines:
            self.configure(name, links=links)
        self._write_stages(pipelines)
        (root / ".dvc").mkdir()  # what `dvc init --no-scm` and `dvc config core.analytics false` leave after 1.2 s
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = false\n")

    def configure(self, pipeline: str = "toy", **count: object) -> None:
        """Write the resolved file."""
        path = self.root / "pipelines" / "resolved" / f"{pipeline}.yaml"
        said = {"pipeline": pipeline, "data": {"labelled": "in.txt"}, "count": {"links": 200, "fault": "", **count}}
        path.write_text(json.dumps(said))

    def _write_stages(self, pipelines: tuple[str, ...]) -> None:
        home = "artifacts/${item}/count"
        do = {
            "cmd": "regraft step count --pipeline ${item} --step-version 1",
            "deps": ["in.txt"],
            "params": [{"pipelines/resolved/${item}.yaml": ["count"]}],
            "outs": [f"{home}/out", f"{home}/record.json", f"{home}/evidence"],
        }
        (self.root / "dvc.yaml").write_text(json.dumps({"stages": {"count": {"foreach": list(pipelines), "do": do}}}))

    def start(self, *argv: str) -> Running:
        """``regraft run`` without its terminal."""
        command = [sys.executable, "cli.py", *(argv or ("toy",))]
        process = subprocess.Popen(
            command, cwd=self.root, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        return Running(self, process)

    def hurry(self) -> None:
        """From now on the step does not sleep."""
        (self.root / "fast").touch()

    @property
    def resumed(self) -> int:
        """The link at which the last finished step began."""
        return int((self.root / "artifacts/toy/count/evidence/resumed.json").read_text())

    @property
    def state(self) -> str:
        """The step's result."""
        return (self.root / "artifacts/toy/count/out/state.txt").read_text()

    def descendants(self) -> dict[str, int]:
        """Pids of the live processes of this workspace, by role: cli, flow, dvc, starter, client, keeper, step, steps, server, other.

        ``steps`` is the step server, ``starter`` the one that forks a DVC; without them there is no client and no keeper.
        """
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                argv = (entry / "cmdline").read_bytes().decode().split("\0")
                name = (entry / "comm").read_text().strip()
                inside = (entry / "cwd").resolve() == self.root.resolve()
                zombie = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                continue
            if inside and not zombie:
                found[_role(argv, name)] = int(entry.name)
        if "client" in found and "step" not in found:
            found["step"] = found.pop("client")
        return found


def _role(argv: list[str], name: str) -> str:
    words = " ".join(argv)
    if "regraft.cli.step_server" in words:
        return {"step server": "steps", "step keeper": "keeper"}.get(name, "step" if name.startswith("step ") else "steps")
    if "regraft.execution.dvc_starter" in words:
        return "dvc" if name == "dvc" else "starter"
    for sign, role in (
        ("cli.py", "cli"),
        ("-m flows.prefect_server", "server"),
        ("-m flows", "flow"),
        (" dvc repro", "dvc"),
        ("regraft step", "client"),
    ):
        if sign in words:
            return role
    return "other"


class Running:
    """One ``regraft run``."""

    def __init__(self, toy: Toy, process: subprocess.Popen[str]) -> None:
        self.toy, self.process = toy, process

    def until(self, event: str) -> dict[str, object]:
        """Read events up to the first ``event``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said: dict[str, object] = json.loads(line)
            if said["event"] == event:
                return said
        raise AssertionError(
            f"no {event!r} before the end: {self.process.wait()}: {self.process.stderr.read() if self.process.stderr else ''}"
        )

    def kill(self, *roles: str, number: int = signal.SIGKILL) -> None:
        """Signal the processes of these roles, as nearly at once as can be."""
        found = self.toy.descendants()
        for pid in [found[role] for role in roles if role in found]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> int:
        """Wait for the end; the exit code."""
        out, err = self.process.communicate(timeout=PATIENCE)
        self.events = [json.loads(line) for line in out.splitlines()]
        self.errors = err
        return self.process.returncode


def wait_until_quiet(toy: Toy, seconds: float) -> float:
    """Seconds until no process of the workspace was left; fails after ``seconds``."""
    started = time.monotonic()
    while left := toy.descendants():
        assert time.monotonic() < started + seconds, f"alive after {seconds} s: {left}"
        time.sleep(0.02)
    return time.monotonic() - started
