"""What runs by themselves cost: ``python benchmarks/agents.py WHAT...``, on the tests' tiny workspace, with servers and agents of its own.

    trigger    from a click in Prefect's pages to the first step: a worker with Prefect's own settings asks every 10 s
    champions  `regraft promote` and `regraft rollback`, each a process of its own
    crash      agent and run killed at once: until the server calls the run CRASHED
    two        a whole run on two agents that share a store and a DVC remote (S3, by moto) and an MLflow server, beside the same
               run typed on one machine

Medians, with the smallest and the largest. ``--times`` says how often each is done.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx

from regraft.cli.environment import QUIET

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import services  # noqa: E402
from everything import FLOOR, configure  # noqa: E402
from stores import url_of  # noqa: E402
from tinyspace import make_tiny  # noqa: E402
from workbench import copy, regraft  # noqa: E402

from regraft.core import files  # noqa: E402
from regraft.core.workspace import Workspace  # noqa: E402
from regraft.execution import dvc  # noqa: E402

STOCK = {"PREFECT_WORKER_QUERY_SECONDS": "10"}
"""What the tests' servers make shorter."""


def command(root: Path, *argv: str) -> float:
    """Seconds of ``regraft ARGV``, which has to succeed."""
    started = time.monotonic()
    done = regraft(root, *argv, own_server=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def tell(name: str, seconds: list[float]) -> None:
    print(f"{name:<44} {statistics.median(seconds):7.2f} s   ({min(seconds):.2f} to {max(seconds):.2f})", flush=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A Prefect server, named by PREFECT_API_URL inside."""
    with services.prefect(folder / "prefect") as api:
        os.environ["PREFECT_API_URL"] = api
        try:
            yield api
        finally:
            del os.environ["PREFECT_API_URL"]


def workspace(folder: Path) -> Path:
    """The tiny workspace with one gate that its random model passes."""
    make_tiny(folder / "tiny")
    configure(folder / "tiny", adapt="never", gates=[FLOOR])
    command(folder / "tiny", "dvc")
    return folder / "tiny"


def first_steps(root: Path) -> list[float]:
    """When the first step of each run began, the first run first."""
    paths = (root / ".regraft" / "logs").glob("*.events.jsonl")
    every = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    return sorted(min(begun) for run in every if (begun := [float(event["at"]) for event in run if event["event"] == "step_started"]))


def begin(api: str, root: Path, seed: int) -> str:
    """A click on *Custom run*, with another seed, so that there is something to do; the id of the flow run."""
    known = httpx.get(f"{api}/deployments/name/retrain/tiny").json()
    asked = {"state": {"type": "SCHEDULED"}, "parameters": {"pipeline": "tiny", "set": [f"seed={seed}"]}}
    address = f"{api}/deployments/{known['id']}/create_flow_run"
    answer: httpx.Response = services.until(lambda: (made := httpx.post(address, json=asked, timeout=60)).is_success and made)
    return str(answer.json()["id"])  # 503 before: SQLite was busy


def trigger(folder: Path, times: int) -> None:
    root = workspace(folder)
    with served(folder) as api:
        command(root, "deploy", "tiny")
        with services.agent(root, **STOCK):
            services.ended(api, begin(api, root, 1))  # the agent is ready
            seconds = []
            for number in range(times):
                clicked, runs = time.time(), len(first_steps(root))
                run = begin(api, root, 2 + number)
                services.until(lambda runs=runs: len(first_steps(root)) > runs)
                seconds.append(first_steps(root)[-1] - clicked)
                services.ended(api, run)
            tell("from a click to the first step", seconds)


def champions(folder: Path, times: int) -> None:
    root = workspace(folder)
    for seed in ("1", "2"):
        command(root, "run", "tiny", f"--set=seed={seed}")
    seconds: dict[str, list[float]] = {"rollback": [], "promote": []}
    for _ in range(times):
        for verb, argv in (("rollback", ()), ("promote", ("2",))):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[verb].append(command(root, verb, "tiny", *argv, "--reason", "measured"))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.setdefault(f"{verb}, processor", []).append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for verb, each in seconds.items():
        tell(f"regraft {verb}", each)


def crash(folder: Path, times: int) -> None:
    root = workspace(folder)
    with served(folder) as api:
        command(root, "deploy", "tiny")
        seconds = []
        for number in range(times):
            runs = len(first_steps(root))
            with services.agent(root) as agent:
                run = begin(api, root, 1 + number)
                services.until(lambda run=run: services.flow_run(api, run)["state"]["type"] == "RUNNING")
                services.until(lambda runs=runs: len(first_steps(root)) > runs)
                killed = time.time()
                for process in descendants(agent.pid):
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                state = services.ended(api, run)
            assert state["type"] == "CRASHED", state
            seconds.append(datetime.fromisoformat(state["timestamp"]).timestamp() - killed)
        tell("from the loss of an agent to CRASHED", seconds)


def descendants(process: int) -> list[int]:
    """The process and all that it started, and they."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [process]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def two(folder: Path, times: int) -> None:
    here, there = [], []
    with url_of("s3", folder) as store, served(folder) as api:
        fresh = workspace(folder)
        for number in range(times):
            (turn := folder / str(number)).mkdir()
            alone, cpu = (copy(fresh, turn / side) for side in ("alone", "cpu"))
            with recording(alone, str(store)):
                here.append(command(alone, "run", "tiny"))
            with recording(cpu, str(store)):
                there.append(on_agents(api, cpu))
    tell("a run typed on one machine", here)
    tell("the same on two agents, from the click", there)
    tell("that takes longer by", [after - before for before, after in zip(here, there, strict=True)])


def on_agents(api: str, cpu: Path) -> float:
    """Seconds from a click to the end of a run whose GPU steps another agent computes."""
    gpu = copy(cpu, cpu.with_name(f"{cpu.name}-gpu"))
    command(cpu, "deploy", "tiny")
    began = datetime.now(UTC)
    with services.agent(cpu, "--pool", "cpu", **STOCK), services.agent(gpu, "--pool", "gpu", CUDA_VISIBLE_DEVICES="0", **STOCK):
        services.until(lambda: all(alive(api, pool, began) for pool in ("cpu", "gpu")))
        started = time.monotonic()
        state = services.ended(api, services.trigger(api, "retrain/tiny"))
        seconds = time.monotonic() - started
    assert state["name"] == "Completed", state
    return seconds


def alive(api: str, pool: str, since: datetime) -> bool:
    """Whether an agent of a pool has shown a sign of life: that of an earlier turn is known by the same name."""
    return any(datetime.fromisoformat(worker["last_heartbeat_time"]) > since for worker in services.workers(api, pool))


@contextmanager
def recording(root: Path, store: str) -> Iterator[None]:
    """A workspace with a store, a DVC remote and an MLflow server that hold nothing yet, and agents for its GPU steps."""
    bucket, endpoint = "/".join(store.split("/")[:3]), os.environ["AWS_ENDPOINT_URL_S3"]
    for argv in (("add", "--default", "shared", f"{bucket}/{root.parent.name}/{root.name}"), ("modify", "shared", "endpointurl", endpoint)):
        dvc.ask(Workspace(root), "remote", *argv)
    files.write_text(root / "regraft.yaml", f"version: 1\nstore: {store}/{root.parent.name}/{root.name}\n")
    configure(root, agents={"cpu": "cpu", "gpu": "gpu"})
    command(root, "dvc")
    with services.mlflow(root.with_name(f"{root.name}-mlflow")) as tracking:
        os.environ["MLFLOW_TRACKING_URI"] = tracking
        try:
            yield
        finally:
            del os.environ["MLFLOW_TRACKING_URI"]


MEASURED: dict[str, Callable[[Path, int], None]] = {"trigger": trigger, "champions": champions, "crash": crash, "two": two}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=MEASURED)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    os.environ |= QUIET
    for what in asked.what:
        with tempfile.TemporaryDirectory(prefix="agents-") as folder:
            MEASURED[what](Path(folder), asked.times)


if __name__ == "__main__":
    main()
