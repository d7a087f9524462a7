"""What keeps the house in order: generated files, names, layers, weight of the edge, versions of the steps."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from regraft.config.pipeline_file import load_pipeline
from regraft.core.workspace import Workspace
from regraft.execution import composition, step_code
from regraft.execution.dvc import out_of_step

ROOT = Path(__file__).parents[2]
HERE = Workspace(ROOT)
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")[:-1]


def python(code: str) -> str:
    """What a new interpreter in the root prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- generated files ---------------------------------------------------------------------------------------------


def test_the_generated_files_are_in_step_with_the_code():
    assert out_of_step(HERE) == [], "run `regraft dvc`"


@pytest.mark.parametrize("name", HERE.pipelines)
def test_every_pipeline_file_loads(name):
    assert load_pipeline(HERE, name).version == 1


def test_no_list_of_dvc_yaml_is_in_flow_style():
    # ${...} inside a YAML flow sequence does not parse.
    assert not re.search(r"[\[{](?!key|item)", re.sub(r"\$\{[a-z.]+\}", "", (ROOT / "dvc.yaml").read_text()))


def test_a_stage_depends_on_no_code():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = {dep for stage in stages.values() for dep in stage["do"]["deps"]}
    assert all(dep.startswith(("artifacts/", "${item.")) for dep in deps), deps


# --- the code of the steps ---------------------------------------------------------------------------------------


def test_changed_code_of_a_step_has_a_new_version():
    assert step_code.differing(HERE) == [], (
        "the code of these steps changed: raise `version` where the bytes they write may differ, then run `regraft dvc`; "
        "where they are the same bytes, `regraft dvc --same-results`"
    )


def test_a_step_reaches_its_library_code_and_no_other_steps():
    (finetune,) = (step for step in composition.steps(HERE) if step.name == "finetune")
    reached = {path.relative_to(ROOT).as_posix() for path in step_code.closure(finetune, ROOT)}
    assert {"tasks/finetune.py", "src/regraft/training/finetuning.py", "src/regraft/core/files.py"} <= reached
    others = {"tasks/pretrain.py", "src/regraft/execution/step.py", "src/regraft/cli/run.py"}
    plugins = {"src/regraft/training/methods/full.py", "src/regraft/training/objectives/mlm.py"}
    assert not (others | plugins) & reached


CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("# why\ndef f(x):\n    '''Words.'''\n    return x + 1  # because\n", True),
        ("from typing import Any\ndef f(x: Any) -> Any:\n    return (x\n            + 1)\n", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f(x):\n    return x + 1\n", True),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x, y=0):\n    return x + 1\n", False),
        ("import torch\ndef f(x):\n    return x + 1\n", False),
        ("def f(x):\n    if x:\n        return x + 1\n", False),
    ],
)
def test_words_do_not_change_the_hash_and_code_does(other, same):
    assert (step_code.said(CODE) == step_code.said(other)) is same


def test_a_field_that_lost_its_default_is_another_code():
    assert step_code.said("class A:\n    x: int = 1\n") != step_code.said("class A:\n    x: int\n")


def test_imports_are_followed_into_functions_packages_and_relative_ones(tmp_path):
    for name, code in {
        "tasks/a.py": "from regraft.execution.step import Step\nfrom tasks.b import B, helper\ndef _run():\n    import pipelines.c as c\n",
        "tasks/b.py": "from . import d\nfrom tasks.e import E\n",
        "tasks/d.py": "",
        "tasks/e.py": "",
        "pipelines/__init__.py": "",
        "pipelines/c.py": "import numpy\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    reached = step_code.reachable(tmp_path / "tasks" / "a.py", tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in reached if path.is_relative_to(tmp_path)}
    assert found == {"tasks/a.py", "tasks/b.py", "tasks/d.py", "pipelines/__init__.py", "pipelines/c.py"}


def test_a_name_of_the_face_reaches_what_it_stands_for_and_not_the_rest_of_the_face(tmp_path):
    (tmp_path / "a.py").write_text("def _run():\n    from regraft.steps.training import locate\n")
    reached = {
        path.relative_to(ROOT / "src/regraft").as_posix() for path in step_code.reachable(tmp_path / "a.py", tmp_path) - {tmp_path / "a.py"}
    }
    assert "models/base_model.py" in reached
    assert not [path for path in reached if path.startswith(("training/", "steps/"))]


# --- names and layers --------------------------------------------------------------------------------------------


def test_no_module_shadows_a_library():
    own = {path.stem for folder in ("flows", "tasks", "pipelines") for path in (ROOT / folder).glob("*.py")} - {"__init__"}
    taken = (set(sys.stdlib_module_names) | set(packages_distributions())) & own
    assert not taken, f"rename {sorted(taken)}: Prefect and `python FILE` put these folders first on sys.path"


def test_the_map_of_the_rooms_is_the_tree_and_fits_a_screen():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    lines = text.partition("## The rooms\n\n```\n")[2].partition("```")[0].splitlines()
    drawn = [line.split("/")[0].strip() for line in lines if line.startswith("  ")]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    order = next(contract["layers"] for contract in layers if contract.get("containers") == ["regraft"])
    assert drawn == order
    assert set(drawn) == {path.parent.name for path in (ROOT / "src/regraft").glob("*/__init__.py")}
    top = {line.split("/")[0] for line in lines if line[:1].isalpha()}
    assert top == {path.split("/")[0] for path in TRACKED if "/" in path} - {".ci", ".dvc", "benchmarks"} | {"artifacts"}
    assert len(lines) <= 40
    assert {path.name for path in (ROOT / "src/regraft").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_folder_mlflow_holds_no_python():
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_the_tests_are_no_package():
    # tests/tasks/__init__.py would become the package `tasks`, even in importlib mode.
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("*_test.py")]
    assert sorted(names) == sorted(set(names))


def test_the_layers_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


HEAVY = {"torch", "transformers", "prefect", "mlflow", "pandas", "great_expectations", "sklearn", "scipy", "dvc", "pyarrow"}
HEAVY |= {"matplotlib", "jinja2"}


@pytest.mark.parametrize(
    "imports",
    [
        "pipelines",
        "regraft.execution.resolve, regraft.execution.plan, regraft.execution.freshness, regraft.reports.overview",
        "regraft.cli.run, regraft.cli.inspect, regraft.cli.champion, regraft.cli.workspace, regraft.cli.schema",
        "regraft.cli.history, regraft.cli.predict, regraft.cli.diff, regraft.cli.gc, regraft.cli.report, regraft.cli.complete",
        "regraft.reports.history, regraft.reports.run_diff, regraft.upkeep.gc, regraft.config.schema, regraft.cli.prediction_input",
        "regraft.execution.launch, regraft.execution.supervise, regraft.upkeep.doctor",
    ],
)
def test_the_edge_is_light(imports):
    assert python(f"import sys, {imports}; print(sorted({HEAVY} & set(sys.modules)))") == "[]"


def test_numbers_are_put_into_words_without_numpy():
    assert python("import sys, regraft.gates.words, regraft.cli.inspect, regraft.execution.plan; print('numpy' in sys.modules)") == "False"


def test_help_imports_nothing_heavy():
    code = f"import sys, atexit\natexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules))))\n"
    code += "sys.argv = ['regraft', '--help']\nfrom regraft.cli import main; main()"
    assert python(code).endswith("HEAVY []")


# --- what is committed -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TRACKED, reason="not a git checkout")
@pytest.mark.parametrize("word", ["/wo" + "rk/", "/root" + "/", "../" + "shared", "/ho" + "me/"])
def test_no_tracked_file_names_a_machine(word):
    texts = {name: (ROOT / name).read_bytes() for name in TRACKED if (ROOT / name).is_file()}
    assert [name for name, text in texts.items() if word.encode() in text] == []


@pytest.mark.skipif(not TRACKED, reason="not a git checkout")
def test_nothing_is_committed_that_a_run_writes():
    written = ("artifacts/", "state/", ".regraft/", "data/", ".venv/", "dvc.lock", "build/", "dist/")
    assert [name for name in TRACKED if name.startswith(written)] == []


@pytest.mark.skipif(not TRACKED, reason="not a git checkout")
@pytest.mark.parametrize("path", ["artifacts/x", "state/x", ".regraft/x", "data/x", ".venv/x", "src/regraft/__pycache__/x"])
def test_what_a_run_writes_is_ignored(path):
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


def test_git_does_not_ignore_what_dvc_has_to_write():
    # `dvc repro` in a git repository that ignores dvc.lock exits 255
    assert subprocess.run(["git", "check-ignore", "-q", "dvc.lock"], cwd=ROOT, check=False).returncode == 1


def test_the_lock_pins_every_dependency_by_hash_and_leaves_torch_to_the_machine():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^([a-z0-9][a-z0-9._-]*)==[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n?)+)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    names = {name for name, _ in entries}
    assert not {name for name in names if re.match(r"torch$|triton$|nvidia-|cuda-", name)}
    assert {"prefect", "mlflow", "dvc", "transformers", "pytest", "boto3"} <= names
    assert "://" not in text


def test_the_ci_script_can_be_started():
    assert shutil.which(str(ROOT / ".ci" / "run"))


def test_what_ci_leaves_out_is_written_down():
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("*_test.py")}
    marked = [name for name, text in sources.items() for _ in re.findall(r"mark\.release\(\"", text)]
    listed = re.findall(r"^\| `(\w+_test\.py)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert sorted(marked) == sorted(listed)
    assert '-m "not release"' in (ROOT / ".ci" / "run").read_text()
