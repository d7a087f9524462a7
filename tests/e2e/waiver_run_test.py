"""A run that fails its floor, and a person who answers for it: real flow, registry, card and journal on the tiny workspace."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from workbench import regraft

from regraft import files

pytestmark = pytest.mark.timeout(900)
TODAY = datetime.now(UTC).date()
UNTIL = (TODAY + timedelta(days=30)).isoformat()
WAIVED = ("--waive", "at_least", "--reason", "pilot with 20 users", "--until", UNTIL)


def ask(root: Path, floor: float) -> None:
    path = root / "pipelines" / "tiny.yaml"
    gates = {"gates": [{"metric": "macro_f1", "at_least": floor}, {"metric": "accuracy", "beats": "champion"}]}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | gates, sort_keys=False))


@pytest.fixture(scope="module")
def failed(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(root, run) after a first run that failed its floor; read only."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("waived") / "w")
    ask(root, 0.99)
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 4, done.stdout + done.stderr
    assert not (root / "state" / "journal" / "tiny").exists()
    return root, json.loads(done.stdout)["run"]


@pytest.fixture
def root(failed: tuple[Path, str], tmp_path: Path) -> Path:
    return shutil.copytree(failed[0], tmp_path / "w", symlinks=True)


def entries(root: Path) -> list[dict]:
    return [files.read_json(path) for path in sorted((root / "state/journal/tiny").glob("*.json"))]


def test_the_candidate_of_a_failed_run_is_registered_and_promoted_on_a_person_s_word_until_it_passes(failed, root):
    run = failed[1]
    refused = regraft(root, "promote", run)
    assert (refused.returncode, f"next: regraft explain {run}" in refused.stderr) == (4, True), refused
    done = regraft(root, "promote", "tiny", *WAIVED, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    latest = files.read_json(root / "state/latest/tiny.json")
    assert (said["champion"]["version"], said["champion"]["digest"], said["changed"]) == ("1", latest["candidate"]["digest"], True)
    last = entries(root)[-1]
    assert [e["action"] for e in entries(root)] == ["register", "promote"]
    assert (last["schema"], last["reason"], last["run"]) == (2, "pilot with 20 users", run)
    (waiver,) = last["waivers"]
    assert (waiver["gate"], waiver["outcome"], waiver["until"], "below the floor of 0.990" in waiver["sentence"]) == (
        "at_least", "fail", UNTIL, True,
    )  # fmt: skip
    card = regraft(root, "card", "tiny").stdout
    assert "## Promoted on a waiver" in card
    assert f"on a waiver of at_least:macro_f1 until {UNTIL}: pilot with 20 users" in card
    assert regraft(root, "card", "verify", "tiny").returncode == 0
    assert f"This model was promoted on {TODAY}" in " ".join(json.loads(regraft(root, "report", run, "--json").stdout)["cautions"])
    assert f"in force until {UNTIL}" in regraft(root, "doctor").stdout

    again = json.loads(regraft(root, "promote", "tiny", *WAIVED, "--json").stdout)
    assert (again["changed"], len(entries(root))) == (False, 2)
    judged = regraft(root, "run", "tiny", "--json")
    assert judged.returncode == 4, "a waiver is about one verdict: the next run does not pass by it"
    assert json.loads(regraft(root, "status", "--json").stdout)["pipelines"]["tiny"]["waiver"]["until"] == UNTIL

    ask(root, 0.01)
    passed = regraft(root, "run", "tiny", "--json")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert [(e["action"], e["schema"], e["to"]["version"]) for e in entries(root)[2:]] == [("promote", 1, "1")]
    assert json.loads(regraft(root, "status", "--json").stdout)["pipelines"]["tiny"]["waiver"] is None


def test_weights_that_a_later_run_overwrote_come_back_from_dvc_s_cache_and_lost_ones_are_said(root):
    model = next(path for path in (root / "artifacts/tiny").glob("finetune*/out/model") if path.is_dir()).parents[2]
    for step in ("finetune", "finetune_base"):
        (weights := model / step / "out/model/model.safetensors").chmod(0o644)
        weights.unlink()
        weights.write_bytes(b"another run's")
    kept = [path for path in (root / ".dvc/cache/files/md5").glob("*/*") if path.stat().st_size > 10_000 and is_model(path)]
    assert kept, "the cache holds no weights: this test would show nothing"
    for path in kept:
        shutil.move(path, f"{path}.away")
    lost = regraft(root, "promote", "tiny", *WAIVED)
    assert (lost.returncode, "neither in artifacts/ nor in DVC's cache" in lost.stderr, "next: dvc fetch --run-cache" in lost.stderr) == (
        8, True, True,
    ), lost  # fmt: skip
    assert not (root / "state/journal/tiny").exists()
    for path in kept:
        shutil.move(f"{path}.away", path)
    assert regraft(root, "promote", "tiny", *WAIVED).returncode == 0
    assert regraft(root, "card", "verify", "tiny").returncode == 0


def is_model(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(10)[8:10] == b'{"'  # safetensors: eight bytes of length, then JSON


def test_evidence_that_was_touched_is_promoted_by_nobody(root):
    (verdict,) = (root / "state/mlartifacts/tiny").glob("*/artifacts/evidence/verdict.json")
    verdict.write_text(verdict.read_text().replace('"fail"', '"inconclusive"'))
    said = regraft(root, "promote", "tiny", *WAIVED)
    assert (said.returncode, "verdict.json is not what its predictions say" in said.stderr) == (8, True)
    assert not (root / "state/journal/tiny").exists()
