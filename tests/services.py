"""Servers that stay, for tests: Prefect with the service that schedules, MLflow; and agents, each in a clone and a home of its own."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from stores import free_port

PATIENCE = 300
"""Seconds after which a test gives up on a process that answers within 10 on a quiet machine."""
QUICK = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1", "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_SERVER_UI_ENABLED": "false"}
MLFLOW = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WORKERS": "1"}


@contextmanager
def serving(argv: list[str], folder: Path, health: str, more: Mapping[str, str]) -> Iterator[None]:
    """A server that answers at ``health``; it and all that it started end with the block."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(argv, cwd=folder, env={**os.environ, **more}, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: answers(health))
        yield
    finally:
        end(process)


@contextmanager
def prefect(folder: Path, *more: str) -> Iterator[str]:
    """The address of its API; ``more`` are options of its command line."""
    port = free_port()
    folder.mkdir()
    argv = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), *more]
    with serving(argv, folder, f"http://127.0.0.1:{port}/api/health", {**QUICK, "PREFECT_HOME": str(folder)}):
        yield f"http://127.0.0.1:{port}/api"


@functools.cache
def shared_prefect() -> str:
    """The API of this worker's own server, which stays until the worker ends: a run that starts one pays 6 processor seconds for it.

    It only records: what schedules and watches would take a processor second a minute, and nobody asks it to.
    """
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    folder = until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="prefect-"))
    return until_the_end.enter_context(prefect(Path(folder) / "home", "--no-services"))


@contextmanager
def mlflow(folder: Path, artifacts: str = "") -> Iterator[str]:
    """The address of the tracking server; ``artifacts`` is where it keeps them, a folder of its own without."""
    port = free_port()
    folder.mkdir()
    argv = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    with serving(
        [*argv, "--artifacts-destination", artifacts or str(folder / "artifacts")], folder, f"http://127.0.0.1:{port}/health", MLFLOW
    ):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def agent(root: Path, *argv: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``regraft agent start`` in the workspace ``root``; killed at the end of the block, with all that it started."""
    with (root.parent / f"{root.name}.agent.log").open("ab") as log:
        command = [sys.executable, "-m", "regraft", "agent", "start", *argv]
        process = subprocess.Popen(command, cwd=root, env={**os.environ, **more}, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes what is posted, as a chat's webhook does, and the JSON that has come."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/", came
    finally:
        listening.shutdown()
        listening.server_close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


def group_of(command: str) -> int:
    """The process group of the server that was started by :func:`serving` with ``command`` in its line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if command in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return os.getpgid(int(path.parent.name))
    raise AssertionError(f"nobody runs {command}")


def until(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, as soon as it is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.3)
    return found


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def flow_runs(api: str, **state: Any) -> list[dict[str, Any]]:
    """The flow runs in a state (``name="Completed"``), the last first; all of them without."""
    wanted = {"flow_runs": {"state": {key: {"any_": [value]} for key, value in state.items()}}} if state else {}
    return list(httpx.post(f"{api}/flow_runs/filter", json={**wanted, "sort": "EXPECTED_START_TIME_DESC"}).json())


def workers(api: str, pool: str) -> list[dict[str, Any]]:
    """The agents of a pool that have said that they are there; none where there is no such pool yet."""
    answer = httpx.post(f"{api}/work_pools/{pool}/workers/filter", json={})
    return list(answer.json()) if answer.is_success else []


def trigger(api: str, deployment: str) -> str:
    """Start a run of ``<flow>/<name>`` as a click does; the id of its flow run."""
    known = httpx.get(f"{api}/deployments/name/{deployment}").json()
    return str(httpx.post(f"{api}/deployments/{known['id']}/create_flow_run", json={"state": {"type": "SCHEDULED"}}).json()["id"])


def flow_run(api: str, name: str) -> dict[str, Any]:
    """A flow run, by its id."""
    return dict(httpx.get(f"{api}/flow_runs/{name}").json())


def ended(api: str, name: str) -> dict[str, Any]:
    """The state in which a flow run ended; waits for it."""
    finals = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return dict(until(lambda: (state := flow_run(api, name)["state"])["type"] in finals and state))
