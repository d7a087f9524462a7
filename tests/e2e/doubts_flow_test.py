"""Gates on clean rows, and flips on suspect labels, through the real flow: what was read before the test decides the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from workbench import regraft

from regraft import files
from regraft.data.split import split_of

CLEAN = {"metric": "accuracy", "at_least": 0.01, "rows": "clean"}
FLIPS = {"negative_flips": {"max": 1.0}}


def configure(root: Path, **changes: Any) -> None:
    path = root / "pipelines" / "tiny.yaml"
    files.write_text(path, yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def leak_a_test_row(root: Path) -> None:
    """A test row stands inside a training row twice as long, which no duplicate check calls its duplicate."""
    rows = [json.loads(line) for line in (root / "data" / "rows.jsonl").read_text().splitlines()]
    test, other = (next(row for row in rows if split_of(17, row["id"], 0.25, 0.1) == split) for split in ("test", "train"))
    key = next(key for n in range(100) if split_of(17, key := f"longer-{n}", 0.25, 0.1) == "train")
    longer = {"id": key, "text": f"{other['text']}. {test['text'].upper()}!", "label": test["label"]}
    files.write_text(root / "data" / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in [*rows, longer]))


@pytest.fixture(scope="module")
def first(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """After a run whose gates are on clean rows and on negative flips; read only."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("doubts") / "w")
    leak_a_test_row(root)
    configure(root, gates=[CLEAN, FLIPS])
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return root, json.loads(done.stdout)


def test_only_a_pipeline_that_asks_has_the_steps(tiny_template, first):
    assert not {"overlap", "suspects"} & set(yaml.safe_load((tiny_template / "dvc.yaml").read_text())["stages"])
    assert {"overlap", "suspects"} <= set(yaml.safe_load((first[0] / "dvc.yaml").read_text())["stages"])


def test_a_row_that_was_read_before_the_test_does_not_decide(first):
    root, result = first
    assert "accuracy on 30 test rows" in result["sentence"]
    assert "of all 31 test rows 1 overlaps with training texts (1 word for word in the training rows), and on all" in result["sentence"]
    told = json.loads(regraft(root, "report", "tiny", "--json").stdout)["doubts"]
    assert (told["clean"], told["overlapping"][0]["kind"], told["overlapping"][0]["share"]) == (30, "exact", 1.0)
    assert told["overlapping"][0]["of"].startswith("longer-")
    assert told["suspects_found"] == files.read_json(root / "artifacts/tiny/suspects/record.json")["metrics"]["suspects"]


def test_clean_rows_refuse_a_model_and_the_verdict_is_rebuilt(first, tmp_path):
    root = shutil.copytree(first[0], tmp_path / "w")
    configure(root, gates=[{**CLEAN, "at_least": 0.99}, FLIPS])
    done = regraft(root, "run", "tiny", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["outcome"]) == (4, "fail"), done.stdout + done.stderr
    assert "below the floor of 0.990; of all 31 test rows 1 overlaps" in result["sentence"]
    assert regraft(root, "explain", "tiny").stdout.endswith("The verdict was rebuilt from the stored predictions, byte for byte.\n")
    (listed,) = (path for path in root.rglob("negative_flips.csv") if "mlartifacts" in str(path))
    assert listed.read_text() == "id,label,champion,candidate,suspect,suggested\n", "champion and candidate are the same model"


@pytest.mark.parametrize(
    ("gates", "steps", "says"),
    [
        ([{**CLEAN, "rows": "dirty"}], True, "gates.0.rows: input should be 'clean', not 'dirty' (line"),
        ([{"slices": ["label"], "non_inferior_by": 0.1, "rows": "clean"}], True, "`rows` and `slices` exclude each other"),
        ([{**FLIPS, "rows": "clean"}], True, "`negative_flips` does not read `rows`; take it out"),
        ([CLEAN], False, "gates.0.rows needs the step 'overlap', which STEPS in pipelines/__init__.py does not have (line"),
    ],
)
def test_what_cannot_be_asked_is_a_fault_of_the_file(gates, steps, says, first, tmp_path):
    root = shutil.copytree(first[0], tmp_path / "w", ignore=shutil.ignore_patterns("artifacts", "state", ".dvc"))
    configure(root, gates=gates)
    if not steps:
        path = root / "pipelines" / "__init__.py"
        files.write_text(path, path.read_text().replace("OVERLAP, SUSPECTS, ", ""))
    said = regraft(root, "plan", "tiny")
    assert (said.returncode, "Traceback" in said.stderr) == (2, False)
    assert says in " ".join(said.stderr.split())
