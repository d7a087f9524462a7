"""A workspace is a copy that knows what it was copied from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.execution.dvc import HEADER
from regraft.upkeep import template

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One initialised workspace (`dvc init` takes 0.7 s); tests that change it take a copy."""
    target = tmp_path_factory.mktemp("template") / "w"
    template.init(target)
    return target


@pytest.fixture
def workspace(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "w"))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reference workspace of its own, that a test may let move on."""
    copy = tmp_path / "library"
    for folder in template.FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", copy)
    (copy / "tasks" / "contract.py").touch()
    monkeypatch.setattr(template, "source", lambda: copy)
    monkeypatch.setattr(template.dvc, "ensure_repository", lambda _: None)  # 1.3 s each, and nothing to do with drift
    return copy


def test_every_file_of_a_new_workspace_is_the_reference_workspaces(pristine):
    for path in [p for folder in template.FOLDERS for p in files.walk(pristine / folder)] + [pristine / "dvc.yaml"]:
        assert path.read_bytes() == (ROOT / path.relative_to(pristine)).read_bytes(), path
    assert {"pipelines/__init__.py", "pipelines/own.yaml", "tasks/__init__.py"} <= set(template.template())


def test_a_new_workspace_is_whole_and_dvc_is_initialised(pristine):
    assert all((pristine / path).is_file() for path in [*template.template(), template.STAMP, ".dvc/config"])
    assert [path.name for path in pristine.parent.iterdir()] == ["w"], "the staging folder is gone"
    assert template.drift(pristine) == []


def test_hidden_files_caches_and_other_peoples_pipelines_do_not_come_along(library):
    (library / "tasks" / "__pycache__").mkdir(exist_ok=True)
    (library / "tasks" / "__pycache__" / "x.pyc").touch()
    (library / "flows" / ".secret").touch()
    (library / "pipelines" / "resolved").mkdir(exist_ok=True)
    for name in ("payroll.yaml", "payroll.contract.yaml", "resolved/payroll.yaml", "demo.yaml", "resolved/demo.yaml"):
        (library / "pipelines" / name).write_text("version: 1\n")
    found = template.template()
    assert {"pipelines/demo.yaml", "pipelines/resolved/demo.yaml", "tasks/contract.py"} <= set(found)
    assert not [path for path in found if "payroll" in path or "secret" in path or "pyc" in path]


def test_dvc_yaml_comes_along_without_other_peoples_pipelines(library):
    public = "stages:\n  corpus:\n    foreach:\n      demo:\n        corpus: d\n"
    private = "      payroll:\n        corpus: p\n"
    do = "    do:\n      cmd: regraft step corpus --pipeline ${key}\n"
    (library / "dvc.yaml").write_text(HEADER + public + private + do)
    assert template.template()["dvc.yaml"].decode() == HEADER + public + do


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda w: (w.mkdir(), (w / "thesis.tex").touch()), "is not empty (thesis.tex)"),
        (lambda w: (w.mkdir(), (w / "dvc.yaml").touch(), (w / "pipelines").mkdir()), "already is a workspace"),
        (lambda w: w.touch(), "is a file"),
    ],
)
def test_an_occupied_target_is_refused_and_stays_as_it_is(tmp_path, prepare, says):
    target = tmp_path / "w"
    prepare(target)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as error:
        template.init(target)
    assert says in str(error.value)
    assert error.value.fix
    assert sorted(tmp_path.rglob("*")) == before


def test_a_target_that_cannot_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        template.init(tmp_path / "file" / "w")


def test_a_fresh_git_repository_may_become_a_workspace(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*.tmp\n")
    template.init(tmp_path)
    ignored = (tmp_path / ".gitignore").read_text()
    assert ignored.startswith("*.tmp\n")
    assert "/state/" in ignored
    assert "no_scm" not in (tmp_path / ".dvc" / "config").read_text(), "DVC works with git here"


def test_a_failure_half_way_into_an_existing_folder_leaves_it_empty(library, tmp_path, monkeypatch):
    target = tmp_path / "w"
    target.mkdir()
    rename, moved = os.rename, []

    def third_fails(source, target):
        if len(moved) == 2:
            raise OSError(28, "No space left on device")
        rename(source, target)
        moved.append(target)

    monkeypatch.setattr(os, "rename", third_fails)
    with pytest.raises(EnvironmentFault, match="No space left"):
        template.init(target)
    assert list(target.iterdir()) == []


def test_drift_tells_your_changes_from_the_librarys(library, tmp_path):
    for name in ("mine", "theirs", "both", "gone"):
        (library / "tasks" / f"{name}.py").write_text("old\n")
    workspace = tmp_path / "w"
    template.init(workspace)
    assert template.drift(workspace) == []

    (workspace / "tasks" / "mine.py").write_text("mine\n")
    (workspace / "tasks" / "both.py").write_text("mine\n")
    (workspace / "tasks" / "extra.py").write_text("nobody's business but mine\n")
    (library / "tasks" / "theirs.py").write_text("new\n")
    (library / "tasks" / "both.py").write_text("new\n")
    (library / "tasks" / "fresh.py").write_text("new\n")
    (library / "tasks" / "gone.py").unlink()
    assert {item.path: item.by for item in template.drift(workspace)} == {
        "tasks/mine.py": "you", "tasks/both.py": "both", "tasks/theirs.py": "library",
        "tasks/fresh.py": "library", "tasks/gone.py": "library",
    }  # fmt: skip
    (workspace / template.STAMP).unlink()
    assert {item.by for item in template.drift(workspace)} == {"unknown"}


def test_taking_over_the_librarys_change_ends_the_drift(library, tmp_path):
    workspace = tmp_path / "w"
    template.init(workspace)
    for root in (library, workspace):
        (root / "tasks" / "contract.py").write_text("new\n")
    assert template.drift(workspace) == []


def test_pipeline_files_and_generated_files_never_drift(workspace):
    for path in ("pipelines/own.yaml", "pipelines/resolved/own.yaml", "dvc.yaml"):
        (workspace / path).parent.mkdir(exist_ok=True)
        (workspace / path).write_text("# changed\n")
    assert template.drift(workspace) == []


def test_a_damaged_stamp_is_named(workspace):
    (workspace / template.STAMP).write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        template.drift(workspace)


def test_the_reference_workspace_does_not_drift_from_itself():
    assert template.drift(template.source()) == []
