"""What a person at a terminal, and a program reading ``--json``, gets for an argv."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import composition
from regraft.execution.events import Recorder, events_file
from regraft.execution.freshness import prepare, put_back
from regraft.reports.overview import standing_exit
from regraft.upkeep.doctor import folder


def written(workspace: Workspace) -> set[str]:
    """Files of a workspace, less what Python and DVC keep for themselves."""
    return {path for path in files.tree(workspace.root) if not path.startswith(".dvc/") and "__pycache__" not in path}


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        ("--help", 0, "Exit codes: 0 ok"),
        ("frobnicate", 2, "No such command 'frobnicate'"),
        ("run", 2, "Missing argument"),
        ("run tiny --colour", 2, "No such option"),
        ("run nope", 2, "no pipeline 'nope'. Known: tiny"),
        ("run tniy", 2, "no pipeline 'tniy'; did you mean 'tiny'? Known: tiny"),
        ("run tiny --set pretrain.stpes=3", 2, "pretrain.stpes: unknown"),
        ("run tiny --set finetune.batch_szie=3", 2, "finetune.batch_szie: unknown; did you mean batch_size?"),
        ("run tiny --set seed", 2, "write key=value"),
        ("run tiny --set base_model=models/none", 2, "base_model models/none: no such folder"),
        ("run tiny --set data.corpus=none.txt", 3, "data.corpus: none.txt is not there"),
        ("run tiny --set data.labelled=data/demo/x", 3, "next: python -m regraft.upkeep.demo data/demo"),
        ("plan nope", 2, "no pipeline 'nope'"),
        ("plan tiny", 0, "unknown  never run here"),
        ("plan tiny --set gates.9.beats=tfidf", 2, "gates: input should be a list"),
        ("status nope", 2, "no pipeline 'nope'"),
        ("status", 0, "champion      none"),
        ("dvc --check", 0, "are in step"),
        ("step nope --pipeline tiny --step-version 1", 2, "no step 'nope'"),
        ("step tokesn --pipeline tiny --step-version 1", 2, "did you mean 'tokens'?"),
        ("step tokens --pipeline tiny --step-version 99", 2, "dvc.yaml runs version 99 of step 'tokens', the code is version"),
        ("step tokens --pipeline tiny --step-version {version}", 2, "which is not there"),
        ("step tokens --pipeline other --step-version {version}", 2, "pipelines/resolved/other.yaml is not there"),
    ],
)  # fmt: skip
def test_cli_says_what_happened(argv, code, text, cli, tiny):
    version = next(step.version for step in composition.steps(tiny) if step.name == "tokens")
    said = cli(*argv.format(version=version).split())
    assert (said.code, text in said.out + said.err) == (code, True), said
    assert "Traceback" not in said.out + said.err


def test_a_flow_that_imports_names_that_moved_is_refused_before_it_starts(cli, tiny):
    (tiny.root / "flows" / "mine.py").write_text("from regraft.launch import Event\n")
    said = cli("run", "tiny")
    assert (said.code, "next: regraft init --upgrade ." in said.err) == (2, True), said
    assert "flows/mine.py, line 1: regraft.launch.Event is now regraft.steps.flow.Event" in said.err
    assert not (tiny.scratch / "logs").exists()


def test_a_refused_run_writes_nothing_but_its_lock(cli, tiny):
    before = written(tiny)
    for argv in ("run nope", "run tiny --set finetune.epochs=0", "run tiny --set data.corpus=none.txt", "plan tiny"):
        cli(*argv.split())
    assert {path for path in written(tiny) - before if not path.startswith(".regraft/locks/")} == set()


def test_errors_go_to_stderr_and_answers_to_stdout(cli, tiny):
    wrong, right = cli("plan", "nope"), cli("plan", "tiny")
    assert (wrong.out, right.err) == ("", "")


# --- --json ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "keys"),
    [
        (
            "plan tiny --json",
            {
                "schema",
                "pipeline",
                "steps",
                "data",
                "decision",
                "cost",
                "power",
                "waiver",
                "texts",
                "borders",
                "lost_head",
                "spare_embeddings",
            },
        ),
        ("status --json", {"schema", "tracking_uri", "pipelines"}),
    ],
)
def test_json_is_one_document_with_a_schema(argv, keys, cli, tiny):
    said = cli(*argv.split())
    assert (said.code, said.err, set(said.json)) == (0, "", keys)


def test_status_as_json_has_the_shape_that_readers_rely_on(cli, tiny):
    entry = cli("status", "tiny", "--json").json["pipelines"]["tiny"]
    assert (entry["champion"], entry["challenger"], entry["verdict"]) == (None, None, None)
    assert entry["steps"][0] == {"name": "contract", "state": "missing", "why": ["never run here"], "certain": True}


def test_a_pipeline_that_cannot_be_read_is_told_with_the_next_command_even_where_its_error_names_none(cli, tiny):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text().replace("data:\n", "data:\n  contract: none.yaml\n"))
    entry = cli("status", "tiny", "--json").json["pipelines"]["tiny"]
    said = cli("status", "tiny")
    assert "none.yaml is not there" in entry["error"]
    assert entry["fix"]
    assert f"next: {entry['fix']}" in said.out


def test_errors_as_json_have_a_place_and_a_rule(cli, tiny):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + "sede: 3\nseed: -1\n")
    row = len(path.read_text().splitlines())
    said = cli("plan", "tiny", "--json")
    assert (said.code, said.json["exit"], said.err) == (2, 2, "")
    assert {(e["column"], e["row"], e["file"]) for e in said.json["errors"]} == {
        ("sede", row - 1, "pipelines/tiny.yaml"), ("seed", row, "pipelines/tiny.yaml"),
    }  # fmt: skip


def test_a_plan_of_the_demo_before_its_data_is_there_says_that_a_run_builds_it(cli, tiny):
    said = cli("plan", "tiny", "--set", "data.corpus=data/demo/corpus", "--set", "data.labelled=data/demo/labelled")
    assert said.code == 3
    assert "next: regraft run tiny, which builds it first" in said.err


def test_an_error_without_a_place_is_one_entry_with_its_fix(cli, tiny):
    (error,) = cli("run", "tiny", "--set", "data.corpus=data/demo/none", "--json").json["errors"]
    assert error["fix"] == "python -m regraft.upkeep.demo data/demo"
    assert error["message"] == "data.corpus: data/demo/none is not there"


# --- the other exits ---------------------------------------------------------------------------------------------


def test_outside_a_workspace_the_next_command_is_init(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("status")
    assert said.code == 2
    assert "next: regraft init" in said.err


def test_a_run_in_progress_is_exit_7_and_names_the_pid(cli, tiny):
    lock = tiny.scratch / "locks" / "tiny.lock"
    files.write_text(lock, f"{os.getpid()}\n")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = cli("run", "tiny", "--no-wait")
    assert said.code == 7
    assert f"pid {os.getpid()}" in said.err


def test_a_bug_is_one_line_and_a_traceback_in_a_file(cli, tiny):
    broken = tiny.root / "pipelines" / "__init__.py"
    broken.write_text("raise ZeroDivisionError('boom')\n")
    said = cli("plan", "tiny")
    assert said.code == 1
    assert "internal error, ZeroDivisionError: boom; the traceback is in" in said.err
    assert said.err.endswith("next: regraft doctor\n")
    assert "Traceback" not in said.err
    (log,) = (tiny.scratch / "logs").iterdir()
    assert "Traceback" in log.read_text()
    assert str(log) in said.err


def test_a_generated_file_that_was_edited_is_found_and_mended(cli, tiny):
    path = tiny.resolved_file("tiny")
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    said = cli("dvc", "--check")
    assert (said.code, "pipelines/resolved/tiny.yaml" in said.err) == (2, True)
    assert cli("dvc").code == 0
    assert cli("dvc", "--check").code == 0


def test_a_pipeline_file_that_is_gone_takes_its_generated_parts_along(cli, tiny):
    text = tiny.pipeline_file("tiny").read_text()
    tiny.pipeline_file("second").write_text(text)
    assert cli("dvc").code == 0
    assert tiny.resolved_file("second").is_file()
    tiny.pipeline_file("second").unlink()
    assert "pipelines/resolved/second.yaml" in cli("dvc", "--check").err
    assert cli("dvc").code == 0
    assert not tiny.resolved_file("second").exists()
    assert "second" not in (tiny.root / "dvc.yaml").read_text()


# --- as a process ------------------------------------------------------------------------------------------------


def regraft(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regraft", *argv], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_no_colour_is_honoured_and_a_pipe_gets_none(tiny):
    for done in (regraft("plan", "tiny", cwd=tiny.root, NO_COLOR="1"), regraft("plan", "nope", cwd=tiny.root)):
        assert "\x1b[" not in done.stdout + done.stderr


def test_a_workspace_may_be_named_from_anywhere(tiny, tmp_path):
    done = regraft("status", "--json", cwd=tmp_path, REGRAFT_WORKSPACE=str(tiny.root))
    assert list(json.loads(done.stdout)["pipelines"]) == ["tiny"]


@pytest.mark.parametrize("verb", ["plan tiny --json", "status"])
def test_a_reader_that_goes_away_is_no_error(verb, tiny):
    command = f"set -o pipefail; {sys.executable} -m regraft {verb} | true"
    done = subprocess.run(["bash", "-c", command], cwd=tiny.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argv", "says", "fix"),
    [
        ("plan --json", "Missing argument", "regraft plan --help"),
        ("gc --foo --json", "No such option: --foo", "regraft gc --help"),
        ("nosuch --json", "No such command 'nosuch'", "regraft --help"),
    ],
)
def test_a_wrong_command_line_is_one_document_too_where_a_program_asked(argv, says, fix, cli):
    said = cli(*argv.split())
    (error,) = said.json["errors"]
    assert (said.code, error["fix"], says in error["message"]) == (2, fix, True)


def test_while_a_run_is_at_work_status_says_where_and_plan_whom_to_watch(cli, tiny):
    run = "tiny-20260101T000000-abcdef"
    record = Recorder(events_file(tiny, run))
    for event in ({"event": "run_started", "run": run}, {"event": "step_started", "step": "contract"}):
        record(event)
    entry = cli("status", "tiny", "--json").json["pipelines"]["tiny"]
    assert entry["running"] == {"run": run, "step": "contract"}
    assert [(step["state"], step["why"]) for step in entry["steps"][:2]] == [
        ("missing", [f"at work in {run}"]),
        ("missing", [f"waits in {run}"]),
    ]
    told, planned = cli("status", "tiny").out, cli("plan", "tiny")
    assert "never run here" not in told
    assert f"running       {run}, step contract; `regraft status --watch` follows it" in told
    assert (planned.code, f"{run} is at work at step contract" in planned.err) == (7, True)
    record.close()  # it ended, or was killed
    assert cli("status", "tiny", "--json").json["pipelines"]["tiny"]["running"] is None
    assert cli("plan", "tiny").code == 0


@pytest.mark.parametrize(
    ("standing", "code"),
    [([], 0), ([0, 0], 0), ([0, 5], 5), ([5, 6], 6), ([6, 4, 5], 4), ([None, 0], 5), ([None, 4], 4), ([4, "broken"], 2)],
)
def test_status_check_ends_with_the_most_pressing_code(standing, code):
    entries = [
        {"verdict": {"exit": 4}, "exit": 2, "error": "x"} if n == "broken" else {"verdict": None if n is None else {"exit": n}}
        for n in standing
    ]
    assert standing_exit({"pipelines": dict(enumerate(entries))}) == code


def test_a_trial_leaves_the_files_of_the_workspace_as_they_were(tiny):
    before = {path: path.read_bytes() for path in (tiny.resolved_file("tiny"), tiny.root / "dvc.yaml", tiny.pipeline_file("tiny"))}

    def stopped() -> None:
        with put_back(tiny, "tiny", ["adapt=never"]):
            prepare(tiny, "tiny", ["adapt=never"])
            assert tiny.resolved_file("tiny").read_bytes() != before[tiny.resolved_file("tiny")]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert {path: path.read_bytes() for path in before} == before
    assert [check.state for check in folder.pipelines(tiny) if check.name == "generated files"] == ["ok"]


def test_what_a_run_with_overrides_left_is_no_fault_until_somebody_edits_it(tiny):
    prepare(tiny, "tiny", ["finetune.epochs=3"])
    (check,) = (check for check in folder.pipelines(tiny) if check.name == "generated files")
    assert (check.state, "--set finetune.epochs=3" in check.message) == ("warn", True)
    path = tiny.resolved_file("tiny")
    path.write_text(path.read_text().replace("seed: ", "seed: 1"))
    assert [check.state for check in folder.pipelines(tiny) if check.name == "generated files"] == ["bad"]
    prepare(tiny, "tiny")
    assert [check.state for check in folder.pipelines(tiny) if check.name == "generated files"] == ["ok"]
