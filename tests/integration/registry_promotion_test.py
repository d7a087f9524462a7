"""Registering, promoting and rolling back against a real MLflow store; one database for the whole module."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from services import PATIENCE
from stores import url_of

from regraft.core import files
from regraft.core.errors import ConfigError, Conflict, EnvironmentFault, GateFailed
from regraft.core.workspace import Workspace
from regraft.registry import artifact, promotion, registration
from regraft.registry.journal import Journal
from regraft.registry.projection import project
from regraft.registry.stores.folder import Folder
from regraft.registry.tracking import Tracker
from regraft.registry.waiver import Waiver
from regraft.upkeep.doctor import journal as doctor
from regraft.upkeep.doctor.check import Check

TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_classifier.py"))


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "REGRAFT_STATE"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        root = tmp_path_factory.mktemp("workspace")
        tracker = Tracker(Workspace(root))
        tracker.prepare()
        yield tracker


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {seed: TINY["make"](tmp_path_factory.mktemp(f"seed{seed}") / "model", seed) for seed in (1, 2, 3)}


@dataclass
class Bench:
    """One pipeline with its own journal and registered model."""

    tracker: Tracker
    pipeline: str
    models: dict[int, Path]
    runs: dict[int, str] = field(default_factory=dict)

    def register(self, seed: int, outcome: str = "pass", champion: Any = None) -> str:
        run = f"{self.pipeline}-20260101T00000{seed}-abcdef"
        run_id = self.runs.setdefault(seed, self.tracker.start_run(self.pipeline, run))
        return registration.register(
            self.tracker, self.pipeline, run_id=run_id, run_name=run, model_dir=self.models[seed], digest=self.digest(seed),
            verdict={"outcome": outcome, "rows": {"digest": "rows"}, "champion": champion}, input_example=["the array", "of tensor"],
            data_hashes={"rows": "abc"}, git_sha="0" * 40,
        )  # fmt: skip

    def digest(self, seed: int) -> str:
        return files.digest(self.models[seed])

    def champion(self) -> dict[str, str] | None:
        return promotion.champion(self.tracker, self.pipeline)

    def version(self) -> str | None:
        champion = self.champion()
        return champion["version"] if champion else None

    def aliases(self) -> dict[str, str]:
        return self.tracker.aliases(self.pipeline)

    def actions(self) -> list[str]:
        return [entry.action for entry in Journal(Folder(self.tracker.workspace.state), self.pipeline).entries()]

    def promote(self, seed: int) -> str:
        """Register and promote a model over whatever is champion."""
        version = self.register(seed, champion=self.champion())
        promotion.promote(self.tracker, self.pipeline, version, expected=self.champion(), reason="gates passed")
        return version


@pytest.fixture
def bench(tracker: Tracker, models: dict[int, Path], request: pytest.FixtureRequest) -> Bench:
    return Bench(tracker, f"p{files.sha256_text(request.node.name)[:8]}", models)


def test_a_registered_version_carries_its_evidence_and_is_challenger(bench):
    version = bench.register(1)
    with bench.tracker.store() as client:
        tags = client.get_model_version(bench.pipeline, version).tags
    assert tags == {
        "regraft.run": f"{bench.pipeline}-20260101T000001-abcdef", "regraft.digest": bench.digest(1), "regraft.verdict": "pass",
        "regraft.rows": "rows", "regraft.schema": "1", "regraft.champion": "null", "regraft.git": "0" * 40, "regraft.data.rows": "abc",
        "regraft.journal": f"journal/{bench.pipeline}/00000001.json",
    }  # fmt: skip
    assert bench.aliases() == {"challenger": version}
    assert bench.actions() == ["register"]
    assert bench.champion() is None


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (artifact, "save"),
        ("mlflow.tracking.MlflowClient", "log_model_artifacts"),
        ("mlflow.tracking.MlflowClient", "finalize_logged_model"),
        ("mlflow.tracking.MlflowClient", "create_model_version"),
        (Journal, "append"),
        (Tracker, "set_alias"),
    ],
)
def test_registering_again_after_a_kill_ends_with_one_version(bench, monkeypatch, owner, name):
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"{owner}.{name}" if isinstance(owner, str) else owner, *([die] if isinstance(owner, str) else [name, die]))
        with pytest.raises(Killed):
            bench.register(1)
    assert bench.register(1) == bench.register(1) == "1"
    assert bench.actions() == ["register"]
    assert bench.aliases() == {"challenger": "1"}
    with bench.tracker.store() as client:
        assert len(client.search_model_versions(f"name = '{bench.pipeline}'")) == 1
        experiment = client.get_run(bench.runs[1]).info.experiment_id
        assert len(client.search_logged_models([experiment])) == 1


def test_a_model_that_changed_since_its_verdict_is_not_registered(bench, tmp_path):
    changed = shutil.copytree(bench.models[1], tmp_path / "model")
    (changed / "labels.json").write_text('["a", "b", "c"]')
    digest = bench.digest(1)
    bench.models = {1: changed}
    bench.digest = lambda _: digest  # type: ignore[method-assign]
    with pytest.raises(EnvironmentFault, match="changed since the verdict"):
        bench.register(1)
    assert bench.actions() == []


def test_a_model_whose_files_are_links_into_dvc_s_cache_is_registered_as_files(bench, tmp_path):
    """DVC's ``cache.type = symlink``; MLflow refuses a link that leaves the folder."""
    cache, linked = shutil.copytree(bench.models[1], tmp_path / "cache" / "model"), tmp_path / "artifacts" / "model"
    linked.mkdir(parents=True)
    for path in cache.iterdir():
        (linked / path.name).symlink_to(path)
    bench.models = {1: linked}
    folder = registration.model_folder(bench.tracker, bench.pipeline, bench.register(1))
    assert files.digest(folder) == bench.digest(1)
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_what_mlflow_lists_as_failures_is_told_with_a_reason(bench):
    listed = "The following failures occurred while downloading artifacts from /w:\n##### File a #####\nInvalid path: outside the folder"
    from mlflow.exceptions import MlflowException

    with pytest.raises(EnvironmentFault, match=r"artifacts from /w: Invalid path: outside the folder$"), bench.tracker.store():
        raise MlflowException(listed)


def test_promotion_moves_the_champion_and_is_repeatable(bench):
    first, second = bench.promote(1), bench.promote(2)
    assert bench.aliases() == {"champion": second}
    assert bench.champion()["digest"] == bench.digest(2)
    change = promotion.promote(bench.tracker, bench.pipeline, second, expected=None, reason="again")
    assert (change.changed, change.note) == (False, None)
    assert bench.actions() == ["register", "promote", "register", "promote"]
    assert first != second


def test_a_promotion_whose_verdict_was_about_another_champion_changes_nothing(bench):
    late = bench.register(2, champion=None)
    bench.promote(1)
    with pytest.raises(Conflict, match=r"about none") as caught:
        promotion.promote(bench.tracker, bench.pipeline, late, expected=None, reason="late")
    assert caught.value.exit_code == 7
    assert bench.version() == bench.aliases()["champion"] != late


def test_promoting_by_hand_needs_a_verdict_that_passed(bench):
    bench.register(1, outcome="fail")
    with pytest.raises(GateFailed, match="FAIL"):
        promotion.promote_by_hand(bench.tracker, bench.pipeline, None, "please")
    version = bench.register(2)
    change = promotion.promote_by_hand(bench.tracker, bench.pipeline, None, "passed")
    assert (change.champion["version"], change.changed) == (version, True)
    with pytest.raises(ConfigError, match="no challenger"):
        promotion.promote_by_hand(bench.tracker, bench.pipeline, None, "again")
    with pytest.raises(ConfigError, match="no registered version 9"):
        promotion.promote_by_hand(bench.tracker, bench.pipeline, 9, "unknown")


def test_a_model_whose_bytes_changed_in_the_store_is_not_promoted(bench):
    version = bench.register(1)
    weights = registration.model_folder(bench.tracker, bench.pipeline, version) / "model.safetensors"
    expected, actual = files.sha256_file(weights), corrupt(weights)
    with pytest.raises(EnvironmentFault, match=rf"model\.safetensors: sha256 is {actual}, expected {expected}"):
        promotion.promote(bench.tracker, bench.pipeline, version, expected=None, reason="x")
    assert bench.champion() is None


def corrupt(path: Path) -> str:
    """Flip the last byte; returns the new sha256."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return files.sha256_file(path)


RACE = """
import json, os, sys, time
import mlflow, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store  # once, before the forks
from pathlib import Path
from regraft.core.errors import Conflict
from regraft.registry import promotion
from regraft.registry.waiver import Waiver
from regraft.registry.tracking import Tracker
from regraft.core.workspace import Workspace

root, pipeline, versions, expected = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
signed = lambda n: [Waiver("at_least", None, "macro_f1", "fail", f"by {n}", "2999-01-01")] if len(sys.argv) > 5 else ()
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            tracker = Tracker(Workspace(root))
            promotion.promote(tracker, pipeline, versions[number % len(versions)], expected=expected, reason=str(number), by=str(number),
                              waivers=signed(number))
            code = 0
        except Conflict as error:
            code = error.exit_code
        finally:
            os._exit(code)
    children.append(child)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""


def child(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_of_eight_processes_that_promote_at_once_the_winners_model_is_champion_and_the_losers_exit_7(bench):
    bench.promote(1)
    expected, versions = bench.champion(), [bench.register(2), bench.register(3)]
    done = child(RACE, str(bench.tracker.workspace.root), bench.pipeline, json.dumps(versions), json.dumps(expected))
    codes = json.loads(done.stdout or "[]")
    assert sorted(set(codes)) == [0, 7], done.stderr
    entries = Journal(Folder(bench.tracker.workspace.state), bench.pipeline).entries()
    won = [entry for entry in entries if entry.action == "promote"][1:]
    assert len(won) == 1
    assert bench.aliases()["champion"] == won[0].to["version"] == versions[int(won[0].by) % 2]
    # Those that wanted the winner's version found it champion already; all others lost.
    assert [i for i, code in enumerate(codes) if code == 0] == [i for i in range(8) if i % 2 == int(won[0].by) % 2]


def test_of_eight_people_who_waive_at_once_one_signs_and_the_others_exit_7_though_the_model_is_the_same(bench):
    bench.promote(1)
    expected, version = bench.champion(), bench.register(2, outcome="fail")
    done = child(RACE, str(bench.tracker.workspace.root), bench.pipeline, json.dumps([version]), json.dumps(expected), "waive")
    codes = json.loads(done.stdout or "[]")
    assert sorted(codes) == [0] + [7] * 7, done.stderr
    last = Journal(Folder(bench.tracker.workspace.state), bench.pipeline).entries()[-1]
    assert (last.to["version"], last.waivers[0].sentence) == (version, f"by {codes.index(0)}")


def test_a_waiver_is_renewed_or_ended_by_whoever_saw_it_and_by_nobody_else(bench):
    first = Waiver("at_least", None, "macro_f1", "fail", "below the floor", "2999-01-01")
    later, version = replace(first, until="2999-12-31"), bench.register(1, outcome="fail")

    def promote(expected, *waivers):
        return promotion.promote(bench.tracker, bench.pipeline, version, expected=expected, reason="x", waivers=waivers)

    assert "on a waiver of at_least:macro_f1 until 2999-01-01" in promote(None, first).sentence
    assert promote(None, first).changed is False
    with pytest.raises(Conflict):
        promote(None, later)
    assert promote(bench.champion(), later).waivers == (later,)
    assert "stands on its verdict alone" in promote(bench.champion()).sentence
    assert promote(bench.champion()).changed is False
    assert bench.actions() == ["register", "promote", "promote", "promote"]


KILL = """
import os, signal, sys
from pathlib import Path
from regraft.registry import promotion
from regraft.registry.tracking import Tracker
from regraft.core.workspace import Workspace

tracker = Tracker(Workspace(Path(sys.argv[1])))
expected = promotion.champion(tracker, sys.argv[2])
Tracker.set_alias = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
promotion.promote(tracker, sys.argv[2], sys.argv[3], expected=expected, reason="killed in the middle")
"""


def test_an_alias_that_a_kill_left_behind_the_journal_is_set_right_by_the_next_look(bench):
    first = bench.promote(1)
    second = bench.register(2)
    done = child(KILL, str(bench.tracker.workspace.root), bench.pipeline, second)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (bench.version(), bench.aliases()["champion"]) == (second, first)
    mended = project(bench.tracker, bench.pipeline)
    assert any("champion" in sentence and f"{first} -> {second}" in sentence for sentence in mended)
    assert bench.aliases() == {"champion": second}
    assert project(bench.tracker, bench.pipeline) == []


KILLED_AT = """
import json, os, signal, sys, threading
import mlflow, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store, sqlalchemy  # once, before the forks
from pathlib import Path
from regraft.core.workspace import Workspace
from regraft.registry import promotion
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
if os.environ["REGRAFT_STORE"].startswith("s3:"):
    import boto3

clones, pipeline, versions = [Path(path) for path in sys.argv[1].split(":")], sys.argv[2], json.loads(sys.argv[3])

def forked(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def promote(clone, version):
    tracker = Tracker(Workspace(clone))
    promotion.promote(tracker, pipeline, version, expected=promotion.champion(tracker, pipeline), reason="x", by=clone.name)

def killed(clone, version, number):
    written = []
    def counted(write):
        def call(*argv):
            if threading.current_thread() is threading.main_thread():  # on a slow machine the lease is renewed in between
                written.append(write)
            if len(written) == number:  # and so after the write before it
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*argv)
        return call
    values = type(store_of(Workspace(clone)).values)
    for name in ("put", "create", "swap", "delete"):
        setattr(values, name, counted(getattr(values, name)))
    promote(clone, version)

def complete(version, deaths):
    promote(clones[1], version)
    tracker = Tracker(Workspace(clones[1]))
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    assert tracker.aliases(pipeline)["champion"] == version == entries[-1].to["version"]
    assert len([e for e in entries if e.action == "promote"]) == deaths

number = 1
while (code := forked(lambda: killed(clones[0], versions[number % 2], number))) == -signal.SIGKILL:
    assert forked(lambda: complete(versions[number % 2], number)) == 0, number
    number += 1
assert code == 0, code
print(number - 1)
"""


@pytest.mark.parametrize(
    "kind", ["sqlite", "s3", pytest.param("postgresql", marks=pytest.mark.release("[sqlite]: the same store, another database"))]
)
def test_killed_at_any_of_its_writes_to_a_shared_store_the_next_command_in_another_clone_completes_it(bench, tmp_path, monkeypatch, kind):
    clones = [tmp_path / "one", tmp_path / "two"]
    for clone in clones:
        clone.mkdir()
    with url_of(kind, tmp_path) as url:
        monkeypatch.setenv("REGRAFT_STORE", str(url))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", bench.tracker.uri)
        versions = [bench.register(1), bench.register(2)]
        done = child(KILLED_AT, ":".join(map(str, clones)), bench.pipeline, json.dumps(versions))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4\n", "the lease, the entry, its witness, the lease again"


def test_an_alias_moved_by_hand_is_put_back(bench):
    first, second = bench.promote(1), bench.promote(2)
    bench.tracker.set_alias(bench.pipeline, "champion", first)
    project(bench.tracker, bench.pipeline)
    assert bench.aliases() == {"champion": second}


def test_rollback_puts_the_champion_before_this_one_back_and_remembers_why(bench):
    first, _ = bench.promote(1), bench.promote(2)
    change = promotion.rollback(bench.tracker, bench.pipeline, reason="wrong on invoices")
    assert (change.champion["version"], change.changed) == (first, True)
    assert bench.aliases() == {"champion": first}
    last = Journal(Folder(bench.tracker.workspace.state), bench.pipeline).entries()[-1]
    assert (last.action, last.reason, last.from_["digest"]) == ("rollback", "wrong on invoices", bench.digest(2))
    with pytest.raises(ConfigError, match="no champion further back"):
        promotion.rollback(bench.tracker, bench.pipeline, reason="further")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "../served.py", "../sequence_classification.py", "../../model_code.py"]
)
def test_a_corrupt_rollback_target_is_refused_by_name_and_the_champion_stays(bench, name):
    first, second = bench.promote(1), bench.promote(2)
    broken = registration.model_folder(bench.tracker, bench.pipeline, first) / name
    expected, actual = files.sha256_file(broken), corrupt(broken)
    with pytest.raises(EnvironmentFault, match=rf"{broken.name}: sha256 is {actual}, expected {expected}"):
        promotion.rollback(bench.tracker, bench.pipeline, first, reason="x")
    assert (bench.version(), bench.aliases()) == (second, {"champion": second})
    assert bench.actions()[-1] == "promote"


def test_a_missing_an_extra_and_a_relabelled_file_are_all_named(bench):
    version = bench.register(1)
    folder = registration.model_folder(bench.tracker, bench.pipeline, version)
    (folder / "labels.json").unlink()
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(EnvironmentFault) as caught:
        registration.model_folder(bench.tracker, bench.pipeline, version)
    assert [(Path(p["file"]).name, p["rule"]) for p in caught.value.problems] == [("extra.bin", "extra"), ("labels.json", "missing")]


def test_a_manifest_rewritten_to_fit_other_weights_is_refused(bench):
    version = bench.register(1)
    folder = registration.model_folder(bench.tracker, bench.pipeline, version)
    root, weights = folder.parents[1], folder / "model.safetensors"
    before, after = files.sha256_file(weights), corrupt(weights)
    (root / "MLmodel").write_text((root / "MLmodel").read_text().replace(before, after))
    with pytest.raises(EnvironmentFault, match="the journal"):
        registration.model_folder(bench.tracker, bench.pipeline, version)


def test_an_intact_target_that_cannot_answer_is_refused_and_the_champion_stays(bench, tmp_path):
    mute = shutil.copytree(bench.models[1], tmp_path / "model")
    (mute / "serving.json").write_text('{"text_column": "text"}')
    bench.models = {**bench.models, 1: mute}
    bench.promote(1)
    second = bench.promote(2)
    with pytest.raises(EnvironmentFault, match="max_length"):
        promotion.rollback(bench.tracker, bench.pipeline, reason="x")
    assert (bench.version(), bench.aliases()) == (second, {"champion": second})


def test_a_version_that_was_never_champion_is_no_rollback_target(bench):
    bench.promote(1)
    with pytest.raises(ConfigError, match="never been champion"):
        promotion.rollback(bench.tracker, bench.pipeline, bench.register(2), reason="x")


def test_champion_and_an_alias_that_is_right_are_read_without_mlflow(bench):
    bench.promote(1)
    code = (
        "import sys; from pathlib import Path; from regraft.registry import promotion; from regraft.registry.projection import project\n"
        "from regraft.registry.tracking import Tracker; from regraft.core.workspace import Workspace\n"
        "t = Tracker(Workspace(Path(sys.argv[1])))\n"
        "print(promotion.champion(t, sys.argv[2])['version'], project(t, sys.argv[2]))\n"
        "print(sorted({'mlflow', 'torch', 'pandas'} & set(sys.modules)))"
    )
    assert child(code, str(bench.tracker.workspace.root), bench.pipeline).stdout == "1 []\n[]\n"


def test_a_moved_workspace_finds_its_models_and_evidence_again(bench, tmp_path):
    bench.promote(1)
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "verdict.json").write_text("{}")
    bench.tracker.log_evidence(bench.runs[1], evidence, "pass")
    root = tmp_path / "moved here"
    shutil.copytree(bench.tracker.workspace.root, root)
    moved = Tracker(Workspace(root))
    assert registration.model_folder(moved, bench.pipeline, "1").is_relative_to(root)
    assert (moved.download_evidence(bench.pipeline) / "verdict.json").is_relative_to(root)
    assert registration.model_folder(bench.tracker, bench.pipeline, "1").is_relative_to(bench.tracker.workspace.root)


def test_with_a_shared_server_a_champion_unknown_here_is_not_overwritten_and_no_guarantee_is_claimed(bench, monkeypatch):
    monkeypatch.setattr(Tracker, "remote", True)
    version = bench.register(1)
    change = promotion.promote(bench.tracker, bench.pipeline, version, expected=None, reason="x")
    assert "not told apart" in (change.note or "")
    foreign = bench.register(2, champion=change.champion)
    bench.tracker.set_alias(bench.pipeline, "champion", foreign)
    with pytest.raises(Conflict, match="does not know"):
        promotion.promote(bench.tracker, bench.pipeline, foreign, expected=change.champion, reason="x")
    assert bench.aliases()["champion"] == foreign


def test_the_address_of_the_store_does_not_leak_into_children(bench):
    with bench.tracker.store():
        pass
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.parametrize("seed", [1, 2])
def test_the_doctor_reads_every_byte_of_the_champion_and_of_the_one_before(bench, seed):
    versions = {number: bench.promote(number) for number in (1, 2)}

    def examined() -> Check:
        return next(check for check in doctor.models(bench.tracker.workspace) if check.name == f"models {bench.pipeline}")

    whole = f"every byte of version {versions[2]} and version {versions[1]} is what was registered"
    assert examined() == Check(f"models {bench.pipeline}", "ok", whole)
    weights = registration.model_folder(bench.tracker, bench.pipeline, versions[seed]) / "model.safetensors"
    corrupt(weights)
    found = examined()
    assert (found.state, f"version {versions[seed]} of" in found.message, str(weights) in found.message) == ("bad", True, True)
    assert found.fix.startswith(f"regraft rollback {bench.pipeline}")
