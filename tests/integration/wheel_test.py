"""The wheel carries the reference workspace, and whoever installs it gets the same one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from regraft.upkeep import template

ROOT = Path(__file__).parents[2]


def call(*argv: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A child that knows of no workspace but the one it stands in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REGRAFT_", "MLFLOW_", "PREFECT_"))}
    return subprocess.run([sys.executable, *map(str, argv)], cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    built = call("-m", "hatchling", "build", "--target", "wheel", "--directory", out, cwd=ROOT)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but our wheel in it, to be put before everything else on the path."""
    target = tmp_path_factory.mktemp("site")
    done = call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel, cwd=target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def workspace(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    done = call("-m", "regraft", "init", "w", cwd=folder, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    return folder / "w"


def test_the_wheel_carries_the_workspace_of_the_repository_byte_for_byte(wheel):
    with zipfile.ZipFile(wheel) as archive:
        prefix = "regraft/_workspace/"
        packed = {name.removeprefix(prefix): archive.read(name) for name in archive.namelist() if name.startswith(prefix)}
    wanted = [path for path in template.template() if (ROOT / path).is_file() and path not in (".gitignore", ".dvcignore", "README.md")]
    assert {path: packed.get(path) for path in wanted} == {path: (ROOT / path).read_bytes() for path in wanted}
    assert not [name for name in packed if "__pycache__" in name]


def test_the_wheel_puts_no_generic_name_on_its_users_path(wheel):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"regraft"}


def test_the_library_that_is_tried_is_the_installed_one(installed):
    where = call("-c", "import regraft.upkeep.template; print(regraft.upkeep.template.source())", cwd=installed, PYTHONPATH=str(installed))
    assert Path(where.stdout.strip()) == (installed / "regraft" / "_workspace").resolve()


def test_init_from_the_wheel_writes_what_init_from_the_repository_writes(workspace):
    assert {path: (workspace / path).read_bytes() for path in template.template()} == template.template()


def test_a_workspace_from_the_wheel_is_in_step(workspace, installed):
    done = call("-m", "regraft", "dvc", "--check", cwd=workspace, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr


def test_the_doctor_finds_a_workspace_from_the_wheel_well(workspace, installed):
    done = call("-m", "regraft", "doctor", "--json", cwd=workspace, PYTHONPATH=str(installed))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert [check for check in checks.values() if check["state"] == "bad"] == []
    assert done.returncode == 0
    assert checks["template"]["state"] == "ok"
    assert "data.corpus: data/demo/corpus is not there" in checks["pipeline demo"]["message"]


def test_a_second_init_in_the_same_place_changes_nothing(workspace, installed):
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    done = call("-m", "regraft", "init", "w", cwd=workspace.parent, PYTHONPATH=str(installed))
    assert done.returncode == 2
    assert "already is a workspace" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before
