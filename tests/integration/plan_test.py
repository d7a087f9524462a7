"""What would run, and why. DVC is real; the outputs are made by hand and handed to it with ``dvc commit``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc, dvc_formats, freshness, integrity
from regraft.execution.plan import Assessment, assess, judge
from regraft.execution.resolve import resolve
from regraft.execution.step import Output, Step, fingerprint, locate_inputs, section
from regraft.registry.store import store_of
from regraft.upkeep.doctor import folder

SCORED = ["score-base", "score-adapted"]
ALL = ["contract", "splits", "corpus", "tokens", "pretrain", "finetune-base", "finetune-adapted", "tfidf", "held_out", *SCORED]


@pytest.fixture(scope="module")
def stamped(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose every step has an output that DVC takes for fresh (2 s)."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("stamped") / "w")
    workspace = Workspace(root)
    for name in ALL:
        for path in ("out/x", "evidence/x", "record.json"):
            files.write_text(workspace.artifacts("tiny", name) / path, f"{name} {path}")
    for name, path in (("contract", "texts.parquet"), ("contract", "rows.parquet"), ("contract", "labels.json"),
                       ("corpus", "documents.parquet"), ("splits", "splits.parquet"),
                       ("held_out", "dev.parquet"), ("held_out", "test.parquet"),
                       *((name, "model/x") for name in ("pretrain", "finetune-base", "finetune-adapted", "tfidf"))):  # fmt: skip
        files.write_text(workspace.artifacts("tiny", name) / "out" / path, f"{name} {path}")
    for argv in (["add", "-q", "data"], ["commit", "-f", "-q"]):
        done = subprocess.run(dvc.command(*argv), cwd=root, env=dvc.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def fresh(stamped: Path, tiny: Workspace) -> Workspace:
    shutil.copytree(stamped, tiny.root, dirs_exist_ok=True)
    return tiny


def stages(workspace: Workspace) -> tuple[Step[Any], ...]:
    """The steps of a pipeline whose gates ask for no further ones."""
    return composition.steps_in(workspace, resolve(workspace, "tiny"))


def plan(workspace: Workspace, *sets: str) -> Assessment:
    return assess(workspace, "tiny", resolve(workspace, "tiny", sets))


def whys(found: Assessment) -> dict[str, str]:
    """Reasons of the steps that certainly run."""
    return {step.name: "; ".join(step.why) for step in found.steps if step.state != "fresh" and step.certain}


def perhaps(found: Assessment) -> list[str]:
    return [step.name for step in found.steps if step.state != "fresh" and not step.certain]


def edit(path: str, change: Callable[[str], str]) -> Callable[[Workspace], None]:
    def do(workspace: Workspace) -> None:
        target = workspace.root / path
        target.write_text(change(target.read_text()))

    return do


def asked(workspace: Workspace) -> tuple[Step[Any], ...]:
    """The steps that the tiny pipeline has."""
    return composition.steps_in(workspace, resolve(workspace, "tiny"))


def test_the_steps_come_in_the_order_they_run(tiny):
    assert [step.name for step in asked(tiny)] == ALL
    for number, step in enumerate(asked(tiny)):
        before = {source.step for source in step.sources.values() if isinstance(source, Output)}
        assert before <= set(ALL[:number]), step.name


def test_nothing_changed_nothing_runs_and_nothing_is_written_to_find_out(fresh):
    def watched() -> dict[str, str]:
        return {path: sha for path, sha in files.tree(fresh.root).items() if not path.startswith(".dvc/") and "__pycache__" not in path}

    before = watched()
    found = plan(fresh)
    assert found.fresh
    assert found.data is None
    assert watched() == before


@pytest.mark.parametrize(
    ("change", "certain", "possible"),
    [
        pytest.param(
            edit("data/rows.jsonl", lambda text: text.replace('"garden"}', '"kitchen"}', 1)),
            {"contract": "data.labelled changed (data/rows.jsonl)"},
            ["splits", "corpus", "tokens", "pretrain", "finetune-base", "finetune-adapted", "tfidf", "held_out", *SCORED],
            id="labels",
        ),
        pytest.param(
            edit("data/corpus.jsonl", lambda text: text + '{"text": "more"}\n'),
            {"corpus": "data.corpus changed (data/corpus.jsonl)"},
            ["tokens", "pretrain", "finetune-adapted", "score-adapted"],
            id="corpus",
        ),
        pytest.param(
            lambda workspace: shutil.rmtree(workspace.artifacts("tiny", "tokens") / "out"),
            {"tokens": "its output is not here (out)"},
            ["pretrain", "finetune-adapted", "score-adapted"],
            id="output gone",
        ),
        pytest.param(
            edit("artifacts/tiny/finetune-adapted/out/model/x", lambda text: "mine"),
            {
                "finetune-adapted": "its output was changed by hand (artifacts/tiny/finetune-adapted/out)",
                "score-adapted": "its input artifacts/tiny/finetune-adapted/out/model changed",
            },
            [],
            id="output edited",
        ),
    ],
)
def test_a_change_on_disk_names_the_steps_it_reaches(fresh, change, certain, possible):
    change(fresh)
    found = plan(fresh)
    assert whys(found) == certain
    assert perhaps(found) == possible
    edited = {"contract": "data/rows.jsonl changed", "corpus": "data/corpus.jsonl changed"}
    assert found.data == next((edited[name] for name in edited if name in certain), None)


def test_a_changed_key_names_the_steps_that_read_it(fresh):
    locked, said = dvc_formats.stages(fresh), dvc.status(fresh, [f"{name}@tiny" for name in ALL])
    for assignment, certain in {
        "finetune.epochs=3": dict.fromkeys(("finetune-base", "finetune-adapted"), "finetune.epochs: 2 -> 3"),
        "pretrain.batch_size=4": {"pretrain": "pretrain.batch_size: 8 -> 4"},
        "pretrain.sequence_length=16": {"tokens": "sequence_length: 32 -> 16", "pretrain": "pretrain.sequence_length: 32 -> 16"},
        "split.test=0.3": {"contract": "test: 0.25 -> 0.3", **dict.fromkeys(("splits", "corpus"), "split.test: 0.25 -> 0.3")},
        "data.corpus=data/rows.jsonl": {"corpus": "corpus: data/corpus.jsonl -> data/rows.jsonl"},
        "gates=[{beats: tfidf}]": {},
    }.items():
        assert whys(judge(asked(fresh), "tiny", resolve(fresh, "tiny", [assignment]), locked, said)) == certain


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_changed_file_of_the_base_model_is_a_changed_input(fresh, name):
    path = fresh.root / "models" / "tiny" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01" if name == "model.safetensors" else path.read_bytes() + b"\n")
    locked, said = dvc_formats.stages(fresh), {}
    why = "the files of the base model models/tiny changed"
    found = judge(asked(fresh), "tiny", resolve(fresh, "tiny"), locked, said)
    assert whys(found) == {"tokens": why, "pretrain": why, "finetune-base": why}


def test_a_new_version_of_a_step_is_a_reason(fresh):
    locked = dict(dvc_formats.stages(fresh))
    locked["tokens@tiny"] = {**locked["tokens@tiny"], "cmd": "regraft step tokens --pipeline tiny --step-version 0"}
    found = judge(asked(fresh), "tiny", resolve(fresh, "tiny"), locked, {})
    assert whys(found) == {"tokens": "the step's code has a new version"}
    assert perhaps(found) == ["pretrain", "finetune-adapted", "score-adapted"]


def test_a_training_that_was_stopped_is_told_with_what_goes_on_from_it_and_not_behind_a_step_that_changed(fresh):
    resolved = resolve(fresh, "tiny", ["finetune.epochs=3"])
    step = next(step for step in asked(fresh) if step.name == "finetune-base")
    hashes = {name: item.hash() for name, item in locate_inputs(step, fresh, "tiny", resolved["data"]).items() if item.there}
    identity = fingerprint(section(step, "tiny", resolved), step.version, hashes)
    files.write_text(fresh.checkpoints("tiny", "finetune-base", identity) / "00000012" / "state.pt", "x")
    assert whys(assess(fresh, "tiny", resolved))["finetune-base"] == "stopped after 12 optimizer steps; a run goes on from its checkpoint"
    assert whys(assess(fresh, "tiny", resolve(fresh, "tiny", ["finetune.epochs=4"])))["finetune-base"].startswith("finetune.epochs: ")
    shutil.rmtree(fresh.artifacts("tiny", "splits") / "out")
    assert whys(assess(fresh, "tiny", resolved))["finetune-base"].startswith("finetune.epochs: ")


def test_a_step_that_never_ran_here_is_missing(tiny):
    found = plan(tiny)
    assert {step.state for step in found.steps} == {"missing"}
    assert whys(found)["contract"] == "never run here"


# --- is a new verdict due ----------------------------------------------------------------------------------------


def stand(workspace: Workspace) -> None:
    """A verdict stands, written under the present gates."""
    values = resolve(workspace, "tiny")
    latest = {"run": "tiny-1", "journal_seq": 0, "gates": values["gates"], "seed": values["seed"], "champion": None, "exit": 4}
    store_of(workspace).keep_latest("tiny", latest)


def test_a_verdict_is_due_when_what_it_rests_on_changed(fresh):
    stand(fresh)
    locked, said = dvc_formats.stages(fresh), dvc.status(fresh, [f"{name}@tiny" for name in ALL])
    for sets, due in (
        ([], None),
        (["gates=[{beats: tfidf}]"], "the gates changed since tiny-1"),
        (["finetune.epochs=3"], "if the scores come out different"),
    ):
        values = resolve(fresh, "tiny", sets)
        steps = judge(asked(fresh), "tiny", values, locked, said)
        assert freshness.decision_due(fresh, "tiny", values, steps) == due
        assert (freshness.nothing_to_do(fresh, "tiny", values, steps) is not None) == (due is None)


def test_without_a_verdict_one_is_due(tiny):
    assert freshness.decision_due(tiny, "tiny", resolve(tiny, "tiny"), Assessment((), None)) == "no verdict yet"


def objects(workspace: Workspace) -> list[Path]:
    return [path for path in (workspace.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()]


def unprotected_and_spoiled(workspace: Workspace, content: bytes) -> Path:
    """The cache object that begins with ``content``, writable as after rsync --no-perms, with two of its bytes overwritten."""
    (found,) = (path for path in objects(workspace) if path.read_bytes().startswith(content))
    found.chmod(0o644)
    found.write_bytes(b"##" + found.read_bytes()[2:])
    return found


@pytest.mark.parametrize(
    ("content", "behind"),
    [
        pytest.param(b"pretrain model/x", "artifacts/tiny/pretrain/out/model/x", id="an output"),
        pytest.param(b'{"text":', "data/corpus.jsonl", id="data"),
    ],
)
def test_a_spoiled_object_without_its_protection_is_named_before_dvc_deletes_it_and_put_back_by_the_repair(fresh, content, behind):
    spoiled = unprotected_and_spoiled(fresh, content)
    with pytest.raises(EnvironmentFault, match=f"{spoiled.relative_to(fresh.root)}, behind {behind}, is corrupted") as caught:
        plan(fresh)
    assert caught.value.fix == "regraft doctor --repair"
    assert spoiled.is_file()
    assert f"{spoiled.relative_to(fresh.root)} was corrupted: put back from {behind}" in integrity.repair(fresh)
    assert spoiled.read_bytes().startswith(content)


def test_a_spoiled_listing_of_a_folder_is_named_too(fresh):
    out = fresh.relative(fresh.artifacts("tiny", "pretrain") / "out")
    md5 = next(entry["md5"] for entry in dvc_formats.stages(fresh)["pretrain@tiny"]["outs"] if entry["path"] == out)
    listing = fresh.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.chmod(0o644)
    listing.write_bytes(b"##" + listing.read_bytes()[2:])
    with pytest.raises(EnvironmentFault, match=f"{fresh.relative(listing)}, behind {out}, is corrupted"):
        plan(fresh)


def test_the_doctor_looks_at_spoiled_data_without_letting_dvc_delete_it(fresh):
    spoiled = unprotected_and_spoiled(fresh, b'{"text":')
    with pytest.raises(EnvironmentFault, match=r"behind data/corpus\.jsonl, is corrupted"):
        list(folder.data(fresh))
    assert spoiled.is_file()


def test_whole_objects_that_lost_their_protection_get_it_back_and_protected_ones_are_not_read(fresh, monkeypatch):
    for path in objects(fresh):
        path.chmod(0o644)
    assert plan(fresh).fresh
    assert {path.stat().st_mode & 0o777 for path in objects(fresh)} == {0o444}
    monkeypatch.setattr(integrity, "_md5", lambda path: pytest.fail(f"read {path}"))
    assert plan(fresh).fresh


def test_a_data_dvc_that_is_no_file_of_dvc_is_left_to_dvc_to_refuse(fresh):
    for text in ("outs:\n- path: data\n", "outs: [1, x]", "<<<<<<< HEAD\nouts:\n", "[]", ""):
        (fresh.root / "data.dvc").write_text(text)
        assert dvc_formats.tracked_data(fresh) == {"outs": []}


def test_a_lock_file_that_git_ignores_is_refused_before_anything_runs(tiny, cli):
    subprocess.run(["git", "init", "-q"], cwd=tiny.root, check=True)
    (tiny.root / ".gitignore").write_text("/state/\n*.lock\n")
    for verb in ("plan", "run"):
        said = cli(verb, "tiny")
        assert said.code == 2
        assert "git ignores dvc.lock (.gitignore:2: *.lock), so DVC cannot keep it" in said.err
        assert "next: echo '!dvc.lock' >> .gitignore" in said.err
    checks = {check["name"]: check for check in json.loads(cli("doctor", "--json").out)["checks"]}
    assert checks["git"]["state"] == "bad"
    (tiny.root / ".gitignore").write_text("/state/\n*.lock\n!dvc.lock\n")
    assert cli("plan", "tiny").code == 0


def test_a_corpus_that_nobody_is_adapted_to_is_said_not_to_be_read(tiny, cli):
    assert "data.corpus is not read: no candidate starts from `adapted`" in cli("plan", "tiny", "--set", "adapt=never").out
    assert "not read" not in cli("plan", "tiny").out
