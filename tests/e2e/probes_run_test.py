"""Gates on changed texts decide a real run, both ways, and their evidence explains the verdict later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from workbench import regraft

from regraft.core import files

TESTS = {
    "version": 1,
    "tests": [
        {
            "name": "a blank more",
            "pairs": [["we find the {thing}", "we  find the {thing}"]],
            "expect": "same",
            "fill": {"thing": ["keel", "rope"]},
        }
    ],
}
TERMS = {"version": 1, "terms": {"size": {"large": ["large"], "small": ["small"]}}}
FLOOR = {"metric": "macro_f1", "at_least": 0.01}


def gates(rate: float, *more: dict[str, Any]) -> list[dict[str, Any]]:
    """Budgets that any model keeps, where ``rate`` is high, and that 31 rows cannot show where it is low."""
    return [
        FLOOR,
        {"robustness": {"max_failure_rate": rate, "tests": ["case", "whitespace"], "min_rows": 10}},
        {"counterfactual": {"max_flip_rate": rate, "terms": "terms.yaml", "min_rows": 10}},
        {"fairness": {"groups": ["text_script", "half"], "max_gap": rate, "min_rows": 10}},
        {"templates": {"file": "pipelines/tiny.templates.yaml"}},
        *more,
    ]


def configure(root: Path, asked: list[dict[str, Any]], tests: dict[str, Any]) -> None:
    path = root / "pipelines" / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "gates": asked}, sort_keys=False))
    (root / "pipelines" / "tiny.templates.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))


@pytest.fixture(scope="module")
def ran(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """(workspace, result) after a first run that passed; its rows have a column `half`."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("probed") / "w")
    rows = [json.loads(line) for line in (root / "data" / "rows.jsonl").read_text().splitlines()]
    told = [{**row, "half": ("first", "second")[int(row["id"][-1]) % 2]} for row in rows]
    (root / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    (root / "terms.yaml").write_text(yaml.safe_dump(TERMS))
    configure(root, gates(0.95), TESTS)
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return root, json.loads(done.stdout)


def test_budgets_that_hold_pass_and_the_evidence_tells_the_same_later(ran):
    root, result = ran
    record = files.read_json(root / "artifacts/tiny/probes/record.json")
    assert record["metrics"]["variants"] > 60, "31 rows and two tests, some terms, two pairs"
    evidence = root / f"state/mlartifacts/tiny/{result['mlflow_run_id']}/artifacts/evidence"
    assert (evidence / "probes.parquet").read_bytes() == (root / "artifacts/tiny/probes/out/probes.parquet").read_bytes()
    (root / "artifacts").rename(root / "away")
    try:
        told = regraft(root, "explain", "tiny", "--json")
        page = regraft(root, "report", "tiny", "--out", "page.html")
    finally:
        (root / "away").rename(root / "artifacts")
    assert (told.returncode, page.returncode) == (0, 0), told.stderr + page.stderr
    findings = {finding["gate"]: finding for finding in json.loads(told.stdout)["verdict"]["findings"]}
    asked = ("robustness", "counterfactual", "fairness", "templates")
    assert {name: findings[name]["outcome"] for name in asked} == dict.fromkeys(asked, "pass")
    assert all(findings[name]["low"] <= findings[name]["value"] <= findings[name]["high"] for name in asked)
    html = (root / "page.html").read_text()
    assert 'id="probes"' in html
    assert "half = first" in html
    changed = evidence / "probes.parquet"
    kept = changed.read_bytes()
    changed.write_bytes(kept[:-1])
    broken = regraft(root, "explain", "tiny")
    changed.write_bytes(kept)
    assert broken.returncode == 8
    assert "probes.parquet is changed since the decision was taken on it" in broken.stderr


def test_a_template_that_fails_fails_the_run_and_only_the_probes_run_again(ran, tmp_path):
    root = shutil.copytree(ran[0], tmp_path / "w")
    wrong = {"name": "the impossible", "pairs": [["we find the keel", "we  find the keel"]], "expect": "different"}
    configure(root, gates(0.95), {**TESTS, "tests": [*TESTS["tests"], wrong]})
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 4, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert "1 of 3 cases of the templates wrong, 33.3 % (an exact count), above the 0 % allowed" in result["sentence"]
    assert "; the impossible (1 of 1)." in result["sentence"]
    ran_again = [
        step for step in ("finetune", "scores", "probes")
        if files.read_json(root / f"artifacts/tiny/{step}/record.json")["run"] == result["run"]
    ]  # fmt: skip
    assert ran_again == ["probes"]
    configure(root, gates(0.01), TESTS)
    unsure = regraft(root, "run", "tiny", "--json")
    assert unsure.returncode == 5, unsure.stdout + unsure.stderr


def test_faults_are_told_before_anything_runs(ran, tmp_path):
    root = shutil.copytree(ran[0], tmp_path / "w", ignore=shutil.ignore_patterns("state", "artifacts", ".dvc"))
    configure(root, gates(0.95, {"fairness": {"groups": ["halv"], "max_gap": 0.1}}), TESTS)
    done = regraft(root, "plan", "tiny")
    assert done.returncode == 2
    assert "did you mean 'half'?" in done.stderr
    configure(root, gates(0.95), {"version": 1, "tests": []})
    done = regraft(root, "plan", "tiny")
    assert done.returncode == 2
    assert "pipelines/tiny.templates.yaml" in done.stderr
    assert "Traceback" not in done.stderr
