"""What regraft itself costs around the steps: ``python benchmarks/orchestration.py [REPETITIONS]``, medians.

On the tests' tiny workspace, whose eight steps are the real ones: a whole run with a Prefect server of its own and
with one that is running, each less the seconds of its steps (DVC's start is part of a step); a run with nothing to do;
``--help``, ``plan`` and ``doctor``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from regraft.cli.environment import QUIET

ROOT = Path(__file__).parents[1]
ENV = {**{key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW", "REGRAFT"))}, **QUIET}
RUN = """
import json, sys, time
started = time.monotonic()
from regraft.execution import launch
from regraft.core.workspace import Workspace
steps, workspace = 0.0, Workspace.find()
def hear(event):
    global steps
    steps += event["seconds"] if event["event"] == "step_finished" else 0
with launch.run_lock(workspace, "tiny"):
    result = launch.launch(workspace, "tiny", on_event=hear)
print(json.dumps({"exit": result["exit"], "steps": steps, "total": time.monotonic() - started}))
"""


def make_workspace(root: Path) -> Path:
    """The tiny workspace, with one gate that its random model passes."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tinyspace import make_tiny

    make_tiny(root)
    with (root / "pipelines" / "tiny.yaml").open("a") as pipeline:
        pipeline.write("gates: [{metric: macro_f1, at_least: 0.01}]\n")
    subprocess.run([sys.executable, "-m", "regraft", "dvc"], cwd=root, env=ENV, check=True, capture_output=True)
    return root


def overhead(template: Path, env: dict[str, str]) -> float:
    """Seconds of a first run that no step accounts for."""
    with tempfile.TemporaryDirectory() as folder:
        root = shutil.copytree(template, Path(folder) / "w")
        done = subprocess.run([sys.executable, "-c", RUN], cwd=root, env=env, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["exit"] == 0, said
    return float(said["total"]) - float(said["steps"])


def command(root: Path, *argv: str) -> float:
    """Seconds of ``regraft ARGV``."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "regraft", *argv], cwd=root, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def start_server(home: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """A Prefect server that answers, and the environment that points to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**ENV, "PREFECT_HOME": str(home), "PREFECT_UI_ENABLED": "0"}
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    server = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        time.sleep(0.1)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server, {**ENV, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    raise SystemExit("the Prefect server did not answer within 60 s")


def main(repetitions: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        template = make_workspace(Path(folder) / "template")
        worked = shutil.copytree(template, Path(folder) / "worked")
        command(worked, "run", "tiny")
        server, env = start_server(Path(folder) / "prefect")
        try:
            overhead(template, env)  # the server's first run pays for its own imports
            found = {
                "run, server already running": lambda: overhead(template, env),
                "run, server of its own": lambda: overhead(template, ENV),
                "run, nothing to do": lambda: command(worked, "run", "tiny"),
                "plan": lambda: command(worked, "plan", "tiny"),
                "doctor": lambda: command(worked, "doctor"),
                "--help": lambda: command(worked, "--help"),
            }
            for name, measure in found.items():
                seconds = [measure() for _ in range(repetitions)]
                print(f"{name:<28} {statistics.median(seconds):6.2f} s   ({min(seconds):.2f} to {max(seconds):.2f})", flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
