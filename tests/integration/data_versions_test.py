"""``regraft data`` and ``regraft quarantine``: versions compared, gone back to, and rows that people decide about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats

Rows = list[dict[str, Any]]
BAD = """id,text,label
n1,one new row,garden
n2,One  NEW row,garden
n3,,kitchen
n4,two labels here,garden
n5,two labels here,harbour
"""


def data(workspace: Workspace) -> Rows:
    return [json.loads(line) for line in (workspace.root / "data/rows.jsonl").read_text().splitlines()]


@pytest.fixture
def handed(tiny: Workspace, cli: Any) -> Workspace:
    """Version 2 of the data has one row more; four are set aside."""
    (tiny.root / "bad.csv").write_text(BAD)
    said = cli("handoff", "tiny", "bad.csv", "--max-quarantined", "0.9", "--no-commit", "--json")
    assert (said.code, said.json["accepted"], said.json["quarantined"]) == (0, 1, 4)
    return tiny


def test_versions_are_compared_logged_and_gone_back_to(handed, cli):
    told = cli("data", "diff", "tiny/1", "tiny", "--json").json
    assert (told["added"], told["removed"], told["edited"], told["relabelled"]) == (1, 0, 0, 0)
    assert told["rows"] == [{"id": "n1", "kinds": ["added"], "before": None, "after": {"text": "one new row", "label": "garden"}}]
    page = cli("data", "diff", "tiny/1", "tiny/2", "--markdown").out
    assert page.startswith("### Rows: tiny/1 → tiny/2\n\n1 row added.")
    assert "| n1 | added |  | one new row `garden` |" in page
    assert "no row differs" in cli("data", "diff", "tiny/2", "tiny").out
    assert cli("data", "diff", "tiny/1", "tiny/2", "--page", "diff.html").code == 0
    document = (handed.root / "diff.html").read_text()
    assert "one new row" in document
    assert re.findall(r"https?://", document) == []

    before = data(handed)
    assert cli("data", "revert", "tiny", "1", "--reason", "wrong file", "--no-commit").code == 0
    assert data(handed) == before[:-1]
    log = cli("data", "log", "tiny", "--json").json["versions"]
    assert isinstance(log, list)
    assert [(line["version" if "version" in line else "number"], line["action"], line["current"]) for line in log] == [
        (3, "revert", True), (2, "handoff", False), (1, "found", False),
    ]  # fmt: skip
    assert (log[0]["reason"], log[0]["summary"]) == ("wrong file", "back to version 1: 1 row removed")
    assert "wrong file" in cli("data", "log", "tiny").out
    assert cli("data", "revert", "tiny", "3").code == 2, "they are that already"
    again = cli("handoff", "tiny", "bad.csv", "--max-quarantined", "0.9", "--no-commit", "--json").json
    assert (again["outcome"], again["version"]) == ("accepted", 4), "what was gone back from may be handed in again"


def test_what_was_changed_by_hand_is_a_version_of_its_own(handed, cli):
    path = handed.root / "data/rows.jsonl"
    path.write_text(path.read_text().replace('"garden"}', '"harbour"}', 1))
    (handed.root / "next.jsonl").write_text(json.dumps({"id": "n9", "text": "a row of the next drop", "label": "garden"}) + "\n")
    assert cli("handoff", "tiny", "next.jsonl", "--no-commit", "--json").json["version"] == 4
    assert "changed by hand since the last version" in cli("data", "log", "tiny").out


def test_bytes_that_are_only_in_the_remote_come_back(handed, cli, tmp_path):
    dvc.ask(handed, "remote", "add", "-d", "far", str(tmp_path / "far"))
    (handed.root / "next.jsonl").write_text(json.dumps({"id": "n9", "text": "a row of the next drop", "label": "garden"}) + "\n")
    assert cli("handoff", "tiny", "next.jsonl", "--no-commit", "--json").json["version"] == 3
    now = data(handed)
    assert cli("data", "revert", "tiny", "2", "--no-commit").code == 0
    shutil.rmtree(dvc_formats.cache_folder(handed) / "files")
    said = cli("data", "revert", "tiny", "3", "--no-commit")
    assert said.code == 0, said.err
    assert data(handed) == now
    shutil.rmtree(dvc_formats.cache_folder(handed) / "files")
    shutil.rmtree(tmp_path / "far")
    lost = cli("data", "revert", "tiny", "1", "--no-commit")
    assert (lost.code, "neither in DVC's cache nor in a remote" in lost.err) == (8, True)
    assert data(handed) == now


def test_two_files_are_compared_without_a_workspace(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("key,body,team\n1,x,a\n2,y,b\n")
    Path("b.csv").write_text("key,body,team\n1,x,b\n3,y,b\n")
    told = cli("data", "diff", "a.csv", "b.csv", "--id", "key", "--text", "body", "--label", "team", "--json").json
    assert (told["added"], told["removed"], told["relabelled"]) == (1, 1, 1)
    assert told["relabellings"] == [{"from": "a", "to": "b", "rows": 1}]
    said = cli("data", "diff", "a.csv", "tiny/1")
    assert (said.code, "tiny/1 is neither a file or folder nor a version" in said.err) == (2, True)


def test_a_person_decides_about_rows_that_were_set_aside(handed, cli):
    waiting = cli("quarantine", "list", "tiny", "--json").json["rows"]
    assert isinstance(waiting, list)
    assert [(row["key"], row["id"], row["rule"]) for row in waiting] == [
        ("2:1", "n2", "text.duplicate"), ("2:2", "n3", "text.required"), ("2:3", "n4", "text.conflict"), ("2:4", "n5", "text.conflict"),
    ]  # fmt: skip
    assert "bad.csv:5" in cli("quarantine", "show", "tiny", "2:3").out
    refused = cli("quarantine", "release", "tiny", "2:2", "--reason", "it is fine")
    assert (refused.code, "bad.csv:4: text is missing" in refused.err) == (3, True)
    released = cli("quarantine", "release", "tiny", "2:3", "--reason", "garden it is", "--by", "mia", "--no-commit", "--json").json
    assert (released["number"], released["by"], released["reason"]) == (3, "mia", "garden it is")
    assert data(handed)[-1] == {"id": "n4", "text": "two labels here", "label": "garden"}
    assert cli("quarantine", "drop", "tiny", "2:1", "2:4", "--reason", "nothing new").code == 0
    decided = {row["key"]: row["decision"] for row in cli("quarantine", "list", "tiny", "--all", "--json").json["rows"]}  # type: ignore[attr-defined]
    assert {key: decision and (decision["what"], decision["by"] == "mia") for key, decision in decided.items()} == {
        "2:1": ("dropped", False), "2:2": None, "2:3": ("released", True), "2:4": ("dropped", False),
    }  # fmt: skip
    twice = cli("quarantine", "release", "tiny", "2:4", "--reason", "oh")
    assert (twice.code, "2:4 was dropped by" in twice.err) == (2, True)
    assert cli("quarantine", "drop", "tiny", "2:2", "--reason", " ").code == 2
    assert cli("quarantine", "show", "tiny", "9:9").code == 2


def test_a_row_that_was_mended_waits_no_more(handed, cli):
    (handed.root / "mended.csv").write_text("id,text,label\nn3,now it has a text,kitchen\n")
    assert cli("handoff", "tiny", "mended.csv", "--no-commit").code == 0
    assert "2:2" not in cli("quarantine", "list", "tiny").out
    assert "mended by" in cli("quarantine", "list", "tiny", "--all").out


def test_a_version_is_in_the_commit_of_a_workspace_in_git(handed, cli, monkeypatch):
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "d@x")
    (handed.root / ".gitignore").write_text("/artifacts/\n/state/\n/.regraft/\n/data/\n*.dvc\n")
    subprocess.run(["git", "init", "-q"], cwd=handed.root, check=True)
    (handed.root / "next.jsonl").write_text(json.dumps({"id": "n9", "text": "a row of the next drop", "label": "garden"}) + "\n")
    told = cli("handoff", "tiny", "next.jsonl", "--json").json
    assert (told["version"], told["commit"]) == (3, None)
    assert any("next:" in warning for warning in told["warnings"]), "what git ignores is said, and the version stands"  # type: ignore[attr-defined]
