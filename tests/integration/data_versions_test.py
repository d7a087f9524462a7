"""``regraft data`` and ``regraft quarantine``: versions compared, gone back to, and rows that people decide about."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dying import do_and_die

from regraft.core.workspace import Workspace
from regraft.data.handoff.set_aside import Quarantine
from regraft.execution import dvc, dvc_formats
from regraft.production.data_store import DataStore
from regraft.production.data_versions import revert
from regraft.production.quarantined import release

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


def test_what_differs_is_counted_by_a_column_as_well(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("id,text,label,channel\n1,x,a,mail\n2,y,b,web\n3,z,b,web\n4,same,a,mail\n")
    Path("b.csv").write_text("id,text,label,channel\n1,x,b,mail\n2,y more,b,web\n4,same,a,mail\n5,new,a,\n")
    told = cli("data", "diff", "a.csv", "b.csv", "--by", "channel", "--json").json
    counted = {value: {kind: count for kind, count in kinds.items() if count} for value, kinds in told["by_value"].items()}  # type: ignore[attr-defined]
    assert (told["by"], counted) == ("channel", {"": {"added": 1}, "mail": {"relabelled": 1}, "web": {"edited": 1, "removed": 1}})
    assert "by" not in cli("data", "diff", "a.csv", "b.csv", "--json").json
    page = cli("data", "diff", "a.csv", "b.csv", "--by", "channel", "--markdown", "--page", "diff.html").out
    assert "| channel | added | removed | edited | relabelled | other |" in page
    assert "| web | 0 | 1 | 1 | 0 | 0 |" in page
    assert "<h2>By channel</h2>" in Path("diff.html").read_text()
    shown = cli("data", "diff", "a.csv", "b.csv", "--by", "channel").out
    assert re.search(r"^mail +1 *$", shown, re.MULTILINE), shown
    said = cli("data", "diff", "a.csv", "b.csv", "--by", "chanel")
    assert (said.code, "no column 'chanel'; did you mean 'channel'?" in said.err) == (2, True)


def test_what_a_terminal_would_obey_is_written_out(tiny, cli):
    (tiny.root / "bad.csv").write_text("id,text,label\nn1,\x1b]0;mine\x07red,gar\x1b[31mden\nn2,\x1b[2Jblue,\n")
    assert cli("handoff", "tiny", "bad.csv", "--max-quarantined", "0.9", "--no-commit").code == 0
    said = [
        cli(*argv).out
        for argv in (
            ["data", "diff", "tiny/1", "tiny"],
            ["data", "diff", "tiny/1", "tiny", "--markdown"],
            ["quarantine", "list", "tiny"],
            ["quarantine", "show", "tiny", "2:1"],
        )
    ]
    assert [text for text in said if "\x1b" in text] == []
    assert "gar\\x1b[31mden" in said[0]
    assert "\\x1b[2Jblue" in said[3]


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


@pytest.mark.parametrize("what", ["revert", "release"])
def test_a_kill_at_any_write_leaves_the_old_version_or_the_new_one_with_its_reason(handed, what):
    """One process dies at its first write, the next at its second and so on: each goes on from what lies there."""
    import great_expectations.render.renderer.page_renderer  # noqa: F401

    old = data(handed)
    new = old[:-1] if what == "revert" else [*old, {"id": "n4", "text": "two labels here", "label": "garden"}]

    def do() -> Any:
        if what == "revert":
            return revert(handed, "tiny", 1, reason="wrong file", by="mia", commit=False)
        return release(handed, "tiny", ["2:3"], reason="garden it is", by="mia", commit=False)

    for allowed in range(100):
        status = do_and_die(do, allowed)
        there = data(handed)
        assert there in (old, new), f"after {allowed} writes"
        if os.WIFEXITED(status):
            break
    assert allowed > 5, "nobody was killed"
    assert there == new
    last = DataStore.of(handed, "tiny").history.versions()[-1]
    assert (last.number, last.action, last.by) == (3, what, "mia"), "what was done already is not done twice"
    waiting = [row.key for row in Quarantine(DataStore.of(handed, "tiny").folder).rows()]
    assert ("2:3" in waiting) == (what == "revert")


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
