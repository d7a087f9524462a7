"""Runs and versions with real evidence in a real MLflow store, compared from the command line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.evaluation import predictions
from regraft.evaluation.prediction_store import PredictionStore
from regraft.gates.decide import decide
from regraft.gates.verdict import Champion
from regraft.registry.journal import Journal
from regraft.registry.ledger import Ledger
from regraft.registry.stores.folder import Folder
from regraft.registry.tracking import Tracker
from regraft.reports.compare import compare

LABELS = ("left", "right")
FIRST, SECOND, OTHER, CHOSEN = (f"demo-2026010{day}T000000-abcdef" for day in (1, 2, 3, 4))


def answers(rows: Sequence[str], right: float, seed: int) -> predictions.Table:
    """Predictions on ``rows``, of which a share ``right`` is right."""
    rng = random.Random(seed)
    labels = [LABELS[int(row[1:]) % 2] for row in rows]
    hits = [LABELS.index(label) if rng.random() < right else 1 - LABELS.index(label) for label in labels]
    return predictions.Table.of(rows, labels, np.eye(2, dtype=np.float32)[hits], LABELS)


@dataclass
class Bench:
    """A pipeline whose runs are made up, and whose store, journal and verdicts are real."""

    root: Path

    @property
    def tracker(self) -> Tracker:
        return Tracker(Workspace(self.root))

    def decide(self, run: str, rows: Sequence[str], right: dict[str, float], champion: Champion | None = None) -> dict[str, str]:
        """Leave the evidence of one run; digests of its models."""
        out, evidence = self.root / "work" / run / "scores", self.root / "work" / run / "evidence"
        for seed, model in enumerate(("adapted", "base", "tfidf")):
            predictions.write(out / f"{model}.parquet", answers(rows, right[model], seed))
        digests = {model: files.sha256_text(f"{model} of {run}") for model in right}
        files.write_json(out / "labels.json", list(LABELS))
        files.write_json(out / "digests.json", {**digests, "rows": files.sha256_text(files.canonical(list(rows)))})
        store = PredictionStore(Folder(self.root / "state"))
        store.keep(out)
        kept = store.get(champion.digest, files.read_json(out / "digests.json")["rows"]) if champion else None
        verdict = decide("demo", [{"at_least": 0.1}], 17, out, champion, kept, None, evidence)
        self.tracker.log_evidence(self.tracker.start_run("demo", run), evidence, verdict.outcome)
        return {**digests, "candidate": verdict.candidate.digest}

    def promote(self, run: str, version: str, digest: str) -> None:
        journal = Journal(Folder(self.root / "state"), "demo")
        to = {"version": version, "digest": digest}
        seen = len(journal.entries())
        journal.append(seen, "register", from_=None, to=to, run=run, reason="")
        journal.append(seen + 1, "promote", from_=None, to=to, run=run, reason="")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Versions 1 and 2, each promoted by its own run; 2 was scored on 40 rows more, where 1 was its champion."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "REGRAFT_STATE"):
            patch.delenv(name, raising=False)
        root = tmp_path_factory.mktemp("compared")
        (root / "pipelines").mkdir()
        (root / "pipelines" / "demo.yaml").write_text("version: 1\n")
        (root / "dvc.yaml").write_text("stages: {}\n")
        bench = Bench(root)
        rows = [f"r{n:03d}" for n in range(200)]
        one = bench.decide(FIRST, rows, {"adapted": 0.6, "base": 0.6, "tfidf": 0.5})
        bench.promote(FIRST, "1", one["candidate"])
        store = PredictionStore(Folder(root / "state"))
        more = [f"r{n:03d}" for n in range(240)]
        predictions.write(root / "again.parquet", answers(more, 0.6, 9))
        store.put(one["candidate"], files.sha256_text(files.canonical(more)), root / "again.parquet")
        two = bench.decide(SECOND, more, {"adapted": 0.9, "base": 0.7, "tfidf": 0.5}, Champion("1", one["candidate"]))
        bench.promote(SECOND, "2", two["candidate"])
        bench.decide(OTHER, [f"r{n:03d}" for n in range(100, 400)], {"adapted": 0.9, "base": 0.7, "tfidf": 0.5})
        yield root


@pytest.fixture
def said(made: Path, cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.chdir(made)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return cli


def test_versions_are_compared_on_rows_that_both_were_scored_on(said, made):
    found = said("compare", "demo/1", "demo@champion", "--json").json
    assert (found["rows"]["n"], found["a"]["version"], found["b"]["version"]) == (240, "1", "2")
    assert found["b"]["model"] == "adapted"
    by_metric = {each["metric"]: each for each in found["metrics"]}
    assert {"macro_f1", "accuracy"} <= by_metric.keys()
    difference = by_metric["accuracy"]
    assert 0 < difference["low"] <= difference["difference"] <= difference["high"]
    flips = found["flips"]
    assert flips["only_b_right"] + flips["both_right"] == round(difference["b"] * 240)
    assert flips["p"] < 0.001
    assert len(flips["only_b_rows"]) == 10


def test_rows_that_only_one_has_right_are_shown_with_what_was_answered(said):
    found = said("compare", "demo/1", "demo/2", "--json").json
    of = {example["id"]: example for example in found["examples"]}
    gained, lost = found["flips"]["only_b_rows"], found["flips"]["only_a_rows"]
    assert set(of) == {*gained, *lost}
    assert all(of[key]["b"] == of[key]["label"] != of[key]["a"] for key in gained)
    assert all(of[key]["a"] == of[key]["label"] != of[key]["b"] for key in lost)
    first = of[gained[0]]
    assert f"    {first['id']}  {first['label']}, not {first['a']}" in said("compare", "demo/1", "demo/2").out


def test_a_comparison_repeats_the_verdict_s_own_numbers(said, made):
    verdict = files.read_json(Bench(made).tracker.download_evidence(SECOND) / "verdict.json")
    (finding,) = [found for found in verdict["findings"] if found["gate"] == "adaptation"]
    (found,) = said("compare", f"{SECOND}:base", f"{SECOND}:adapted", "--metric", "macro_f1", "--json").json["metrics"]
    assert (found["difference"], found["low"], found["high"]) == (finding["value"], finding["low"], finding["high"])


def test_the_other_way_round_every_difference_changes_its_sign_and_nothing_else(said):
    there, back = (said("compare", *sides, "--json").json for sides in (("demo/1", "demo/2"), ("demo/2", "demo/1")))
    for one, two in zip(there["metrics"], back["metrics"], strict=True):
        assert (one["difference"], one["low"], one["high"]) == (-two["difference"], -two["high"], -two["low"])
    assert there["flips"]["only_a_rows"] == back["flips"]["only_b_rows"]


def test_the_same_comparison_is_the_same_bytes(said):
    for form in ([], ["--json"]):
        assert said("compare", "demo/1", "demo/2", *form).out == said("compare", "demo/1", "demo/2", *form).out


def test_a_model_against_itself_shows_no_difference(said):
    text = said("compare", "demo/2", f"{SECOND}:adapted").out
    assert "the same model, byte for byte" in text
    assert "macro-F1: no difference is shown" in text
    assert "0 right only in B, 0 right only in A" in text


def test_without_the_store_the_champion_s_answers_in_the_later_run_are_used(said, made, monkeypatch):
    with_store = json.dumps(said("compare", "demo/1", "demo/2", "--json").json)
    os.rename(made / "state" / "predictions", made / "hidden")
    try:
        assert json.dumps(said("compare", "demo/1", "demo/2", "--json").json) == with_store
    finally:
        os.rename(made / "hidden", made / "state" / "predictions")


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["demo/1", OTHER], 8, "was scored on 200 rows and"),
        (["demo/1", OTHER], 8, "they have 100 ids in common"),
        (["demo/9", "demo/1"], 2, "'demo' has no registered version 9; registered: 1, 2"),
        (["demo@champoin", "demo/1"], 2, "did you mean 'champion'?"),
        (["demo@challenger", "demo/1"], 2, "'demo' has no challenger"),
        (["nope", "demo/1"], 2, "no pipeline 'nope'"),
        (["nope/1", "demo/1"], 2, "no pipeline 'nope'"),
        (["demo:tfdif", "demo/1"], 2, "did you mean 'tfidf'?"),
        (["demo-20990101T000000-abcdef", "demo/1"], 2, "no run with a verdict called"),
        (["demo/1", "demo/2", "--metric", "macro-f1"], 2, "no metric 'macro-f1'; did you mean 'macro_f1'?"),
        (["demo/1", "demo/2", "--confidence", "1"], 2, "0.999"),
        (["demo/1"], 2, "`regraft compare demo/1` names one side alone"),
    ],
)
def test_what_cannot_be_compared_is_said(argv, code, text, said):
    ended = said("compare", *argv)
    assert (ended.code, text in ended.err, "next:" in ended.err or "Try" in ended.err) == (code, True, True), ended
    assert "Traceback" not in ended.err


def test_answers_that_changed_since_the_decision_are_refused(made):
    tracker = Bench(made).tracker
    path = tracker.download_evidence(OTHER) / "predictions" / "tfidf.parquet"
    before = path.read_bytes()
    path.write_bytes((path.parent / "base.parquet").read_bytes())
    try:
        with pytest.raises(EnvironmentFault, match=r"tfidf\.parquet is changed since the decision"):
            compare(tracker, f"{OTHER}:tfidf", OTHER)
    finally:
        path.write_bytes(before)


@pytest.fixture
def closed(made: Path) -> Path:
    """The folder of an unchosen candidate's answers, beside a run whose dev rows chose ``probe``."""
    bench, out, rows = Bench(made), made / "work" / CHOSEN / "scores", [f"r{n:03d}" for n in range(150)]
    for seed, (model, right) in enumerate({"probe": 0.8, "tfidf": 0.5, "dev/probe": 0.9, "dev/base": 0.5}.items()):
        predictions.write(out / f"{model}.parquet", answers(rows, right, seed))
    digests = {name: files.sha256_text(f"{name} of {CHOSEN}") for name in ("probe", "base", "tfidf", "rows")}
    files.write_json(out / "labels.json", list(LABELS))
    files.write_json(out / "digests.json", digests)
    files.write_json(out / "choice.json", {"by_cost": ["probe", "base"], "models": ["probe", "tfidf"]})
    decide("demo", [{"at_least": 0.1}], 17, out, None, None, None, made / "work" / CHOSEN / "evidence")
    bench.tracker.log_evidence(bench.tracker.start_run("demo", CHOSEN), made / "work" / CHOSEN / "evidence", "pass")
    step = made / "artifacts" / "demo" / "score-base" / "out"
    predictions.write(step / "test.parquet", answers(rows, 0.6, 5))
    files.write_json(step / "digests.json", {"model": digests["base"], "test": digests["rows"]})
    return step


def test_what_an_unchosen_candidate_said_of_test_rows_is_closed_until_it_is_opened_and_that_is_counted_once(said, made, closed):
    sides = (CHOSEN, f"{CHOSEN}:base")
    refused = said("compare", *sides, "--json")
    assert refused.code == 2
    assert refused.json["errors"][0]["fix"].startswith(f"regraft compare {CHOSEN} {CHOSEN}:base --open-test")
    opened = said("compare", *sides, "--open-test", "--json").json
    assert (opened["opened"], opened["decisions"], opened["rows"]["n"]) == ([f"{CHOSEN}:base"], 1, 150)
    again = said("compare", *sides, "--json").json
    assert (again["opened"], again["decisions"], again["metrics"]) == ([], None, opened["metrics"])
    assert Ledger(Folder(made / "state")).count(opened["rows"]["digest"]) == 1
    digests = files.read_json(closed / "digests.json")
    (made / "state" / "predictions" / digests["model"] / f"{digests['test']}.parquet").unlink()
    files.write_json(closed / "digests.json", {**digests, "model": "0" * 64})
    gone = said("compare", *sides, "--open-test", "--json")
    assert (gone.code, "hold what a later model says" in gone.json["errors"][0]["message"]) == (8, True)
