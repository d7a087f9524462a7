"""docs/operate.md on a server and an agent of the tests' own: a schedule fires, a change is decided on, another clone is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx
import pytest
import services
from everything import FLIPS, FLOOR, KEPT, Ran, configure
from services import ended, flow_run, flow_runs, trigger, until
from snippets import PAGES, blocks, commands, missing
from workbench import regraft

from regraft.core import files

PAGE = next(page for page in PAGES if page.name == "operate.md")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A whole Prefect server, with the service that schedules; PREFECT_API_URL names it."""
    with services.prefect(tmp_path / "prefect") as api:
        monkeypatch.setenv("PREFECT_API_URL", api)
        yield api


def emit(url: str, event: str, resource: str) -> None:
    """Say that something has happened, as a bucket's notification does."""
    about = {"event": event, "occurred": datetime.now(UTC).isoformat(), "id": str(uuid4()), "resource": {"prefect.resource.id": resource}}
    httpx.post(f"{url}/events", json=[about]).raise_for_status()


def make_block(url: str, address: str) -> None:
    """Make a notification block of the server, as a person does in its pages."""
    kind = httpx.get(f"{url}/block_types/slug/custom-webhook").raise_for_status().json()
    (schema, *_) = httpx.post(f"{url}/block_schemas/filter", json={"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}}).json()
    data = {"name": "ops", "url": address, "json_data": {"title": "{{subject}}", "text": "{{body}}"}}
    document = {"name": "ops", "data": data, "block_type_id": kind["id"], "block_schema_id": schema["id"]}
    httpx.post(f"{url}/block_documents/", json=document).raise_for_status()


def test_a_schedule_fires_and_an_agent_runs_what_was_deployed(server: str, ran: Ran, tmp_path: Path) -> None:
    root, path = ran.root, ran.root / "pipelines" / "tiny.yaml"
    without = path.read_text()
    configure(root, schedule={"cron": "0 3 * * 1", "timezone": "Europe/Berlin"})
    with TemporaryDirectory() as srv:  # shorter than tmp_path: lines are compared whole

        def here(text: str) -> str:
            return text.replace("demo", "tiny").replace("/srv", srv)

        for block in blocks(PAGE, "console"):
            for command in commands(block):
                typed = regraft(root, *here(command.text).split()[1:])
                assert missing([here(line) for line in command.shown], typed.stdout) == [], typed.stdout + typed.stderr

    path.write_text(without)
    with services.receiver() as (address, came), services.agent(root):
        make_block(server, address)
        configure(root, schedule={"interval": "30s"}, notify={"block": "custom-webhook/ops", "about": ["failed", "passed"]})
        assert "tiny: changed (description, schedule, notify); every 30s" in regraft(root, "deploy").stdout
        unchanged = until(lambda: flow_runs(server, name="Unchanged"))
        assert unchanged[0]["auto_scheduled"]
        assert unchanged[0]["state"]["message"].startswith(f"nothing changed since {ran.result['run']}: ")

        configure(root, schedule={"interval": "1d"})  # what is waited for below is asked for: every run more takes 6 s of processor
        assert "every 1d" in regraft(root, "deploy").stdout
        configure(root, gates=[FLOOR, FLIPS, *KEPT])
        failed = ended(server, trigger(server, "retrain/tiny"))
        assert (failed["name"], "where it was deployed; next: " in failed["message"]) == ("Failed", True), failed

        assert "tiny: changed (expected)" in regraft(root, "deploy", "tiny").stdout
        completed = ended(server, asked := trigger(server, "retrain/tiny"))
        result = files.read_json(root / "state" / "latest" / "tiny.json")
        assert flow_run(server, asked)["name"] == result["run"] != ran.result["run"]
        assert (completed["name"], completed["message"]) == ("Completed", result["sentence"])
        (passed,) = until(lambda: [message["text"] for message in came if message["title"] == "tiny: passed"])
        assert passed.splitlines()[0] == result["sentence"]
        assert f"/runs/{result['mlflow_run_id']}/artifacts/report.html" in passed
        assert {message["title"] for message in came} == {"tiny: passed", "tiny: it could not be done"}

        inbox = tmp_path / "inbox"
        inbox.mkdir()
        configure(root, inbox={"path": str(inbox), "settle": "0s", "schedule": {"interval": "1d"}})
        assert f"tiny-inbox: new; {inbox}, every 1d" in regraft(root, "deploy", "tiny").stdout
        (inbox / "may.csv").write_text("id,text,label\nmay-1,one row that came by itself,garden\n")
        emit(server, "regraft.inbox", "regraft.inbox.tiny")
        until(lambda: "may.csv** is version 2" in "".join(run["state"]["message"] or "" for run in flow_runs(server, name="Completed")))
