"""Gates on clean rows, and flips on suspect labels, through the real flow: what was read before the test decides the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from regraft import files
from regraft.data.split import split_of

CLEAN = {"metric": "accuracy", "at_least": 0.01, "on": "clean"}
FLIPS = {"negative_flips": {"max": 1.0}}


def regraft(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "regraft", *argv], cwd=root, capture_output=True, text=True, check=False)


def configure(root: Path, **changes: Any) -> None:
    path = root / "pipelines" / "tiny.yaml"
    files.write_text(path, yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def leak_test_rows(root: Path) -> None:
    """Every test row stands inside a training row twice as long, which no duplicate check calls its duplicate."""
    rows = [json.loads(line) for line in (root / "data" / "rows.jsonl").read_text().splitlines()]
    test = [row for row in rows if split_of(17, row["id"], 0.25, 0.1) == "test"]
    free = (key for n in range(1_000) if split_of(17, key := f"copy-{n}", 0.25, 0.1) == "train")
    copies = [{"id": key, "text": f"{rows[n]['text']} {row['text']}.", "label": row["label"]} for n, (key, row) in enumerate(zip(free, test))]
    files.write_text(root / "data" / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in [*rows, *copies]))


def evidence(root: Path, run: str) -> Path:
    told = json.loads(regraft(root, "report", run, "--json").stdout)
    assert told["run"] == run
    (folder,) = (path.parent for path in root.rglob("decision.json") if run in str(path))
    return folder


@pytest.fixture(scope="module")
def root(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After a run whose gates are on clean rows and on negative flips."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("doubts") / "w")
    configure(root, gates=[CLEAN, FLIPS])
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_only_a_pipeline_that_asks_has_the_steps(tiny_template, root):
    assert not {"overlap", "suspects"} & set(yaml.safe_load((tiny_template / "dvc.yaml").read_text())["stages"])
    assert {"overlap", "suspects"} <= set(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])


def test_rows_that_were_read_before_the_test_do_not_decide(root, tmp_path):
    root = shutil.copytree(root, tmp_path / "w")
    leak_test_rows(root)
    done = regraft(root, "run", "tiny", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["outcome"]) == (5, "inconclusive"), done.stdout + done.stderr
    assert "only 0 of 31 test rows are clean" in result["sentence"]
    told = regraft(root, "explain", "tiny").stdout
    assert "31 overlap with training texts (31 word for word in the training rows)" in told
    assert "more test rows without overlap: only 0 of 31" in told
    assert told.endswith("The verdict was rebuilt from the stored predictions, byte for byte.\n")
    report = json.loads(regraft(root, "report", "tiny", "--json").stdout)["doubts"]
    assert (report["clean"], report["overlapping"][0]["kind"], report["overlapping"][0]["share"]) == (0, "exact", 1.0)
    assert {"suspect", "suggested"} <= set((evidence(root, result["run"]) / "negative_flips.csv").read_text().splitlines()[0].split(","))


@pytest.mark.parametrize(
    ("gates", "steps", "says"),
    [
        ([{**CLEAN, "on": "dirty"}], True, "gates.0.on: input should be 'clean', not 'dirty' (line"),
        ([{"slices": ["label"], "non_inferior_by": 0.1, "on": "clean"}], True, "`on` and `slices` exclude each other"),
        ([{**FLIPS, "on": "clean"}], True, "`negative_flips` does not read `on`; take it out"),
        ([CLEAN], False, "gates.0.on: clean needs the step 'overlap', which STEPS in pipelines/__init__.py does not have (line"),
    ],
)
def test_what_cannot_be_asked_is_a_fault_of_the_file(gates, steps, says, root, tmp_path):
    root = shutil.copytree(root, tmp_path / "w", ignore=shutil.ignore_patterns("artifacts", "state", ".dvc"))
    configure(root, gates=gates)
    if not steps:
        path = root / "pipelines" / "__init__.py"
        files.write_text(path, path.read_text().replace(", OVERLAP, SUSPECTS)", ")"))
    said = regraft(root, "plan", "tiny")
    assert (said.returncode, "Traceback" in said.stderr) == (2, False)
    assert says in " ".join(said.stderr.split())
