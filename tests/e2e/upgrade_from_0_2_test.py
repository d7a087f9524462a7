"""A workspace of version 0.2.0, as its own ``init`` and runs of a tiny pipeline left it, artifacts and all, under today's library."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from workbench import regraft, told

OLD = Path(__file__).with_name("workspace-0.2.0.tar.xz")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("old") / "w"
    with tarfile.open(OLD) as archive:
        archive.extractall(root)  # our own; `filter` came with Python 3.11.4
    mine = root / "tasks" / "tfidf.py"
    mine.write_text(mine.read_text() + "# ours\n")
    return root


def test_the_registry_finds_its_models_where_the_workspace_lies_now(old):
    # First: whatever opens the store does the same without a word.
    assert json.loads(regraft(old, "doctor", "--relocate", "--json").stdout)["repaired"][0].endswith(" paths rewritten")


def test_before_the_upgrade_a_run_is_refused_with_the_command_and_changes_nothing(old):
    before = (old / "dvc.yaml").read_bytes()
    done = regraft(old, "run", "tiny", "--json")
    assert done.returncode == 2
    (problem, *_) = json.loads(done.stdout)["errors"]
    assert problem["message"] == "flows.curves.Curves is now regraft.steps.flow.Curves"
    assert (problem["file"], problem["row"]) == ("flows/__main__.py", 9)
    assert "next: regraft init --upgrade ." in regraft(old, "run", "tiny").stderr
    assert (old / "dvc.yaml").read_bytes() == before
    assert told(old, 0, "status")["pipelines"]["tiny"]["champion"]["version"] == "2"


def test_the_upgrade_names_the_lines_of_files_that_their_owners_changed(old):
    done = regraft(old, "init", "--upgrade", ".")
    assert done.returncode == 0, done.stderr
    written = " ".join(done.stdout.split())
    assert "removed flows/decision.py" in written
    assert "moved artifacts/tiny/finetune_base to finetune-base" in written
    assert "yours write `from regraft.steps.evaluation import Tfidf` in tasks/tfidf.py, line 33" in written
    checks = [check for check in json.loads(regraft(old, "doctor", "--json").stdout)["checks"] if check["name"] == "imports"]
    assert [(check["state"], check["message"].split(":")[0]) for check in checks] == [("bad", "tasks/tfidf.py, line 11")]
    assert checks[0]["fix"].startswith("write `from regraft.steps"), "the upgrade leaves this file to its owners"


def test_after_it_every_model_is_trained_once_more_and_the_champion_is_what_the_gates_say(old, ask):
    mine = old / "tasks" / "tfidf.py"
    mine.write_bytes((Path(__file__).parents[2] / "tasks" / "tfidf.py").read_bytes())  # as the diff says
    assert regraft(old, "dvc").returncode == 0
    steps = told(old, 0, "plan", "tiny")["steps"]
    stale = {step["name"]: step["why"] for step in steps if step["state"] != "fresh"}
    assert list(stale) == ["pretrain", "finetune-base", "finetune-adapted", "held_out", "score-base", "score-adapted"]
    assert any("shards" in reason for reason in stale["pretrain"]), stale
    told(old, 0, "run", "tiny")
    assert ask(old, "status", "--json").json["pipelines"]["tiny"]["champion"]["version"] == "3"
    again = ask(old, "run", "tiny")
    assert again.out.startswith("nothing changed since"), again.out + again.err


def test_what_0_2_decided_is_explained_and_its_models_answer(old, ask):
    assert ask(old, "explain", "tiny", "--json").json["outcome"] == "pass"
    assert ask(old, "predict", "tiny", "salt the oven", "--json").json["version"] == "3"
    assert [entry["action"] for entry in ask(old, "history", "tiny", "--json").json["entries"]] == ["register", "promote"] * 3
