"""Real commands and a real loopback server; nothing that goes wrong there is more than a sentence."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from regraft.core.workspace import Workspace
from regraft.execution.notify import document, notify

RUN = "demo-20260101T000000-abcdef"
RESULT = {"pipeline": "demo", "run": RUN, "outcome": "pass", "exit": 0, "sentence": "it won", "champion": {"version": "3"}, "gates": []}
TOLD = document(RESULT, {"schema": 1, "outcome": "pass", "findings": []})


@dataclass
class Server:
    """What was posted to it, and how it answers."""

    port: int = 0
    status: int = 204
    drips: bool = False
    """It answers a byte every 0.1 s, for ever."""
    bodies: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/secret"


@pytest.fixture
def server() -> Iterator[Server]:
    seen = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(seen.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            try:
                while seen.drips:
                    self.wfile.write(b".")
                    self.wfile.flush()
                    time.sleep(0.1)
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.port = listening.server_port
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield seen
    seen.drips = False
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REGRAFT_WORKSPACE", str(tmp_path))
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return Workspace(tmp_path)


def tell(workspace: Workspace, **options: Any) -> list[str]:
    return notify(workspace, RUN, {"seconds": 10, **options}, TOLD)


def test_a_command_and_a_webhook_get_the_same_document(workspace, server, monkeypatch):
    monkeypatch.setenv("HOOK", server.address)
    assert tell(workspace, command="cat > told.json", webhook="${HOOK}") == []
    assert json.loads((workspace.root / "told.json").read_text()) == TOLD
    assert [json.loads(body) for body in server.bodies] == [TOLD]
    assert {key: TOLD[key] for key in ("event", "run", "outcome", "exit")} == {"event": "verdict", "run": RUN, "outcome": "pass", "exit": 0}
    assert not list((workspace.scratch / "notify").iterdir()), "the address was left behind"


def test_nobody_to_tell_starts_no_process(workspace):
    assert notify(workspace, RUN, None, TOLD) == []
    assert not workspace.scratch.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "notify.command: ended with exit 3: exit 3"),
        ("true", None),  # it does not read its stdin
        ("no-such-program", "notify.command: ended with exit 127: no-such-program"),
        ("kill -9 $$", "notify.command: ended with exit -9: kill -9 $$"),
        ("test -z \"$REGRAFT_INVOCATION\"", None),
    ],
)  # fmt: skip
def test_a_command_that_fails_is_a_sentence(command, said, workspace, monkeypatch):
    monkeypatch.setenv("REGRAFT_INVOCATION", "nothing-0")
    assert tell(workspace, command=command) == ([said] if said else [])


def test_a_command_that_hangs_is_stopped_with_all_it_started(workspace):
    started = time.monotonic()
    said = tell(workspace, command="(while :; do date >> beats; sleep 0.05; done) & wait", seconds=0.5)
    assert said == ["notify.command: took longer than 0.5 s and was stopped"]
    assert time.monotonic() - started < 8
    beats = (workspace.root / "beats").read_text()
    time.sleep(0.3)
    assert (workspace.root / "beats").read_text() == beats, "a child of the hook is still alive"


@pytest.mark.parametrize(("status", "said"), [(500, "answered 500"), (403, "answered 403"), (302, "answered 302"), (200, None)])
def test_an_answer_that_is_no_success_is_a_sentence_without_the_address(status, said, workspace, server):
    server.status = status
    problems = tell(workspace, webhook=server.address)
    assert len(problems) == (said is not None)
    assert all(f"notify.webhook: 127.0.0.1 {said}" in problem and "secret" not in problem for problem in problems)


def test_a_server_that_drips_is_left_after_the_time_limit(workspace, server):
    server.drips, server.status = True, 200
    assert tell(workspace, webhook=server.address, seconds=0.5) == ["notify.webhook: took longer than 0.5 s and was stopped"]


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ("http://127.0.0.1:9/services/secret", "notify.webhook: 127.0.0.1 cannot be reached"),
        ("${NOT_SET_ANYWHERE}", "notify.webhook: NOT_SET_ANYWHERE is not set in the environment; nothing was sent"),
        ("http://[secret", "notify.webhook: it is not an address"),
    ],
)
def test_an_address_where_nobody_is_is_a_sentence(webhook, said, workspace):
    assert tell(workspace, webhook=webhook) == [said]


def test_a_failing_command_does_not_keep_the_webhook_from_being_called(workspace, server):
    assert len(tell(workspace, command="exit 1", webhook=server.address)) == 1
    assert len(server.bodies) == 1


def test_options_that_no_release_reads_are_a_sentence(workspace):
    (said,) = tell(workspace, carrier_pigeon="coo")
    assert said.startswith("notify: ")
