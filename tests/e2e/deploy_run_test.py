"""docs/operate.md on a server and an agent of the tests' own: a schedule fires, a change is decided on, another clone is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from everything import FLIPS, FLOOR, KEPT, Ran, configure
from snippets import PAGES, blocks, commands, missing
from workbench import PATIENCE, regraft

from regraft.core import files

PAGE = next(page for page in PAGES if page.name == "operate.md")
QUICK = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1", "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_SERVER_UI_ENABLED": "false"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A whole Prefect server, with the service that schedules; PREFECT_API_URL names it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {**QUICK, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}.items():
        monkeypatch.setenv(name, value)
    argv = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True) as process:
        try:
            until(lambda: answers(os.environ["PREFECT_API_URL"]))
            yield os.environ["PREFECT_API_URL"]
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def until(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, as soon as it is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.3)
    return found


def answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.HTTPError:
        return False


def runs(url: str, state: str) -> list[dict[str, Any]]:
    """The flow runs in a state called ``state``, the last first."""
    import httpx

    wanted = {"flow_runs": {"state": {"name": {"any_": [state]}}}, "sort": "EXPECTED_START_TIME_DESC"}
    return list(httpx.post(f"{url}/flow_runs/filter", json=wanted).json())


def emit(url: str, event: str, resource: str) -> None:
    """Say that something has happened, as a bucket's notification does."""
    import httpx

    about = {"event": event, "occurred": datetime.now(UTC).isoformat(), "id": str(uuid4()), "resource": {"prefect.resource.id": resource}}
    httpx.post(f"{url}/events", json=[about]).raise_for_status()


def test_a_schedule_fires_and_an_agent_runs_what_was_deployed(server: str, ran: Ran, tmp_path: Path) -> None:
    root, path = ran.root, ran.root / "pipelines" / "tiny.yaml"
    without = path.read_text()
    configure(root, schedule={"cron": "0 3 * * 1", "timezone": "Europe/Berlin"})
    for block in blocks(PAGE, "console"):
        for command in commands(block):
            typed = regraft(root, *command.text.replace("demo", "tiny").split()[1:])
            assert missing([line.replace("demo", "tiny") for line in command.shown], typed.stdout) == [], typed.stdout + typed.stderr

    path.write_text(without)
    configure(root, schedule={"interval": "10s"})
    assert "tiny: changed (description, schedule); every 10s" in regraft(root, "deploy").stdout
    with (tmp_path / "agent.log").open("wb") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "regraft", "agent", "start"], cwd=root, stdout=log, stderr=log, start_new_session=True
        )
    try:
        unchanged = until(lambda: runs(server, "Unchanged"))
        assert unchanged[0]["auto_scheduled"]
        assert unchanged[0]["state"]["message"].startswith(f"nothing changed since {ran.result['run']}: ")

        configure(root, gates=[FLOOR, FLIPS, *KEPT])
        failed = until(lambda: runs(server, "Failed"))
        assert "where it was deployed; next: " in failed[0]["state"]["message"]

        assert "tiny: changed (expected)" in regraft(root, "deploy", "tiny").stdout
        (completed,) = until(lambda: runs(server, "Completed"))
        result = files.read_json(root / "state" / "latest" / "tiny.json")
        assert completed["name"] == result["run"] != ran.result["run"]
        assert completed["state"]["message"] == result["sentence"]

        inbox = tmp_path / "inbox"
        inbox.mkdir()
        configure(root, inbox={"path": str(inbox), "settle": "0s", "schedule": {"interval": "1d"}})
        assert f"tiny-inbox: new; {inbox}, every 1d" in regraft(root, "deploy", "tiny").stdout
        (inbox / "may.csv").write_text("id,text,label\nmay-1,one row that came by itself,garden\n")
        emit(server, "regraft.inbox", "regraft.inbox.tiny")
        until(lambda: "may.csv** is version 2" in "".join(run["state"]["message"] or "" for run in runs(server, "Completed")))
    finally:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.wait(PATIENCE)
