"""MLflow's server is frozen while a model is being registered: the run waits and says so, and what was half there is there once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import services
from everything import FLOOR, configure
from workbench import copy, regraft

from regraft.core.workspace import Workspace
from regraft.registry.tracking import Tracker


@pytest.mark.release("prefect_waits_test.py waits for a store; registry_promotion_test.py does things twice")
def test_a_server_that_freezes_while_a_model_is_registered_is_waited_for(
    tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(tiny_template, tmp_path / "w")
    configure(root, adapt="never", gates=[FLOOR])
    assert regraft(root, "dvc").returncode == 0
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    with services.mlflow(tmp_path / "mlflow") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        argv = [sys.executable, "-m", "regraft", "run", "tiny"]
        run = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        services.until(lambda: list((tmp_path / "mlflow" / "artifacts").rglob("*.safetensors")))
        server = services.group_of(f"mlflow server --port {uri.rpartition(':')[2]}")
        os.killpg(server, signal.SIGSTOP)
        try:
            services.until(lambda: run.poll() is not None or "does not answer: Read timed out; it is tried again" in warnings(root))
        finally:
            os.killpg(server, signal.SIGCONT)
        told, _ = run.communicate(timeout=services.PATIENCE)
        assert run.returncode == 0, told
        assert "it is tried again for a while" in told
        with Tracker(Workspace(root)).store() as client:
            assert [version.version for version in client.search_model_versions("name='tiny'")] == ["1"]
        actions = [json.loads(path.read_text())["action"] for path in sorted((root / "state/journal/tiny").glob("*.json"))]
        assert actions == ["register", "promote"]


def warnings(root: Path) -> str:
    return "".join(path.read_text() for path in (root / ".regraft" / "logs").glob("*.events.jsonl"))
