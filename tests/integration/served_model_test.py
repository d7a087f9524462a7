"""Production: a virtual environment with mlflow, torch, transformers and safetensors, and nothing of ours.

The environment is real (``python -m venv``, its own interpreter and site-packages); the distributions in it are links
to the ones installed here: those four and what they require, nothing else. Installing them takes a minute.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from safetensors.numpy import save_file
from workbench import example_of

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.registry import Registry
from regraft.core.workspace import Workspace
from regraft.models import kinds
from regraft.registry import artifact, promotion, registration
from regraft.registry.tracking import Tracker

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / "tests" / "tiny_classifier.py"))
TEXTS = ["the array of the tensor", "frame", "of"]

SERVE = """
import importlib.util, json, sys
for ours in ("regraft", "prefect", "dvc", "great_expectations", "peft"):
    assert importlib.util.find_spec(ours) is None, ours
import mlflow
import pandas as pd

champion = mlflow.pyfunc.load_model("models:/demo@champion")
challenger = mlflow.pyfunc.load_model("models:/demo/1")  # a second version in the same process
refused = []
for bad in (pd.DataFrame({"source": ["a"], "text": ["b"]}), pd.DataFrame({"source": ["a"]}), ["a", None]):
    try:
        champion.predict(bad)
    except Exception as error:
        refused.append(str(error))
plain = champion.predict(json.loads(sys.argv[1]))
print(json.dumps({
    "columns": list(plain.columns),
    "answer": plain.to_dict("records"),
    "frame": champion.predict(pd.DataFrame({"text": json.loads(sys.argv[1])})).to_dict("records"),
    "all": champion.predict(json.loads(sys.argv[1]), params={"probabilities": True})["probabilities"].tolist(),
    "other": challenger.predict(json.loads(sys.argv[1])).to_dict("records"),
    "refused": refused,
}))
"""


def closure(*names: str) -> dict[str, Distribution]:
    """The named distributions and everything installed here that they require on this machine, extras left out."""
    found: dict[str, Distribution] = {}
    todo = list(names)
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # an optional one that is not installed here
            continue
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the interpreter."""
    home = tmp_path_factory.mktemp("production") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    for dist in closure(*(line.partition("==")[0] for line in artifact.requirements("sequence_classification"))).values():
        for top in {file.parts[0] for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(dist.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tracker, Path]:
    """A store with two versions of ``demo``, the second of them champion, and the champion's folder."""
    tracker = Tracker(Workspace(tmp_path_factory.mktemp("workspace")))
    expected = None
    for seed in (1, 2):
        folder = TINY["make"](tmp_path_factory.mktemp(f"seed{seed}") / "model", seed)
        run = f"demo-20260101T00000{seed}-abcdef"
        version = registration.register(
            tracker, "demo", run_id=tracker.start_run("demo", run), run_name=run, model_dir=folder, digest=files.digest(folder),
            verdict={"outcome": "pass", "rows": {"digest": "rows"}, "champion": expected}, input_example=TEXTS,
            data_hashes={}, git_sha=None,
        )  # fmt: skip
        expected = promotion.promote(tracker, "demo", version, expected=expected, reason="gates passed").champion
    return tracker, folder


def test_production_serves_the_champion_without_regraft_and_without_pickle(production, champion):
    tracker, folder = champion
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "MLFLOW_TRACKING_URI": tracker.uri, "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [str(production), "-c", SERVE, json.dumps(TEXTS)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["columns"] == ["label", "score"]

    measured = kinds.load(folder).predict(TEXTS)
    labels = [TINY["LABELS"][i] for i in measured.argmax(axis=1)]
    assert [row["label"] for row in said["answer"]] == labels
    assert [row["score"] for row in said["answer"]] == pytest.approx(measured.max(axis=1).tolist(), abs=1e-6)
    assert said["frame"] == said["answer"] != said["other"]
    for row, told in zip(measured.tolist(), said["all"], strict=True):
        assert list(told) == list(TINY["LABELS"])
        assert list(told.values()) == pytest.approx(row, abs=1e-6)
    two_columns, wrong_column, none = said["refused"]
    assert "one column called 'text'" in two_columns
    assert "one column called 'text'" in wrong_column
    assert "row 1" in none


OTHER_KIND = """
import json, sys
import mlflow
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(["woof", "meow"])
print(json.dumps({"answer": answer.to_dict("records"), "torch": "torch" in sys.modules}))
"""


def test_a_kind_of_another_package_is_served_without_that_package_and_without_torch(production, tmp_path, monkeypatch):
    site, folder = tmp_path / "site-packages", tmp_path / "model"
    (site / "their_kind-1.0.dist-info").mkdir(parents=True)
    (site / "their_kind.py").write_text(example_of("kind", "python"))
    (site / "their_kind-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kind\nVersion: 1.0\n")
    (site / "their_kind-1.0.dist-info" / "entry_points.txt").write_text("[regraft.kinds]\ncounter = their_kind\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(kinds, "KINDS", Registry("regraft.kinds", "kind of model", kinds.KINDS.ours))
    kinds.describe(folder, "text", kind="counter")
    files.write_json(folder / "labels.json", ["cat", "dog"])
    files.write_json(folder / "words.json", ["meow", "woof"])
    save_file({"nothing": np.zeros(1)}, folder / "model.safetensors")

    tracker = Tracker(Workspace(tmp_path / "workspace"))
    run = "demo-20260101T000001-abcdef"
    version = registration.register(
        tracker, "demo", run_id=tracker.start_run("demo", run), run_name=run, model_dir=folder, digest=files.digest(folder),
        verdict={"outcome": "pass", "rows": {"digest": "rows"}, "champion": None}, input_example=["woof"], data_hashes={}, git_sha=None,
    )  # fmt: skip
    root = registration.model_root(tracker, "demo", version)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run([str(production), "-c", OTHER_KIND, str(root)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["label"] for row in told["answer"]] == ["dog", "cat"]
    assert told["torch"] is False
    assert [line.partition("==")[0] for line in (root / "requirements.txt").read_text().split()] == ["mlflow", "numpy"]


def test_what_production_installs_is_pinned_and_is_not_us(champion):
    tracker, _ = champion
    text = (registration.model_root(tracker, "demo", "2") / "requirements.txt").read_text()
    assert [re.split("==", line)[0] for line in text.split()] == ["mlflow", "torch", "transformers", "safetensors"]
    assert all(re.fullmatch(r"[a-z]+==[0-9.]+", line) for line in text.split())


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pkl", "modeling_custom.py", "weights.pt"])
def test_a_folder_with_anything_that_could_run_is_not_registered(champion, tmp_path, name):
    tracker, _ = champion
    folder = TINY["make"](tmp_path / "model", 3)
    (folder / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=name):
        registration.register(
            tracker, "demo", run_id="unused", run_name="demo-x", model_dir=folder, digest=files.digest(folder),
            verdict={"outcome": "pass", "rows": {"digest": ""}}, input_example=TEXTS, data_hashes={}, git_sha=None,
        )  # fmt: skip
