"""A workspace of version 0.1.0, as its own ``init`` and two runs of a tiny pipeline left it, under today's library."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workbench import regraft, told

from regraft import __version__
from regraft.upkeep import template

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).with_name("workspace-0.1.0.tar.gz")


@pytest.fixture
def said(ask: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """The document of a verb that ends with ``code``."""

    def call(root: Path, *argv: str, code: int = 0) -> dict[str, Any]:
        done = ask(root, *argv, "--json")
        assert done.code == code, done.out + done.err
        return dict(done.json)

    return call


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("old") / "w"
    with tarfile.open(OLD) as archive:
        archive.extractall(root)  # our own; `filter` came with Python 3.11.4
    return root


def moved_on(root: Path) -> set[str]:
    """Code files of the workspace that are others in this repository."""
    known = {p.relative_to(base) for base in (root, ROOT) for f in template.FOLDERS for p in (base / f).rglob("*") if p.is_file()}
    code = [p for p in known if p.suffix != ".yaml" and "__pycache__" not in p.parts]
    content = lambda path: path.read_bytes() if path.is_file() else None  # noqa: E731
    return {p.as_posix() for p in code if content(root / p) != content(ROOT / p)}


def test_the_registry_moves_along_and_says_how_much_was_rewritten(old, said):
    repaired = said(old, "doctor", "--relocate", code=8)["repaired"]  # 8: its code imports names that moved
    assert repaired[0].startswith("state/mlflow.db looks for artifacts in ")
    assert repaired[0].endswith(" paths rewritten")
    assert said(old, "doctor", "--relocate", code=8)["repaired"][0].endswith("nothing to relocate")


def test_the_doctor_names_every_file_that_moved_on_and_the_command(old, said):
    check = next(c for c in said(old, "doctor", code=8)["checks"] if c["name"] == "template")
    assert moved_on(old), "0.1.0 is not today's workspace"
    assert f"regraft 0.1.0, the library is {__version__}" in check["message"]
    assert all(f"{path}: the library's template moved on" in check["message"] for path in moved_on(old))
    assert (check["state"], check["fix"]) == ("warn", "regraft init --upgrade .")


def test_its_history_evidence_and_models_are_read(old, said):
    entries = said(old, "history", "tiny")["entries"]
    assert [(entry["action"], entry["to"]["version"]) for entry in entries] == [
        ("register", "1"),
        ("promote", "1"),
        ("register", "2"),
        ("promote", "2"),
    ]
    assert said(old, "explain", "tiny")["outcome"] == "pass"
    sides = said(old, "compare", "tiny/1", "tiny@champion")
    assert [sides[side]["version"] for side in "ab"] == ["1", "2"]
    assert said(old, "card", "verify", "tiny")["numbers"] > 100
    assert said(old, "predict", "tiny", "salt the oven")["version"] == "2"


def test_upgrading_brings_what_its_owners_left_alone_and_names_the_rest(old):
    mine, both = old / "tasks" / "tfidf.py", old / "flows" / "__main__.py"
    mine.write_text(mine.read_text() + "# ours\n")
    both.write_text(both.read_text() + "# ours\n")
    done = regraft(old, "init", "--upgrade", ".")
    assert done.returncode == 0, done.stderr
    assert f"diff -u flows/__main__.py {template.source() / 'flows/__main__.py'}" in done.stdout.replace("\n", "")
    assert {(item.path, item.by) for item in template.drift(old)} == {("tasks/tfidf.py", "both"), ("flows/__main__.py", "both")}
    both.write_bytes((ROOT / "flows" / "__main__.py").read_bytes())  # as the diff says
    mine.write_bytes((ROOT / "tasks" / "tfidf.py").read_bytes() + b"# ours\n")
    assert regraft(old, "init", "--upgrade", ".").returncode == 0
    assert {item.path for item in template.drift(old)} == {"tasks/tfidf.py"}


@pytest.mark.release("upgrade_from_0_2_test.py runs in an upgraded workspace")
def test_the_upgraded_workspace_runs_and_its_champion_is_compared_with(old, said):
    result = told(old, 0, "run", "tiny")
    assert result["champion"]["version"] in ("2", "3")
    assert regraft(old, "dvc", "--check").returncode == 0
    assert regraft(old, "run", "tiny").stdout.startswith("nothing changed since")


def test_without_a_stamp_nothing_is_overwritten(old, tmp_path):
    (old / template.STAMP).rename(tmp_path / "stamp")
    done = regraft(old, "init", "--upgrade", ".")
    (tmp_path / "stamp").rename(old / template.STAMP)
    assert done.returncode == 2
    assert f"no {template.STAMP}" in done.stderr
