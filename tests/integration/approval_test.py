"""A model that passed, and people who are asked about it: what counts as an answer, and what a yes does."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from regraft.core import files
from regraft.core.errors import ApprovalPending, ConfigError, Conflict, EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import freshness
from regraft.production import approval
from regraft.registry import promotion, registration
from regraft.registry.approvals import Answer, Approvals, Request, moment, standing
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker

TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))
NOW = datetime.now(UTC)
REQUEST = Request(1, "demo", "demo-1", "2", "d", None, "e", moment(NOW), moment(NOW + timedelta(days=7)), 2, None)


def said(word: Any, by: str, request: Request = REQUEST) -> Answer:
    return Answer(1, request.sha, word, by, moment(NOW), "because", None)


@pytest.mark.parametrize(
    ("answers", "days", "state", "missing"),
    [
        ([], 0, "waiting", 2),
        ([said("approve", "ada")], 0, "waiting", 1),
        ([said("approve", "ada"), said("approve", "ada")], 0, "waiting", 1),
        ([said("approve", "ada"), said("approve", "bob")], 0, "approved", 0),
        ([said("approve", "ada"), said("approve", "bob")], 30, "approved", 0),
        ([said("approve", "ada"), said("reject", "bob")], 0, "refused", 0),
        ([said("reject", "ada")], 30, "refused", 0),
        ([said("approve", "ada")], 7.001, "expired", 1),
        ([], 7.001, "expired", 2),
    ],
)
def test_what_follows_from_answers_is_a_function_of_them_and_the_clock(answers, days, state, missing):
    found = standing(REQUEST, answers, NOW + timedelta(days=days))
    assert (found.state, found.missing) == (state, missing)


@dataclass
class Bench:
    """A pipeline whose runs have passed and ask; a new one for each test, in one MLflow."""

    tracker: Tracker
    pipeline: str
    models: dict[int, Path]
    options: dict[str, Any]

    def run(self, seed: int) -> str:
        """A run that passed and asks; its name."""
        workspace = self.tracker.workspace
        (workspace.root / "pipelines" / f"{self.pipeline}.yaml").write_text("version: 1\n")
        workspace.__dict__.pop("pipelines", None)
        run = f"{self.pipeline}-20260101T00000{seed}-abcdef"
        run_id, champion = self.tracker.start_run(self.pipeline, run), promotion.champion(self.tracker, self.pipeline)
        evidence = workspace.scratch / "evidence" / run
        verdict = {"outcome": "pass", "rows": {"digest": "rows"}, "champion": champion and {k: champion[k] for k in ("version", "digest")}}
        files.write_json(evidence / "verdict.json", verdict)
        self.tracker.log_evidence(run_id, evidence, "pass")
        digest = files.digest(self.models[seed])
        version = registration.register(
            self.tracker, self.pipeline, run_id=run_id, run_name=run, model_dir=self.models[seed], digest=digest, verdict=verdict,
            input_example=["the array"], data_hashes={}, git_sha=None,
        )  # fmt: skip
        approval.ask(workspace, self.pipeline, run, version, digest, champion, evidence, self.options)
        result = {"pipeline": self.pipeline, "run": run, "exit": 6, "sentence": "waits", "champion": champion, "approval": True}
        store_of(workspace).keep_latest(self.pipeline, result)
        return run

    def answer(self, run: str, word: Any = "approve", by: str = "ada", **more: Any) -> approval.Answered:
        return approval.answer(self.tracker, run, word, "looked at it", by=by, **more)

    @property
    def champion(self) -> str | None:
        return (promotion.champion(self.tracker, self.pipeline) or {}).get("version")

    def evidence(self, run: str) -> Path:
        return self.tracker.download_evidence(run)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "REGRAFT_STATE"):
            patch.delenv(name, raising=False)
        root = tmp_path_factory.mktemp("workspace")
        (root / "pipelines").mkdir()
        tracker = Tracker(Workspace(root))
        tracker.prepare()
        yield tracker


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {seed: TINY["make"](tmp_path_factory.mktemp(f"seed{seed}") / "model", seed) for seed in (1, 2)}


@pytest.fixture
def bench(tracker: Tracker, models: dict[int, Path], request: pytest.FixtureRequest) -> Bench:
    return Bench(tracker, f"p{files.sha256_text(request.node.name)[:8]}", models, {"within": "7d", "people": 1})


def test_a_yes_promotes_says_who_and_is_the_result_that_stands(bench):
    run = bench.run(1)
    assert bench.champion is None
    answered = bench.answer(bench.pipeline)
    assert (answered.state, bench.champion) == ("approved", "1")
    entry = store_of(bench.tracker.workspace).journal(bench.pipeline).entries()[-1]
    assert (entry.action, entry.by, entry.run) == ("promote", "ada", run)
    assert entry.reason.startswith("approved by ada on ")
    latest = store_of(bench.tracker.workspace).latest(bench.pipeline)
    assert latest is not None
    assert (latest["exit"], latest["journal_seq"], "approved by ada" in latest["sentence"]) == (0, entry.seq, True)


def test_a_no_leaves_production_as_it_is_and_says_who_and_why(bench):
    run = bench.run(1)
    workspace = bench.tracker.workspace
    asking = store_of(workspace).latest(bench.pipeline)
    assert asking is not None
    assert not freshness.judged_again(workspace, asking), "people are asked"
    answered = bench.answer(run, "reject", "bob")
    assert (answered.state, bench.champion) == ("refused", None)
    latest = store_of(workspace).latest(bench.pipeline)
    assert latest is not None
    assert not freshness.judged_again(workspace, latest), "who said no is not asked the same again"
    assert freshness.judged_again(workspace, {"pipeline": "rolled_back", "run": "r", "exit": 6}), "nobody is asked after a rollback"
    assert latest["exit"] == 6
    assert "refused by bob" in latest["sentence"]
    with pytest.raises(ApprovalPending, match="takes no answer any more: version 1 was refused by bob"):
        bench.answer(run)


def test_late_is_refused_and_answered_by_the_next_run(bench):
    run = bench.run(1)
    with pytest.raises(ApprovalPending, match="was not approved until") as caught:
        bench.answer(run, now=NOW + timedelta(days=8))
    assert caught.value.fix == f"regraft run {bench.pipeline}"
    assert bench.champion is None


def test_after_a_kill_between_the_answer_and_the_promotion_the_same_command_goes_on(bench, monkeypatch):
    class Killed(BaseException):
        """Stands for a kill."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    run = bench.run(1)
    for name in ("promote", "_keep"):
        with monkeypatch.context() as patch:
            patch.setattr(approval, name, die)
            with pytest.raises(Killed):
                bench.answer(run)
    assert bench.answer(run).state == bench.answer(run).state == "approved"
    actions = [entry.action for entry in store_of(bench.tracker.workspace).journal(bench.pipeline).entries()]
    assert actions == ["register", "promote"]


def test_evidence_that_changed_since_voids_the_request(bench):
    run = bench.run(1)
    path = bench.evidence(run) / "verdict.json"
    path.write_text(path.read_text().replace("rows", "other"))
    with pytest.raises(EnvironmentFault, match="the request is void"):
        bench.answer(run)
    assert bench.champion is None


def test_a_champion_that_moved_since_voids_the_request(bench):
    first = bench.run(1)
    bench.answer(first)
    second = bench.run(2)
    journal = store_of(bench.tracker.workspace).journal(bench.pipeline)
    entries = journal.entries()
    other = {"version": "9", "digest": "other"}
    journal.append(entries[-1].seq, "promote", from_=entries[1].to, to=other, run="x", reason="by hand")
    with pytest.raises(Conflict, match="is version 9 by now"):
        bench.answer(second)


def test_a_run_that_has_been_followed_by_another_asks_no_more(bench):
    first, second = bench.run(1), bench.run(2)
    with pytest.raises(Conflict, match=f"{second} has decided since"):
        bench.answer(first)
    with pytest.raises(ConfigError, match="asks for no approval"):
        bench.answer(f"{bench.pipeline}-20260101T000009-abcdef")


@pytest.mark.parametrize("edit", [{"people": 0}, {"more": 1}], ids=["another number", "another key"])
def test_a_request_or_an_answer_that_was_edited_is_a_fault(bench, edit):
    bench.options["people"], bench.options["approvers"] = 1, None
    run = bench.run(1)
    values, key = store_of(bench.tracker.workspace).values, f"approvals/{bench.pipeline}/{run}"
    request = Approvals(values, bench.pipeline).request(run)
    assert request is not None
    Approvals(values, bench.pipeline).add(request, 0, said("approve", "ada", request))
    values.put(f"{key}/request.json", files.json_bytes({**json.loads(values.get(f"{key}/request.json") or b""), **edit}))
    with pytest.raises(EnvironmentFault, match=r"request\.json is not what"):
        bench.answer(run, by="bob")
    assert bench.champion is None


# --- two people ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(bench: Bench, tmp_path: Path) -> dict[str, Path]:
    """Keys of two people who count and of one who does not; the pipeline asks two."""
    lines = []
    for name in ("ada", "bob", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(tmp_path / name)], check=True)
        lines.append(f"{name}@example.org {(tmp_path / f'{name}.pub').read_text()}")
    (bench.tracker.workspace.root / "pipelines" / "approvers").write_text("".join(lines[:2]))
    bench.options |= {"people": 2, "approvers": "pipelines/approvers"}
    return {name: tmp_path / name for name in ("ada", "bob", "eve")}


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen; apt-get install openssh-client")
def test_two_people_with_keys_say_yes_and_nobody_says_it_for_another(bench, keys):
    run = bench.run(1)
    with pytest.raises(ConfigError, match="takes signed answers alone"):
        bench.answer(run)
    with pytest.raises(ConfigError, match="is the key of nobody"):
        bench.answer(run, key=keys["eve"])
    first = bench.answer(run, key=keys["ada"], by="bob")
    assert (first.state, bench.champion) == ("waiting", None)
    assert "ada@example.org said yes, 1 more needed" in first.sentence
    with pytest.raises(Conflict, match=r"ada@example\.org has said yes"):
        bench.answer(run, key=keys["ada"])
    approvals = Approvals(store_of(bench.tracker.workspace).values, bench.pipeline)
    request = approvals.request(run)
    assert request is not None
    forged = replace(approvals.answers(request)[0], by="bob@example.org")
    approvals.add(request, 1, forged)
    with pytest.raises(EnvironmentFault, match=r"bears the name of bob@example\.org and not that person's signature"):
        bench.answer(run, key=keys["bob"])
    store_of(bench.tracker.workspace).values.delete(f"approvals/{bench.pipeline}/{run}/2.json")
    assert bench.answer(run, key=keys["bob"]).state == "approved"
    assert store_of(bench.tracker.workspace).journal(bench.pipeline).entries()[-1].by == "ada@example.org and bob@example.org"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen; apt-get install openssh-client")
def test_who_adds_a_key_to_the_file_of_approvers_has_to_ask_anew(bench, keys):
    run = bench.run(1)
    path = bench.tracker.workspace.root / "pipelines" / "approvers"
    path.write_text(path.read_text() + f"eve@example.org {keys['eve'].with_suffix('.pub').read_text()}")
    with pytest.raises(Conflict, match="pipelines/approvers has changed since"):
        bench.answer(run, key=keys["eve"])
