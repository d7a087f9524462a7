"""The pages of MLflow and Prefect: those of a server that is configured, or a server started for as long as somebody looks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from typing import TYPE_CHECKING

from regraft.cli import console
from regraft.core.child import tied
from regraft.core.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace

PATIENCE = 90.0
"""Seconds for a server to answer; 8 to 15 on an idle machine."""
PAUSE = 0.3
SETTINGS = {
    "MLFLOW_WORKERS": "1",
    # Judges and optimisers are not used: without them the server takes 0.5 GB instead of 1.7.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


def show_mlflow(workspace: Workspace, port: int) -> None:
    """Open the tracking server's pages; without one, serve the workspace's own store until Ctrl-C."""
    from regraft.registry.tracking import VIEW

    uri, experiments = os.environ.get("MLFLOW_TRACKING_URI", ""), f"/#/experiments{VIEW}"
    if uri.startswith(("http://", "https://")):
        _open(uri, experiments)
        return
    if not (workspace.state / "mlflow.db").is_file():
        raise ConfigError("nothing was run here yet, so MLflow has nothing to show", fix="regraft run PIPELINE")
    address = f"http://127.0.0.1:{port}"
    if _answers(address):
        raise EnvironmentFault(f"something listens on port {port} already", fix=f"regraft ui mlflow --port {port + 1}")
    store = [f"--backend-store-uri=sqlite:///{workspace.state / 'mlflow.db'}", f"--artifacts-destination={workspace.state / 'mlartifacts'}"]
    log = workspace.log_file("mlflow-server")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", *store, "--host=127.0.0.1", f"--port={port}"]
    with log.open("w") as output:
        server = tied(command, env={**os.environ, **SETTINGS}, stdout=output, stderr=subprocess.STDOUT, cwd=workspace.state)
    try:
        _wait(server, address, workspace.relative(log))
        _open(address, experiments)
        console.out.print("[dim]Ctrl-C ends it[/]")
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], address: str, log: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers(address):
        if server.poll() is not None:
            raise EnvironmentFault(f"MLflow's server ended at once; {log} says why", fix=f"tail {log}")
        if time.monotonic() > deadline:
            raise EnvironmentFault(f"MLflow's server did not answer within {PATIENCE:.0f} s; {log} says more", fix=f"tail {log}")
        time.sleep(PAUSE)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def show_prefect() -> None:
    """Open the pages of the Prefect server that is configured; runs without one take theirs along when they end."""
    api = os.environ.get("PREFECT_API_URL", "")
    if not api:
        message = "no Prefect server is configured: a run without one starts its own, which ends with it"
        raise ConfigError(message, fix="prefect server start --background; export PREFECT_API_URL=http://127.0.0.1:4200/api")
    _open(os.environ.get("PREFECT_UI_URL") or api.removesuffix("/").removesuffix("/api"))


def _open(server: str, page: str = "") -> None:
    address = server.rstrip("/") + page
    console.out.print(f"[link={address}]{address}[/link]")
    if not webbrowser.open(address):
        console.err.print("[yellow]warning[/]: no browser could be opened here")
