"""The doctor's findings, against real sockets, real metadata and real files."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from regraft.core.errors import Conflict, EnvironmentFault
from regraft.core.lock import open_lock, take
from regraft.core.workspace import Workspace
from regraft.execution import dvc
from regraft.registry.journal import Journal
from regraft.registry.stores.folder import Folder
from regraft.upkeep import doctor, template
from regraft.upkeep.doctor import folder, installation, journal, machine, stores
from regraft.upkeep.doctor.check import Check

Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL", "REGRAFT_STATE", *installation.TELEMETRY_OFF):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(stores, "TIMEOUT", 0.5)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "demo.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    return Workspace(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A web server on loopback that gives one answer to everything; returns its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes = b"") -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def only(checks: Iterator[Check]) -> Check:
    (check,) = checks
    return check


# -- the installation


def pretend(folder: Path, name: str, version: str, *requires: str) -> None:
    """Metadata of a distribution, as pip would leave it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.11,<3.14"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in requires)]) + "\n")


def test_what_is_installed_here_is_in_the_supported_ranges():
    assert [check for check in installation.libraries() if check.state == "bad"] == []


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("fastapi", "0.152.0", "the Prefect server cannot start"),
        ("sqlalchemy", "2.1.9", "schedules never produce a run"),
        ("prefect", "3.9.1", "certifi"),
        ("torch", "2.14.0", "one version of torch"),
    ],
)
def test_a_known_bad_version_is_named_with_what_it_breaks(name, version, says, tmp_path, monkeypatch):
    pretend(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)
    found = {check.name: check for check in installation.libraries()}[name]
    assert (found.state, version in found.message, says in found.message) == ("bad", True, True)
    assert found.fix.startswith(f"pip install '{name}<")


def test_a_local_build_of_torch_is_the_version_it_is_a_build_of(tmp_path, monkeypatch):
    pretend(tmp_path, "torch", "2.13.0+cu130")
    monkeypatch.syspath_prepend(tmp_path)
    assert "torch" not in {check.name for check in installation.libraries()}


def test_a_missing_mlflow_is_seen_although_the_workspace_has_a_folder_of_that_name(tmp_path, monkeypatch):
    pretend(tmp_path, "regraft", "0.1.0", "mlflow>=3.17", 'boto3>=1.43; extra == "s3"')
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = {check.name: check for check in installation.libraries()}
    assert found["mlflow"].message.startswith("not installed")
    assert "folder mlflow/" in found["mlflow"].message
    assert "boto3" not in found, "an extra that nobody asked for is not missing"


def test_a_python_outside_the_range_is_bad(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    check = only(installation.python())
    assert (check.state, check.message.startswith(f"3.10.4; regraft {version('regraft')} needs ")) == ("bad", True)


@pytest.mark.parametrize(("value", "state"), [("true", "ok"), ("1", "ok"), ("false", "warn")])
def test_telemetry_that_the_environment_turns_on_is_told(value, state, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", value)
    check = only(installation.telemetry())
    assert check.state == state
    assert (check.fix == "unset MLFLOW_DISABLE_TELEMETRY") == (state == "warn")


# -- stores


def test_without_configuration_every_store_is_local_and_well(workspace):
    assert {check.state for check in [*stores.prefect(), *stores.tracking(workspace), *stores.s3_endpoint()]} == {"ok"}


def test_unreachable_servers_are_named_without_their_passwords(closed_port, workspace, monkeypatch):
    url = f"http://me:hunter2@127.0.0.1:{closed_port}"
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.setenv(name, url)
    for check in [*stores.prefect(), *stores.tracking(workspace), *stores.s3_endpoint()]:
        assert (check.state, "not reachable" in check.message) == ("bad", True)
        assert f"127.0.0.1:{closed_port}" in check.message
        assert "hunter2" not in check.message


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, b"true", "ok"),
        (200, b"<html>", "bad"),
        (401, b"", "warn"),
        (503, b"", "bad"),
    ],
)
def test_a_prefect_server_is_judged_by_what_it_says(status, body, state, serve, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", serve(status, body) + "/api")
    assert only(stores.prefect()).state == state


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (401, "warn"), (500, "bad")])
def test_a_tracking_server_is_judged_by_its_health(status, state, serve, workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serve(status, b"OK"))
    assert only(stores.tracking(workspace)).state == state


@pytest.mark.parametrize(
    ("uri", "state"),
    [
        ("sqlite:///{root}/mlflow.db", "ok"),
        ("sqlite:////nowhere/at/all/mlflow.db", "bad"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:{port}/mlflow", "bad"),
        ("file:///tmp/mlruns", "bad"),
    ],
)
def test_a_tracking_database_has_to_be_within_reach(uri, state, workspace, closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(root=workspace.root, port=closed_port))
    check = only(stores.tracking(workspace))
    assert check.state == state
    assert "secret" not in check.message


@pytest.mark.parametrize(("status", "state"), [(403, "ok"), (404, "ok"), (503, "bad")])
def test_an_s3_store_that_does_not_know_us_is_a_store(status, state, serve, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", serve(status))
    assert only(stores.s3_endpoint()).state == state


def test_a_server_that_never_answers_costs_its_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        code, _ = stores.get(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert isinstance(code, str)
        assert time.monotonic() - start < 5 * stores.TIMEOUT


def test_every_dvc_remote_is_looked_at(workspace, closed_port, serve):
    dvc.ensure_repository(workspace)
    with (workspace.root / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"near\"']\n    url = {workspace.root}/cache\n['remote \"gone\"']\n    url = /no/such/mount/cache\n")
        for name, endpoint in (("dead", f"http://127.0.0.1:{closed_port}"), ("denied", serve(403)), ("fine", serve(200))):
            config.write(f"['remote \"{name}\"']\n    url = s3://bucket/dvc\n    endpointurl = {endpoint}\n    region = eu-west-1\n")
            config.write("    access_key_id = me\n    secret_access_key = hunter2\n")
        config.write("['remote \"cloud\"']\n    url = gs://bucket\n")
    found = {check.name.removeprefix("dvc remote "): check for check in stores.remotes(workspace)}
    assert {name: check.state for name, check in found.items()} == {
        "near": "ok", "gone": "bad", "dead": "bad", "denied": "bad", "fine": "ok", "cloud": "bad",
    }  # fmt: skip
    assert "denies access" in found["denied"].message
    assert found["cloud"].fix == "pip install dvc-gs"
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("line", ["secret_access_key = hunter2", "url = https://me:hunter2@host/dvc", "session_token = hunter2"])
def test_a_secret_in_the_committed_dvc_config_is_named_but_not_printed(line, workspace):
    (workspace.root / ".dvc").mkdir()
    (workspace.root / ".dvc" / "config").write_text(f"['remote \"storage\"']\n    region = x\n    {line}\n")
    check = only(stores.secrets(workspace))
    assert (check.state, f"storage.{line.split()[0]}" in check.message, "hunter2" in str(check)) == ("warn", True, False)


def test_a_dvc_config_without_secrets_is_no_finding(workspace):
    (workspace.root / ".dvc").mkdir()
    (workspace.root / ".dvc" / "config").write_text("[core]\n    remote = storage\n['remote \"storage\"']\n    url = s3://bucket/dvc\n")
    assert list(stores.secrets(workspace)) == []


# -- the registry


def model(version: str) -> dict[str, str]:
    return {"version": version, "digest": version * 64}


def alias(workspace: Workspace, version: int) -> None:
    """What MLflow's sqlite registry holds of an alias (mlflow 3.17, SqlRegisteredModelAlias)."""
    with closing(sqlite3.connect(workspace.state / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE registered_model_aliases (workspace TEXT, name TEXT, alias TEXT, version INTEGER)")
        database.execute("INSERT INTO registered_model_aliases VALUES ('default', 'demo', 'champion', ?)", (version,))


def test_a_champion_that_follows_the_journal_is_well(workspace):
    Journal(Folder(workspace.state), "demo").append(0, "promote", from_=None, to=model("1"), run="r", reason="")
    alias(workspace, 1)
    check = only(journal.registry(workspace))
    assert (check.state, "version 1 is champion" in check.message) == ("ok", True)


@pytest.mark.parametrize(
    ("outcome", "state", "says"),
    [
        (["alias champion: 2 -> 1"], "warn", "2 -> 1"),
        (Conflict("a champion that this journal never knew", fix="go there"), "bad", "never knew"),
    ],
)
def test_what_became_of_an_alias_that_lagged_behind_is_told(outcome, state, says, workspace, monkeypatch):
    def project(*_: object) -> list[str]:
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)

    monkeypatch.setattr(journal, "project", project)  # tests/integration/registry_promotion_test.py has the real one
    Journal(Folder(workspace.state), "demo").append(0, "promote", from_=None, to=model("1"), run="r", reason="")
    check = only(journal.registry(workspace))
    assert (check.state, says in check.message) == (state, True)


def test_an_edited_journal_is_bad(workspace):
    written = Journal(Folder(workspace.state), "demo")
    for seq in range(2):
        written.append(seq, "register", from_=None, to=model(str(seq)), run="r", reason="")
    first = workspace.state / "journal" / "demo" / "00000001.json"
    first.write_text(first.read_text().replace('"reason": ""', '"reason": "because"'))
    check = only(journal.registry(workspace))
    assert (check.state, "entry 1 was edited" in check.message) == ("bad", True)


def test_a_server_that_cannot_be_asked_leaves_the_champion_open(workspace, closed_port, monkeypatch):
    Journal(Folder(workspace.state), "demo").append(0, "promote", from_=None, to=model("1"), run="r", reason="")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    assert only(journal.registry(workspace)).state == "warn"


# -- the folder


def test_a_half_written_step_is_told_from_one_at_work(workspace):
    (workspace.artifacts("demo", "corpus") / ".partial").mkdir(parents=True)
    assert only(folder.leftovers(workspace)).state == "warn"
    with closing(open(open_lock(workspace.scratch / "locks" / "demo.alive"))) as held:
        take(held.fileno(), shared=True)
        check = only(folder.leftovers(workspace))
        assert (check.state, "in progress" in check.message) == ("ok", True)


def test_checkpoints_that_nobody_will_resume_are_named(workspace):
    for pipeline in ("demo", "removed"):
        (workspace.checkpoints(pipeline, "pretrain", "f" * 64) / "1").mkdir(parents=True)
    check = only(folder.leftovers(workspace))
    assert "removed/pretrain" in check.message
    assert "its pipeline is gone" in check.message


def test_a_state_folder_that_cannot_be_written_is_bad(workspace, monkeypatch):
    monkeypatch.setenv("REGRAFT_STATE", "/proc/regraft")
    assert next(folder.state(workspace)).state == "bad"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_root_in_a_workspace_of_somebody_else_is_warned(workspace):
    (check,) = machine.owner(workspace)
    assert check.state == "ok"
    os.chown(workspace.root, 12345, -1)
    (check,) = machine.owner(workspace)
    assert (check.state, "belongs to uid 12345, and this is root" in check.message) == ("warn", True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_what_another_user_left_is_named_with_the_command_that_gives_it_back(workspace, monkeypatch):
    (denied := workspace.scratch / "locks").mkdir(parents=True)
    for path in (workspace.root, workspace.scratch):
        os.chown(path, 12345, -1)
    with monkeypatch.context() as other:  # a process of that user would not see pytest's folder
        other.setattr(os, "geteuid", lambda: 12345)
        other.setattr(os, "access", lambda path, _: path.stat().st_uid == 12345)
        (check,) = machine.owner(workspace)
    assert (check.state, check.message) == ("bad", f"{denied} belongs to root, and this is uid 12345")
    assert check.fix == f"sudo chown -R 12345 {denied}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_a_name_has_one_for_the_libraries_that_ask():
    code = "import getpass, os; from regraft.cli import environment; os.setuid(54321); environment.prepare(); print(getpass.getuser())"
    nameless = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    assert subprocess.run([sys.executable, "-c", code], env=nameless, capture_output=True, text=True, check=True).stdout == "uid 54321\n"


def test_a_probe_that_may_not_read_names_the_owner_and_the_command(tmp_path):
    (file := tmp_path / "model").touch()

    def refused() -> Iterator[Check]:
        raise PermissionError(13, "Permission denied", str(file))

    (check,) = doctor.at_once({"pipelines": refused}, 10.0)
    assert (check.state, check.fix) == ("bad", f"chmod -R u+rwX {file}")
    assert f"could not be examined: Permission denied ({file})" in check.message


def test_a_clock_that_was_set_back_is_told_by_the_journal(workspace, monkeypatch):
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=1)

    assert [check.state for check in machine.clock(workspace)] == ["ok"]
    monkeypatch.setattr("regraft.registry.journal.datetime", Tomorrow)
    Journal(Folder(workspace.state), "demo").append(0, "promote", from_=None, to=model("1"), run="r", reason="")
    (check,) = machine.clock(workspace)
    assert (check.state, "ahead of this clock" in check.message) == ("warn", True)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "no proxy, nothing of Prefect's"),
        ({"HTTP_PROXY": "http://me:hunter2@proxy:3128"}, "HTTP_PROXY: not for traffic to this machine itself"),
        ({"PREFECT_PROFILE": "work"}, "PREFECT_PROFILE: not taken"),
        ({"PREFECT_PROFILE": "work", "PREFECT_API_URL": "http://127.0.0.1:9/api"}, "no proxy, nothing of Prefect's"),
    ],
)
def test_what_runs_leave_of_the_shell_s_variables_is_said_without_their_values(variables, says, monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (check,) = machine.variables()
    assert (check.state, says in check.message, "hunter2" in check.message) == ("ok", True, False)


@pytest.mark.parametrize(("folder", "state"), [("/proc/nowhere/home", "warn"), ("/tmp", "ok")])
def test_a_home_that_cannot_be_written_is_a_warning(folder, state, monkeypatch):
    monkeypatch.setenv("HOME", folder)
    assert [check.state for check in machine.home()] == [state]


def test_python_in_the_folder_mlflow_is_bad(workspace):
    (workspace.root / "mlflow").mkdir()
    (workspace.root / "mlflow" / "__init__.py").touch()
    assert next(folder.pipelines(workspace)).name == "mlflow/"


def test_ones_own_changes_are_told_and_a_template_that_moved_on_is_a_warning(workspace, monkeypatch):
    drifts = [template.Drift("tasks/a.py", "you")]
    monkeypatch.setattr(template, "drift", lambda _: drifts)
    assert only(folder.template(workspace)) == Check("template", "ok", "tasks/a.py: you changed it")
    drifts.append(template.Drift("tasks/b.py", "library"))
    assert only(folder.template(workspace)).state == "warn"


# -- all at once


def test_probes_run_at_once_and_one_that_hangs_is_reported():
    def slow(name: str) -> Iterator[Check]:
        time.sleep(0.3)
        yield Check(name, "ok", "")

    def raising() -> Iterator[Check]:
        yield Check("first", "ok", "")
        raise EnvironmentFault("no", fix="yes")

    def bug() -> Iterator[Check]:
        yield Check("x", "ok", str(1 / 0))

    probes = {**{f"slow {i}": lambda i=i: slow(f"slow {i}") for i in range(5)}, "raising": raising, "bug": bug}
    probes["hangs"] = lambda: iter([time.sleep(60)])  # type: ignore[list-item,func-returns-value]
    start = time.monotonic()
    found = doctor.at_once(probes, deadline=1.0)
    assert time.monotonic() - start < 2
    assert [(check.name, check.state) for check in found] == [
        *((f"slow {i}", "ok") for i in range(5)), ("raising", "bad"), ("bug", "bad"), ("hangs", "bad"),
    ]  # fmt: skip
    assert "ZeroDivisionError" in found[-2].message


def test_without_a_workspace_the_installation_is_examined_all_the_same():
    found = {check.name: check.state for check in doctor.examine(None)}
    assert found["libraries"] == "ok"
    assert found["workspace"] == "warn"
    assert "bad" not in found.values()
