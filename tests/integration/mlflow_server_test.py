"""The server that mlflow/ describes for several machines: PostgreSQL, S3 and users, started as its unit file starts it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import services
import stores
import yaml

from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.registry.tracking import Tracker

FOLDER = Path(__file__).parents[2] / "mlflow"
DATABASE = "postgresql://mlflow@db.example/mlflow"
UNIT = (FOLDER / "mlflow.service").read_text()
SECRETS = {
    "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a long password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key",
}


def shared_env() -> dict[str, str]:
    lines = (FOLDER / "shared.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def user(name: str, password: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address."""
    pytest.importorskip("flask_wtf", reason="MLflow's users need it: pip install 'mlflow[auth]'")
    with stores.postgresql() as database, stores.s3() as s3:
        for name, value in {**stores.KEYS, "AWS_ENDPOINT_URL_S3": s3, "MLFLOW_S3_ENDPOINT_URL": s3}.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "auth.ini").write_text((FOLDER / "auth.ini").read_text().replace(DATABASE, database))
        port = stores.free_port()
        own = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{stores.bucket()}/mlflow"}
        own |= {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"), "MLFLOW_PORT": str(port)}
        assert own.keys() < shared_env().keys()
        command = shlex.split(re.findall("^ExecStart=/opt/mlflow/bin/mlflow (.*)$", UNIT, re.MULTILINE)[0])
        argv = [sys.executable, "-m", "mlflow", *command]
        with services.serving(argv, tmp_path, f"http://127.0.0.1:{port}/health", {**shared_env(), **own, **SECRETS}):
            yield f"http://127.0.0.1:{port}"


@pytest.mark.release("half a minute of MLflow's start")
def test_agents_write_people_look_and_strangers_are_told_what_is_missing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = re.findall("^curl .*$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    for name in ("regraft", "ada"):
        words = command.replace("http://127.0.0.1:5000", server).replace("-u admin", "-u 'admin:a long password'")
        said = json.dumps({"username": name, "password": f"the password of {name}"})
        subprocess.run(re.sub("'{.*}'", shlex.quote(said), words), shell=True, check=True, capture_output=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)

    def run_of(name: str, password: str) -> str:
        for variable, value in user(name, password).items():
            monkeypatch.setenv(variable, value)
        tracker = Tracker(Workspace(tmp_path))
        run = tracker.start_run("demo", f"demo-20260101T000000-{len(name):06}")
        tracker.log_record(run, {"step": "contract", "metrics": {}})
        return run

    run = run_of("regraft", "the password of regraft")
    assert Tracker(Workspace(tmp_path)).find_run("demo-20260101T000000-000007").run_id == run
    with pytest.raises(EnvironmentFault, match="knows no 'regraft' with the password that was sent"):
        run_of("regraft", "a guess")
    with pytest.raises(EnvironmentFault, match="does not permit ada to do that"):
        run_of("ada", "the password of ada")


def test_unit_and_compose_file_start_the_same_server_and_name_every_secret() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    server = compose["services"]["mlflow"]
    assert f"ExecStart=/opt/mlflow/bin/{' '.join(server['command'])}\n" in UNIT
    assert server["env_file"] == ["shared.env", "secrets.env"]
    assert server["environment"].keys() < shared_env().keys()
    assert all(published.startswith("127.0.0.1:") for published in server["ports"])
    assert not [name for name in (*SECRETS, "PGPASSWORD", "AWS_SECRET_ACCESS_KEY") if name not in UNIT or name in shared_env()]


def test_systemd_takes_the_unit_file(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    unit = tmp_path / "mlflow.service"
    unit.write_text(UNIT.replace("/opt/mlflow/bin/mlflow", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
