"""What a user of the wheel does first: install it into a clean environment, make a workspace, run the demo.

The environment is a new one; the libraries of requirements.lock come from the environment of the tests by a ``.pth`` file, which
does not bring along the checkout that is installed there. The demo is the real one, with less training.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.release("integration/wheel_test.py installs the wheel, makes a workspace and examines it"),
    pytest.mark.timeout(3600),
]
ROOT = Path(__file__).parents[2]
LESS = ("pretrain.budget_tokens=20000", "pretrain.head_warmup_tokens=5000", "finetune.epochs=1", "gates=[{at_least: 0.02}]")


def call(*argv: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REGRAFT_", "MLFLOW_", "PREFECT_"))}
    done = subprocess.run([*map(str, argv)], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a clean environment with nothing but our wheel and the locked libraries."""
    home = tmp_path_factory.mktemp("clean")
    call(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", home, cwd=ROOT)
    venv.create(home / "venv", with_pip=False)
    site = next((home / "venv" / "lib").glob("python3*")) / "site-packages"
    (site / "stack.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (wheel,) = home.glob("*.whl")
    here = home / "venv" / "bin"
    call(here / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    return here


def test_a_clean_environment_with_the_wheel_makes_a_workspace_and_runs_the_demo(bin, tmp_path):
    assert str(tmp_path) not in str(ROOT)
    call(bin / "regraft", "init", "w", cwd=tmp_path)
    root = tmp_path / "w"
    where = Path(call(bin / "python", "-c", "import regraft; print(regraft.__file__)", cwd=root).strip())
    assert where.is_relative_to(bin.parent), "the installed library, not the checkout"
    result = json.loads(call(bin / "regraft", "run", "demo", *(f"--set={pair}" for pair in LESS), "--json", cwd=root))
    assert (result["outcome"], result["champion"]["version"]) == ("pass", "1")
    again = json.loads(call(bin / "regraft", "run", "demo", *(f"--set={pair}" for pair in LESS), "--json", cwd=root))
    assert again["run"] == result["run"], "nothing changed, so nothing ran"
