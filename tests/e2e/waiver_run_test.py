"""A run that fails its floor, and a person who answers for it: real flow, registry, card and journal on the tiny workspace."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from everything import FLOOR, KEPT, Ran, configure
from workbench import copy, regraft

from regraft.core import files

TODAY = datetime.now(UTC).date()
UNTIL = (TODAY + timedelta(days=30)).isoformat()
WAIVED = ("--waive", "at_least", "--reason", "pilot with 20 users", "--until", UNTIL)


def set_floor(root: Path, floor: float) -> None:
    configure(root, gates=[{**FLOOR, "at_least": floor}, {"metric": "accuracy", "beats": "champion"}, *KEPT])


@pytest.fixture(scope="module")
def failed(everything: Ran, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(root, run) after a run that failed its floor before there was a champion, every step's output at hand; read only."""
    root = copy(everything.root, tmp_path_factory.mktemp("waived") / "w")
    shutil.rmtree(root / "state")
    set_floor(root, 0.99)
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 4, done.stdout + done.stderr
    assert not (root / "state" / "journal" / "tiny").exists()
    return root, json.loads(done.stdout)["run"]


@pytest.fixture
def root(failed: tuple[Path, str], tmp_path: Path) -> Path:
    return copy(failed[0], tmp_path / "w")


def entries(root: Path) -> list[dict]:
    return [files.read_json(path) for path in sorted((root / "state/journal/tiny").glob("*.json"))]


def test_the_candidate_of_a_failed_run_is_registered_and_promoted_on_a_person_s_word_until_it_passes(failed, root, ask):
    run = failed[1]
    refused = ask(root, "promote", run)
    assert (refused.code, f"next: regraft explain {run}" in refused.err) == (4, True), refused
    assert f'to answer for it: regraft promote {run} --waive at_least --reason "..." --until YYYY-MM-DD' in refused.err
    unanswered = ask(root, "predict", "tiny", "x")
    assert (unanswered.code, "'tiny' has no champion: its last run ended FAIL" in unanswered.err) == (2, True), unanswered
    assert "next: regraft explain tiny" in unanswered.err
    done = ask(root, "promote", "tiny", *WAIVED, "--json")
    assert done.code == 0, done.out + done.err
    said = done.json
    latest = files.read_json(root / "state/latest/tiny.json")
    assert (said["champion"]["version"], said["champion"]["digest"], said["changed"]) == ("1", latest["candidate"]["digest"], True)
    last = entries(root)[-1]
    assert [e["action"] for e in entries(root)] == ["register", "promote"]
    assert (last["schema"], last["reason"], last["run"]) == (2, "pilot with 20 users", run)
    (waiver,) = last["waivers"]
    assert (waiver["gate"], waiver["outcome"], waiver["until"], "below the floor of 0.990" in waiver["sentence"]) == (
        "at_least", "fail", UNTIL, True,
    )  # fmt: skip
    with sqlite3.connect(f"file:{root}/state/mlflow.db?mode=ro", uri=True) as database:
        assert database.execute("select value from tags where key = 'regraft.waiver'").fetchall() == [(f"at_least:macro_f1 until {UNTIL}",)]
    card = ask(root, "card", "tiny").out
    assert "## Promoted on a waiver" in card
    assert f"on a waiver of at_least:macro_f1 until {UNTIL}: pilot with 20 users" in card
    assert ask(root, "card", "verify", "tiny").code == 0
    assert f"This model was promoted on {TODAY}" in " ".join(ask(root, "report", run, "--json").json["cautions"])
    assert f"in force until {UNTIL}" in ask(root, "doctor").out

    again = ask(root, "promote", "tiny", *WAIVED, "--json").json
    assert (again["changed"], len(entries(root))) == (False, 2)
    judged = regraft(root, "run", "tiny", "--json")
    assert judged.returncode == 4, "a waiver is about one verdict: the next run does not pass by it"
    assert ask(root, "status", "--json").json["pipelines"]["tiny"]["waiver"]["until"] == UNTIL

    idle = ask(root, "run", "tiny")
    assert (idle.code, idle.out.splitlines()[1].startswith("FAIL")) == (0, True), "nothing had to be decided"
    document = ask(root, "run", "tiny", "--json").json
    assert (document["exit"], document["standing_exit"], document["decided"]) == (0, 4, False)
    assert (ask(root, "status", "tiny").code, ask(root, "status", "tiny", "--check").code) == (0, 4)

    set_floor(root, 0.01)
    passed = regraft(root, "run", "tiny", "--json")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert [(e["action"], e["schema"], e["to"]["version"]) for e in entries(root)[2:]] == [("promote", 1, "1")]
    assert ask(root, "status", "--json").json["pipelines"]["tiny"]["waiver"] is None


def test_weights_that_a_later_run_overwrote_come_back_from_dvc_s_cache_and_lost_ones_are_said(root, ask):
    model = next(path for path in (root / "artifacts/tiny").glob("finetune*/out/model") if path.is_dir()).parents[2]
    for step in ("finetune-base", "finetune-adapted"):
        (weights := model / step / "out/model/model.safetensors").chmod(0o644)
        weights.unlink()
        weights.write_bytes(b"another run's")
    kept = [path for path in (root / ".dvc/cache/files/md5").glob("*/*") if path.stat().st_size > 10_000 and is_model(path)]
    assert kept, "the cache holds no weights: this test would show nothing"
    for path in kept:
        shutil.move(path, f"{path}.away")
    lost = ask(root, "promote", "tiny", *WAIVED)
    assert (lost.code, "neither in artifacts/ nor in DVC's cache" in lost.err, "next: dvc fetch --run-cache" in lost.err) == (
        8, True, True,
    ), lost  # fmt: skip
    assert not (root / "state/journal/tiny").exists()
    for path in kept:
        shutil.move(f"{path}.away", path)
    assert ask(root, "promote", "tiny", *WAIVED).code == 0
    assert ask(root, "card", "verify", "tiny").code == 0


def is_model(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(10)[8:10] == b'{"'  # safetensors: eight bytes of length, then JSON


def test_evidence_that_was_touched_is_promoted_by_nobody(root, ask):
    (verdict,) = (root / "state/mlartifacts/tiny").glob("*/artifacts/evidence/verdict.json")
    verdict.write_text(verdict.read_text().replace('"fail"', '"inconclusive"'))
    said = ask(root, "promote", "tiny", *WAIVED)
    assert (said.code, "verdict.json is not what its predictions say" in said.err) == (8, True)
    assert not (root / "state/journal/tiny").exists()
