"""Runs, curves and evidence in a real MLflow store, its creation, and its failures."""

from __future__ import annotations

import http.server
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import PATIENCE
from stores import KEYS, free_port, s3

from regraft.core.errors import ConfigError, EnvironmentFault, Unreachable
from regraft.core.workspace import Workspace
from regraft.registry.tracking import FLOW_PAGE, Tracker

RUN = "demo-20260101T000000-abcdef"
PREPARE = """
import sys
from pathlib import Path
from regraft.registry.tracking import Tracker
from regraft.core.workspace import Workspace
Tracker(Workspace(Path(sys.argv[1]))).start_run("demo", sys.argv[2])
"""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """A store that two processes created at the same moment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "REGRAFT_STATE"):
            patch.delenv(name, raising=False)
        root = tmp_path_factory.mktemp("workspace")
        both = [subprocess.Popen([sys.executable, "-c", PREPARE, str(root), f"demo-2025010{i}T000000-abcdef"]) for i in (1, 2)]
        assert [process.wait(PATIENCE) for process in both] == [0, 0]
        yield Tracker(Workspace(root))


def test_two_processes_that_create_the_store_at_once_both_find_their_runs(tracker):
    assert {tracker.find_run(f"demo-2025010{i}T000000-abcdef").status for i in (1, 2)} == {"RUNNING"}


def test_a_flow_that_starts_again_continues_its_run(tracker):
    run_id = tracker.start_run("demo", RUN)
    tracker.finish(run_id, "FAILED")
    assert tracker.start_run("demo", RUN) == run_id
    assert tracker.find_run(RUN).status == "RUNNING"


@pytest.mark.parametrize(("tag", "page"), [("https://prefect.example/runs/flow-run/2", True), ("javascript:alert(1)", False)])
def test_a_run_leads_to_the_flow_run_that_worked_on_it_last(tracker, tag, page):
    assert tracker.find_run("demo-20250101T000000-abcdef").flow_run is None
    tracker.start_run("demo", RUN, {FLOW_PAGE: "https://prefect.example/runs/flow-run/1"})
    tracker.start_run("demo", RUN, {FLOW_PAGE: tag})
    assert tracker.find_run(RUN).flow_run == (tag if page else None)


def test_what_is_added_to_a_description_stands_there_once(tracker):
    run_id = tracker.start_run("demo", RUN)
    tracker.log_summary(run_id, note="# demo")
    for _ in range(2):
        tracker.add_to_note(run_id, "- version 1")
    with tracker.store() as client:
        assert client.get_run(run_id).data.tags["mlflow.note.content"] == "# demo\n- version 1"


def test_pages_of_mlflow_are_opened_as_model_training(tracker):
    run_id = tracker.start_run("demo", RUN)
    page = tracker.page_of(run_id, "/artifacts/report.html")
    assert page.endswith(f"/runs/{run_id}/artifacts/report.html?workflowType=machine_learning")


def test_live_curves_keep_every_point_in_more_than_one_batch(tracker):
    run_id = tracker.start_run("demo", RUN)
    tracker.log_points(run_id, "pretrain", [("loss", 1 / (x + 1), x) for x in range(2500)])
    tracker.log_metrics(run_id, "scores", {"macro_f1": 0.5})
    with tracker.store() as client:
        history = client.get_metric_history(run_id, "pretrain/loss")
        assert sorted((point.step, point.value) for point in history) == [(x, 1 / (x + 1)) for x in range(2500)]
        assert client.get_run(run_id).data.metrics["scores/macro_f1"] == 0.5


def test_curves_are_told_from_final_numbers_and_old_names_are_read(tracker):
    run_id = tracker.start_run("demo", RUN)
    tracker.log_points(run_id, "finetune-base", [("finetune-base/loss", 0.5, 1), ("finetune-base/loss", 0.25, 2)])
    tracker.log_metrics(run_id, "finetune-base", {"loss": 0.75, "rows": 100})
    tracker.log_points(run_id, "pretrain/pretrain", [("loss", 4.0, 1)])  # as 0.2 called it
    tracker.log_points(run_id, "pretrain", [("heldout_loss_before", 6.0, 0)])
    assert tracker.curves(run_id, "finetune-base") == {"loss": [(1, 0.5), (2, 0.25)]}
    assert tracker.curves(run_id, "pretrain") == {"loss": [(1, 4.0)], "heldout_loss_before": [(0, 6.0)]}


def test_a_pipeline_s_evidence_is_that_of_its_latest_run_with_a_verdict(tracker, tmp_path):
    with pytest.raises(ConfigError, match="with a verdict"):
        tracker.download_evidence("demo")
    (tmp_path / "predictions").mkdir()
    (tmp_path / "verdict.json").write_text('{"outcome": "pass"}\n')
    (tmp_path / "predictions" / "base.parquet").write_bytes(b"\0\1")
    tracker.log_evidence(tracker.start_run("demo", RUN), tmp_path, "pass")
    tracker.start_run("demo", "demo-20270101T000000-abcdef")  # later, undecided
    for name in ("demo", RUN):
        folder = tracker.download_evidence(name)
        assert (folder / "verdict.json").read_bytes() == b'{"outcome": "pass"}\n'
        assert (folder / "predictions" / "base.parquet").read_bytes() == b"\0\1"
    assert tracker.find_run("demo").name == "demo-20270101T000000-abcdef"
    assert tracker.find_run(RUN).outcome == "pass"


@pytest.mark.parametrize("name", ["demo-20990101T000000-abcdef", "nope", "it's", "demo-'"])
def test_an_unknown_run_is_named(tracker, name):
    with pytest.raises(ConfigError, match="no run") as caught:
        tracker.find_run(name)
    assert repr(name) in str(caught.value)


def test_runs_that_a_kill_left_running_are_ended_but_not_ones_own(tracker):
    keep = tracker.start_run("reaped", "reaped-20260101T000000-abcdef")
    tracker.start_run("reaped", "reaped-20260101T000000-abcdee")
    assert tracker.reap("reaped", keep) == 1
    assert tracker.find_run("reaped-20260101T000000-abcdee").status == "KILLED"
    assert tracker.find_run("reaped-20260101T000000-abcdef").status == "RUNNING"


def test_a_kill_while_the_store_is_being_created_leaves_none_behind_and_the_next_use_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # a copy that an earlier test kept would be there at once
    process = subprocess.Popen([sys.executable, "-c", PREPARE, str(tmp_path), RUN])
    state, deadline = tmp_path / "state", time.monotonic() + PATIENCE
    while not list(state.glob(".mlflow.db.*/mlflow.db")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it was too quick to be killed in the middle"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (state / "mlflow.db").exists()
    assert subprocess.run([sys.executable, "-c", PREPARE, str(tmp_path), RUN], timeout=PATIENCE, check=False).returncode == 0
    with sqlite3.connect(state / "mlflow.db") as database:
        assert database.execute("SELECT name FROM runs").fetchall() == [(RUN,)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_that_cannot_be_used_is_named_without_its_password(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(EnvironmentFault, match=r"127\.0\.0\.1:9") as caught:
        Tracker(Workspace(tmp_path)).start_run("demo", RUN)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 8


@pytest.mark.parametrize(
    ("status", "kind", "said", "fix"),
    [
        (
            401,
            EnvironmentFault,
            "asks for a name and a password, and knows no 'ada' with the password that was sent",
            "MLFLOW_TRACKING_USERNAME=",
        ),
        (403, EnvironmentFault, "does not permit ada to do that", "ask its administrator"),
        (503, Unreachable, "does not answer: too many 503 error responses", "regraft doctor"),
        (None, Unreachable, "does not answer: Connection refused", "regraft doctor"),
    ],
)
def test_a_server_that_refuses_or_is_away_is_told_in_a_line(monkeypatch, tmp_path, status, kind, said, fix):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port if status else free_port()
        for name, value in {"URI": f"http://127.0.0.1:{port}", "USERNAME": "ada", "PASSWORD": "guessed"}.items():
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(EnvironmentFault) as caught:
            Tracker(Workspace(tmp_path)).start_run("demo", RUN)
        server.shutdown()
    assert type(caught.value) is kind
    assert str(caught.value) == f"MLflow at http://127.0.0.1:{port} {said}"
    assert fix in str(caught.value.fix)


def test_a_damaged_database_is_a_message_and_not_a_traceback(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mlflow.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(EnvironmentFault, match=r"mlflow\.db"):
        Tracker(Workspace(tmp_path)).prepare()
    with pytest.raises(EnvironmentFault, match=r"mlflow\.db"):
        Tracker(Workspace(tmp_path)).aliases("demo")


def test_nothing_of_mlflow_reaches_the_terminal(tmp_path: Path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "REGRAFT_"))}
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    done = subprocess.run([sys.executable, "-c", PREPARE, str(tmp_path), RUN], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("there", "kind", "said"),
    [
        (False, Unreachable, r"the artifacts of MLflow at sqlite:\S+ are not to be had: Could not connect to the endpoint URL"),
        (True, EnvironmentFault, r"the artifacts of MLflow at sqlite:\S+ are not to be had: .*bucket does not exist"),
    ],
)
def test_artifacts_that_go_to_s3_from_here_and_cannot_are_told_in_words(tracker, monkeypatch, tmp_path, there, kind, said):
    with s3() as endpoint:
        address = endpoint if there else f"http://127.0.0.1:{free_port()}"
        for name, value in {**KEYS, "AWS_ENDPOINT_URL_S3": address, "MLFLOW_S3_ENDPOINT_URL": address, "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)
        pipeline = f"in_s3_{there}".lower()
        with tracker.store() as client:
            client.create_experiment(f"regraft/{pipeline}", "s3://no-such-bucket-here/x")
        (tmp_path / "verdict.json").write_text("{}")
        with pytest.raises(EnvironmentFault, match=said) as caught:
            tracker.log_evidence(tracker.start_run(pipeline, f"{pipeline}-20260101T000000-abcdef"), tmp_path, "pass")
    assert type(caught.value) is kind
