"""A server is frozen while a model is being registered: the run waits and says so, and what was half there is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import services
import stores
from everything import FLOOR, configure
from workbench import copy, regraft

from regraft.core.workspace import Workspace
from regraft.registry.store import VARIABLE, store_of
from regraft.registry.tracking import Tracker

Freezing = tuple[str, Callable[[], bool]]
"""What stands in the command line of the server to freeze, and whether the model is on its way."""


@contextmanager
def mlflow(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Freezing]:
    """MLflow, which keeps artifacts in a folder."""
    with services.mlflow(folder / "mlflow") as uri:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        artifacts = folder / "mlflow" / "artifacts"
        yield f"mlflow server --port {uri.rpartition(':')[2]}", lambda: any(artifacts.rglob("*.safetensors"))


@contextmanager
def s3(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Freezing]:
    """A bucket that holds the store and MLflow's artifacts."""
    import boto3

    port, name = stores.free_port(), "shared"
    address, argv = f"http://127.0.0.1:{port}", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with services.serving(argv, folder, f"{address}/moto-api/", {}):
        for variable, value in {**stores.KEYS, "AWS_ENDPOINT_URL_S3": address, "MLFLOW_S3_ENDPOINT_URL": address}.items():
            patch.setenv(variable, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket=name)
        patch.setenv(VARIABLE, f"s3://{name}/regraft")

        def on_its_way() -> bool:
            listed = client.list_objects_v2(Bucket=name, Prefix="mlflow/").get("Contents", ())
            return any(item["Key"].endswith(".safetensors") for item in listed)

        with services.mlflow(folder / "mlflow", f"s3://{name}/mlflow") as uri:
            patch.setenv("MLFLOW_TRACKING_URI", uri)
            yield f"moto.server -H 127.0.0.1 -p {port}", on_its_way


@pytest.mark.release("prefect_waits_test.py waits for a store; stores_test.py has a frozen S3")
@pytest.mark.parametrize("serving", [mlflow, s3])
def test_a_server_that_freezes_while_a_model_is_registered_is_waited_for(
    serving: Callable[..., Iterator[Freezing]], tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(tiny_template, tmp_path / "w")
    configure(root, adapt="never", gates=[FLOOR])
    assert regraft(root, "dvc").returncode == 0
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # of 120; a busy machine answers within it
    with serving(tmp_path, monkeypatch) as (command, on_its_way):  # type: ignore[attr-defined]
        argv = [sys.executable, "-m", "regraft", "run", "tiny"]
        run = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        services.until(on_its_way)
        server = services.group_of(command)
        os.killpg(server, signal.SIGSTOP)
        try:
            services.until(lambda: run.poll() is not None or "it is tried again for a while" in warnings(root))
        finally:
            os.killpg(server, signal.SIGCONT)
        told, _ = run.communicate(timeout=services.PATIENCE)
        assert run.returncode == 0, told
        assert "Read timed out; it is tried again for a while" in " ".join(told.split())
        with Tracker(Workspace(root)).store() as client:
            assert [version.version for version in client.search_model_versions("name='tiny'")] == ["1"]
        assert [entry.action for entry in store_of(Workspace(root)).journal("tiny").entries()] == ["register", "promote"]


def warnings(root: Path) -> str:
    return "".join(path.read_text() for path in (root / ".regraft" / "logs").glob("*.events.jsonl"))
