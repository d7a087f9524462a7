"""data/ beside data.dvc, with and without DVC's cache. DVC is real."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from regraft.core.workspace import Workspace
from regraft.execution import dvc
from regraft.upkeep.doctor import folder
from regraft.upkeep.doctor.check import Check


def ask(workspace: Workspace, *argv: str) -> None:
    done = subprocess.run(dvc.command(*argv), cwd=workspace.root, env=dvc.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def tracked(tiny: Workspace) -> Workspace:
    """The tiny workspace with its data under DVC."""
    dvc.ensure_repository(tiny)
    ask(tiny, "add", "-q", "data")
    return tiny


def forget(workspace: Workspace) -> None:
    """A fresh clone, or data that was made again: DVC has no copy of it."""
    shutil.rmtree(workspace.root / ".dvc" / "cache")


def relabel(workspace: Workspace) -> None:
    """Another label in one row; as many bytes as before."""
    path = workspace.root / "data" / "rows.jsonl"
    before = path.read_text()
    path.write_text(before.replace('"garden"}', '"gardem"}', 1))
    assert path.read_text() != before


def said(workspace: Workspace) -> Check:
    (check,) = folder.data(workspace)
    return check


def test_data_that_dvc_has_no_copy_of_is_still_what_data_dvc_says(tracked, cli):
    forget(tracked)
    check = said(tracked)
    assert (check.state, check.fix, "DVC has no copy" in check.message) == ("ok", None, True)
    assert cli("plan", "tiny", "--json").json["data"] is None
    ask(tracked, "add", "-q", "data")
    assert said(tracked) == Check("data.dvc", "ok", "data/ is what data.dvc says")


def test_a_changed_label_is_noticed_without_the_cache(tracked, cli):
    forget(tracked)
    relabel(tracked)
    check = said(tracked)
    assert check.state == "warn"
    assert "in 2 files, as data.dvc says, but other content" in check.message
    assert check.fix is not None
    assert "checkout" not in check.fix, "it would remove data that nobody has a copy of"
    assert "nor is there a remote" in check.fix
    assert "other content" in str(cli("plan", "tiny", "--json").json["data"])
    assert "data differs from data.dvc: data has" in cli("plan", "tiny").out


def test_that_data_is_the_same_is_remembered_until_it_is_touched(tracked, monkeypatch):
    forget(tracked)
    asked = list[object]()
    real = dvc.data_status
    monkeypatch.setattr(dvc, "data_status", lambda *args, **kwargs: asked.append(args) or real(*args, **kwargs))
    assert (said(tracked).state, said(tracked).state, len(asked)) == ("ok", "ok", 1)
    relabel(tracked)
    assert (said(tracked).state, said(tracked).state, len(asked)) == ("warn", "warn", 3)


def test_another_number_of_files_is_told_with_the_bytes(tracked):
    forget(tracked)
    (tracked.root / "data" / "more.jsonl").write_text("{}\n")
    assert "bytes in 3 files, data.dvc says" in said(tracked).message


def test_files_that_dvc_ignores_are_no_difference_and_are_not_counted(tracked):
    (tracked.root / ".dvcignore").write_text("*.bak\n")
    (tracked.root / "data" / "rows.bak").touch()
    forget(tracked)
    assert said(tracked).state == "ok"
    relabel(tracked)
    assert said(tracked).message == "data/ is not what data.dvc says: data is modified"


def test_with_a_remote_the_way_back_is_to_fetch_first(tracked, tmp_path):
    ask(tracked, "remote", "add", "-d", "far", str(tmp_path / "far"))
    ask(tracked, "push", "-q", "data.dvc")
    forget(tracked)
    relabel(tracked)
    check = said(tracked)
    assert check.fix is not None
    assert "dvc fetch data.dvc" in check.fix
    ask(tracked, "fetch", "-q", "data.dvc")
    assert "dvc checkout --force data.dvc" in str(said(tracked).fix)


def test_with_the_cache_the_files_are_named_and_checkout_brings_them_back(tracked, cli):
    assert said(tracked) == Check("data.dvc", "ok", "data/ is what data.dvc says")
    relabel(tracked)
    (tracked.root / "data" / "more.jsonl").write_text("{}\n")
    (tracked.root / "data" / "corpus.jsonl").unlink()
    words = "data/rows.jsonl changed; data/more.jsonl is new; data/corpus.jsonl is gone"
    assert said(tracked).message == f"data/ is not what data.dvc says: {words}"
    assert "dvc checkout --force data.dvc" in str(said(tracked).fix)
    (tracked.root / "data" / "corpus.jsonl").write_text('{"text": "a document of the domain"}\n' * 10)  # a plan wants its data to be there
    assert cli("plan", "tiny", "--json").json["data"] == "data/corpus.jsonl, data/rows.jsonl changed; data/more.jsonl is new"
    ask(tracked, "checkout", "--force", "data.dvc")
    assert said(tracked).state == "ok"


def test_data_that_is_gone_is_never_to_be_taken_in(tracked):
    shutil.rmtree(tracked.root / "data")
    check = said(tracked)
    assert (check.message, check.fix) == ("data/ is not what data.dvc says: data is gone", "dvc checkout data.dvc, to go back")
    ask(tracked, "checkout", "data.dvc")
    assert said(tracked).state == "ok"


def test_a_single_file_under_dvc_is_compared_too(tracked):
    shutil.rmtree(tracked.root / "data")
    (tracked.root / "data").write_text("one\n")
    ask(tracked, "add", "-q", "data")
    forget(tracked)
    assert said(tracked).state == "ok"
    (tracked.root / "data").write_text("two\n")
    assert "data has 4 bytes, as data.dvc says, but other content" in said(tracked).message
