"""One run on two agents, which share a Prefect server, an MLflow server, a store and a DVC remote in S3, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import services
from everything import FLOOR, configure
from stores import url_of
from workbench import copy, regraft, told

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats


@pytest.mark.release("deploy_run_test.py has an agent that runs; handover_test.py what two clones hand over")
def test_steps_of_one_run_are_computed_by_agents_in_clones_of_their_own(
    tiny_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gpu = tmp_path / "cpu", tmp_path / "gpu"
    with url_of("s3", tmp_path) as store, services.prefect(tmp_path / "prefect") as api, services.mlflow(tmp_path / "mlflow") as tracking:
        monkeypatch.setenv("PREFECT_API_URL", api)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
        prepare(copy(tiny_template, cpu), str(store))
        copy(cpu, gpu)
        deployed = regraft(cpu, "deploy", "two")
        assert "two-gpu: new; steps that need a GPU, on agents of 'gpu'" in deployed.stdout, deployed.stdout + deployed.stderr
        for clone in (cpu, gpu):
            (tmp_path / f"home-{clone.name}").mkdir()
        one = services.agent(cpu, "--pool", "cpu", HOME=str(tmp_path / "home-cpu"))
        with one, services.agent(gpu, "--pool", "gpu", HOME=str(tmp_path / "home-gpu"), CUDA_VISIBLE_DEVICES="0"):
            state = services.ended(api, services.trigger(api, "retrain/two"))
        assert (state["type"], state["name"]) == ("COMPLETED", "Completed"), state
        names = [run["name"] for run in services.flow_runs(api, name="Completed")]
        assert sorted(name.split()[1] for name in names if " " in name) == ["finetune-base", "score-base"]
        assert told(cpu, 0, "status")["pipelines"]["two"]["champion"]["version"] == "1"
        assert not (gpu / "state").exists(), "what lasts is in the store"
        assert md5_of_model(cpu) == md5_of_model(gpu)
        dvc.ask(Workspace(gpu), "repro", "--force", "--single-item", "finetune-base@two")
        assert md5_of_model(gpu) == md5_of_model(cpu), "computed without any of this it is the same"


def prepare(root: Path, store: str) -> None:
    """A pipeline `two` with agents for its GPU steps, a store and a DVC remote in S3."""
    bucket, endpoint = store.removesuffix("/a/workspace"), os.environ["AWS_ENDPOINT_URL_S3"]
    for argv in (("add", "--default", "shared", f"{bucket}/dvc"), ("modify", "shared", "endpointurl", endpoint)):
        dvc.ask(Workspace(root), "remote", *argv)
    files.write_text(root / "regraft.yaml", f"version: 1\nstore: {store}\n")
    configure(root, adapt="never", gates=[FLOOR], agents={"cpu": "cpu", "gpu": "gpu"})
    (root / "pipelines" / "tiny.yaml").rename(root / "pipelines" / "two.yaml")
    assert regraft(root, "dvc").returncode == 0


def md5_of_model(root: Path) -> str:
    """What dvc.lock says of the model."""
    outs = dvc_formats.stages(Workspace(root))["finetune-base@two"]["outs"]
    return str(next(out["md5"] for out in outs if out["path"].endswith("/out")))
