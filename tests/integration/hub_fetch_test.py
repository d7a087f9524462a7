"""A hub out of reach is said at once and by nobody else; one within reach is fetched from. No network: two ports of this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from regraft.core.errors import EnvironmentFault

REVISION = "c" * 40
REPO = f"hub:owner/name@{REVISION}"
MODEL = "base_model.locate(sys.argv[1], Path('.'))"
DATA = "hub.fetch(sys.argv[1])"
NOISE = "a warning of the hub"


def ask(tmp_path: Path, call: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``call`` in a process of its own: huggingface_hub reads its environment when it is imported."""
    code = (
        "import sys; from pathlib import Path; from regraft.models import base_model; from regraft.core import errors\n"
        "from regraft.data import hub\n"
        f"try: print({call})\n"
        "except errors.RegraftError as error: print(error); sys.exit(error.exit_code)"
    )
    closed = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    kept = {key: value for key, value in os.environ.items() if key not in closed and not key.lower().endswith("_proxy")}
    whole = {**kept, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **env}
    return subprocess.run([sys.executable, "-c", code, REPO], capture_output=True, text=True, env=whole, check=False)


def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("call", [MODEL, DATA], ids=["a base model", "a data set"])
def test_a_hub_that_refuses_the_connection_is_named_without_a_second_try_or_a_foreign_word(tmp_path: Path, call: str) -> None:
    nobody, started = closed_port(), time.monotonic()
    done = ask(tmp_path, call, HF_ENDPOINT=f"http://{nobody}")
    assert time.monotonic() - started < 12  # 1 s on an idle machine; the tries of huggingface_hub wait 23 s alone
    assert (done.returncode, done.stderr) == (EnvironmentFault.exit_code, "")
    assert f"{REPO} is not in the local cache, or not whole, and cannot be fetched ({nobody}: Connection refused)" in done.stdout


def test_behind_a_proxy_it_is_the_proxy_that_has_to_answer(tmp_path: Path) -> None:
    nobody = closed_port()
    done = ask(tmp_path, MODEL, HF_ENDPOINT="http://hub.invalid", http_proxy=f"http://{nobody}")
    assert (done.returncode, done.stderr) == (EnvironmentFault.exit_code, "")
    assert f"cannot be fetched ({nobody}: Connection refused)" in done.stdout


class _Hub(BaseHTTPRequestHandler):
    """What a download asks of a hub: the list of files, then the head and the body of each."""

    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith(f"/api/datasets/owner/name/tree/{REVISION}"):
            entries = [{"type": "file", "path": name, "size": len(body), "oid": f"{name:0<40}"} for name, body in self.files.items()]
            body, code = json.dumps(entries).encode(), 200
        else:
            name = self.path.partition(f"/datasets/owner/name/resolve/{REVISION}/")[2]
            body, code = self.files.get(name, b""), 200 if name in self.files else 404
        self.send_response(code)
        for key, value in {"X-HF-Warning": NOISE, "X-Repo-Commit": REVISION, "ETag": f'"{len(self.path)}"'}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' stderr."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    served = type("Served", (_Hub,), {"files": {"rows.csv": b"id,text,label\n1,x,a\n", "README.md": b"of no interest"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hub_within_reach_is_fetched_from_and_its_warnings_stay_off_the_terminal(tmp_path: Path, endpoint: str) -> None:
    done = ask(tmp_path, DATA, HF_ENDPOINT=endpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(done.stdout.strip())
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]
    assert NOISE not in done.stderr
    again = ask(tmp_path, DATA, HF_ENDPOINT=f"http://{closed_port()}")
    assert (again.returncode, again.stdout) == (0, done.stdout)
