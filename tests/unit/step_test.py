"""What run_step leaves behind, and what a step's identity is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from regraft.config.pipeline import StepConfig
from regraft.core import files, progress
from regraft.core.errors import ConfigError, DataRejected, EnvironmentFault, Interrupted, Problem
from regraft.core.progress import Running
from regraft.core.workspace import Workspace
from regraft.execution import cut_short
from regraft.execution.step import Output, Step, evidence, fingerprint, run_step
from regraft.models import base_model


class WordsConfig(StepConfig):
    times: int = Field(1, ge=1)
    mark: str = "!"


def shout(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
    text = (inputs["text"].read_text() + config.mark) * config.times
    (out / "shout.txt").write_text(text)
    (evidence(out) / "curve.json").write_text("[]")
    progress.current().facts["threads"] = 3
    return {"characters": len(text)}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("REGRAFT_INVOCATION", raising=False)
    (tmp_path / "in.txt").write_text("hey")
    return Workspace(tmp_path)


RESOLVED = {"data": {"labelled": "in.txt"}, "words": {"times": 2, "mark": "!"}}


def words(run: Callable[..., Any] = shout, **more: Any) -> Step[WordsConfig]:
    return Step(**{"name": "words", "config": WordsConfig, "run": run, "inputs": {"text": "data.labelled"}, "version": 1, **more})


def home(workspace: Workspace) -> Path:
    return workspace.artifacts("p", "words")


def leave(workspace: Workspace, step: Step[Any] | None = None, resolved: Mapping[str, Any] = RESOLVED) -> dict[str, Any]:
    """The record of one run of ``step``."""
    run_step(step or words(), workspace, "p", resolved, Running(pipeline="p", step="words"))
    record: dict[str, Any] = files.read_json(home(workspace) / "record.json")
    return record


def tree(folder: Path) -> dict[str, str]:
    return files.tree(folder) if folder.exists() else {}


@pytest.mark.parametrize(("kept", "says"), [
    ("state.json", "stopped on its way; a run goes on from its checkpoint"),
    ("00000240/state.pt", "stopped after 240 optimizer steps; a run goes on from its checkpoint"),
    ("start.json", None),
])  # fmt: skip
def test_a_step_that_was_stopped_says_so_until_a_run_of_it_would_begin_anew(workspace, kept, says):
    def stopped(config, inputs, out):
        files.write_text(progress.current().checkpoints / kept, "x")
        raise Interrupted("stopped")

    assert cut_short.remark(workspace, "p", words(stopped), RESOLVED) is None
    with pytest.raises(Interrupted):
        leave(workspace, words(stopped))
    assert cut_short.remark(workspace, "p", words(), RESOLVED) == says
    assert cut_short.remark(workspace, "p", words(), {**RESOLVED, "words": {"times": 3, "mark": "!"}}) is None
    assert cut_short.remark(workspace, "p", words(version=2), RESOLVED) is None
    (workspace.root / "in.txt").write_text("you")
    assert cut_short.remark(workspace, "p", words(), RESOLVED) is None
    (workspace.root / "in.txt").unlink()
    assert cut_short.remark(workspace, "p", words(), RESOLVED) is None


def test_the_record_says_all_that_a_reader_needs_later(workspace):
    record = leave(workspace)
    assert set(record) == {
        "schema", "pipeline", "step", "step_version", "fingerprint", "invocation", "run", "mlflow_run_id", "inputs", "params", "outputs",
        "metrics", "started", "seconds", "energy", "peak_mb", "device", "threads", "shards", "workers",
        "precision", "exact", "versions", "git",
    }  # fmt: skip
    assert record["inputs"] == {"text": {"path": "in.txt", "hash": files.sha256_text("hey")}}
    assert record["outputs"] == {"shout.txt": files.sha256_text("hey!hey!")}
    assert (record["params"], record["metrics"], record["threads"]) == ({"times": 2, "mark": "!"}, {"characters": 8}, 3)
    assert sorted(p.name for p in home(workspace).iterdir()) == ["evidence", "out", "record.json"]


def test_nothing_of_the_environment_gets_into_a_record(workspace, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hush-hush@host")
    assert "hush-hush" not in json.dumps(leave(workspace))


def test_two_runs_leave_the_same_bytes_below_out(workspace):
    leave(workspace)
    first = tree(home(workspace) / "out")
    leave(workspace)
    assert tree(home(workspace) / "out") == first


def test_the_run_that_asked_is_in_the_record_and_not_in_the_identity(workspace, monkeypatch):
    alone = leave(workspace)
    files.write_json(workspace.scratch / "invocations" / "i-1.json", {"run": "p-run"})
    monkeypatch.setenv("REGRAFT_INVOCATION", "i-1")
    asked = leave(workspace)
    assert (asked["invocation"], asked["run"]) == ("i-1", "p-run")
    assert asked["fingerprint"] == alone["fingerprint"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config, version, inputs: (WordsConfig(times=3), version, inputs),
        lambda config, version, inputs: (config, 2, inputs),
        lambda config, version, inputs: (config, version, {"text": "b"}),
        lambda config, version, inputs: (config, version, {"texts": "a"}),
    ],
)
def test_parameters_version_and_inputs_are_the_identity(change):
    plain = (WordsConfig(times=2), 1, {"text": "a"})
    assert fingerprint(*plain) == fingerprint(WordsConfig(times=2), 1, {"text": "a"})
    assert fingerprint(*change(*plain)) != fingerprint(*plain)


def test_the_path_of_an_input_is_not_part_of_the_identity(workspace):
    (workspace.root / "other.txt").write_text("hey")
    moved = {**RESOLVED, "data": {"labelled": "other.txt"}}
    assert leave(workspace)["fingerprint"] == leave(workspace, resolved=moved)["fingerprint"]


def test_a_step_that_fails_keeps_the_output_of_the_one_before(workspace):
    leave(workspace)
    before = tree(home(workspace))

    def half(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
        (out / "shout.txt").write_text("half")
        raise DataRejected("row 3 is bad")

    with pytest.raises(DataRejected):
        leave(workspace, words(half))
    assert tree(home(workspace)) == before, "not even a folder of its own is left"


def test_what_a_step_wrote_of_rows_that_it_rejects_is_kept_and_named(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root)

    def strict(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
        listed = evidence(out) / "bad.csv"
        listed.write_text("row 3")
        place = os.path.relpath(listed)
        raise DataRejected(f"all of them are in {place}", problems=[Problem(message="row 3", file=place, row=3)])

    with pytest.raises(DataRejected) as caught:
        leave(workspace, words(strict))
    place = ".regraft/rejected/p.words/bad.csv"
    assert str(caught.value) == f"all of them are in {place}"
    assert caught.value.problems == [{"message": "row 3", "file": place, "row": 3}]
    assert (workspace.root / place).read_text() == "row 3"
    assert not (home(workspace) / ".partial").exists()


def test_a_step_whose_input_changed_under_it_keeps_nothing(workspace):
    def slow(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
        inputs["text"].write_text("changed")
        return {}

    with pytest.raises(EnvironmentFault, match=r"step 'words': text changed while the step was reading it; nothing was kept"):
        leave(workspace, words(slow))
    assert not (home(workspace) / "out").exists()
    assert not (home(workspace) / "record.json").exists()


def test_a_death_between_the_outputs_leaves_no_record(workspace, monkeypatch):
    leave(workspace)
    renamed = []

    def one(self: Path, target: Path) -> Path:
        renamed.append(target)
        if len(renamed) == 2:
            raise KeyboardInterrupt
        os.rename(self, target)
        return target

    monkeypatch.setattr(Path, "rename", one)
    with pytest.raises(KeyboardInterrupt):
        leave(workspace, resolved={**RESOLVED, "words": {"times": 5}})
    assert not (home(workspace) / "record.json").exists(), "a record means a whole output"


def test_a_missing_input_names_itself_and_the_command_that_makes_it(workspace):
    step = words(inputs={"text": Output("before", "text.txt")})
    with pytest.raises(ConfigError, match=r"step 'words' needs text \(artifacts/p/before/out/text\.txt\), which is not there") as raised:
        leave(workspace, step)
    assert raised.value.fix == "regraft run p"
    assert not home(workspace).exists()


def test_checkpoints_are_kept_by_identity(workspace):
    seen = []

    def look(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
        seen.append(progress.current().checkpoints)
        return {}

    records = [leave(workspace, words(look), {**RESOLVED, "words": {"times": times}}) for times in (1, 2, 1)]
    assert seen == [workspace.checkpoints("p", "words", record["fingerprint"]) for record in records]
    assert seen[0] == seen[2] != seen[1]


def test_a_step_called_by_hand_reports_nothing(workspace, capsys):
    leave(workspace)
    assert capsys.readouterr().out == ""


def test_a_step_that_somebody_watches_reports_lines_that_stand_out(workspace, capsys):
    def count(config: WordsConfig, inputs: Mapping[str, Path], out: Path) -> dict[str, int]:
        progress.progress(1, 2, "rows", {"loss": 0.5})
        return {}

    run_step(words(count), workspace, "p", RESOLVED, Running(pipeline="p", step="words", report=True))
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("@@ ") for line in lines)
    assert json.loads(lines[-1][3:]) == {
        "event": "progress", "step": "words", "done": 1, "total": 2, "unit": "rows", "metrics": {"loss": 0.5},
    }  # fmt: skip


# --- errors cross process borders --------------------------------------------------------------------------------


def test_an_error_survives_pickling_with_all_it_knows():
    import pickle

    from regraft.core.errors import BY_NAME, Problem

    for kind in BY_NAME.values():
        error = pickle.loads(pickle.dumps(kind("no", fix="do", problems=[Problem(file="x", row=3)])))
        assert (type(error), str(error), error.fix, error.problems) == (kind, "no", "do", [{"file": "x", "row": 3}])


class BasedConfig(StepConfig):
    base_model: str
    base_digest: str


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_base_model_that_changes_under_a_step_is_refused_and_nothing_kept(workspace, when):
    tokenizer = workspace.root / "base" / "tokenizer.json"
    files.write_text(tokenizer, "{}")

    def run(config, inputs, out):
        tokenizer.write_text("{...}")
        return {}

    expected = base_model.digest(workspace.root / "base") if when == "while" else "0" * 64
    resolved = {**RESOLVED, "words": {"base_model": "base", "base_digest": expected}}
    with pytest.raises(EnvironmentFault, match=f"the files of the base model base .* changed .* expected {expected[:12]}") as refused:
        leave(workspace, words(run, config=BasedConfig), resolved)
    assert refused.value.fix == "regraft run p"
    assert not (home(workspace) / "record.json").exists()
    assert tokenizer.read_text() == ("{...}" if when == "while" else "{}")


def test_the_seconds_of_a_step_that_was_cut_are_those_of_all_its_parts(workspace):
    def run(config, inputs, out):
        progress.current().facts["earlier_seconds"] = 100.0
        return {}

    assert 100 <= leave(workspace, words(run))["seconds"] < 110
