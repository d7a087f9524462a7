"""Every command of README.md and docs/ runs, ends as it says and prints what is shown, in the order in which it stands there.

README, the approver's and the data team's page share one workspace: a pipeline ``demo`` on the tiny data, with two champions
behind it. The ML engineer's page starts with nothing but ``rows.csv`` and ``corpus.txt``. A command is typed into a shell where it is
more than ``regraft VERB ...`` or makes something; verbs that only read are called in this process. ``make`` is checked to have the
target; what it prints is another workspace's.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from services import shared_prefect
from snippets import PAGES, Block, blocks, commands, missing

pytestmark = pytest.mark.timeout(3600)
Ask = Callable[..., Any]
RUNNABLE = ("sh", "console", "python", "yaml", "json")
SHARED = [page for page in PAGES if page.name not in ("ml-engineer.md", "operate.md")]
ALONE = next(page for page in PAGES if page.name == "ml-engineer.md")


def call(text: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """``text`` in a shell that finds this regraft, at the width of the documents; ``more`` is its environment's."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "120", **more}
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def follow(page: Path, folder: Path, ask: Ask) -> None:
    """Do what ``page`` says, from top to bottom."""
    for block in blocks(page, *RUNNABLE):
        if block.language in ("sh", "console"):
            folder = type_in(block, folder, ask)
        elif block.language == "python":
            files_in = folder / "snippet.py"
            files_in.write_text(block.text)
            done = call("python snippet.py", folder)
            assert done.returncode == 0, f"{block}\n{done.stdout}"
            files_in.unlink()
        elif block.language == "json":
            json.loads(block.text)
        elif (first := block.text.splitlines()[0]).startswith("# pipelines/"):
            (folder / first[2:]).write_text(block.text)


def answer(text: str, folder: Path, ask: Ask) -> tuple[int, str]:
    """How ``text`` ends, and what it prints."""
    if re.match(r"regraft (?!run|init)[^|<>&;$]*$", text):
        said = ask(folder, *shlex.split(text)[1:], width=120)
        return said.code, said.out + said.err
    done = call(text, folder)
    return done.returncode, done.stdout


def type_in(block: Block, folder: Path, ask: Ask) -> Path:
    """Run the commands of ``block``; returns the folder it ends in."""
    for command in commands(block):
        if command.text.startswith("cd "):
            folder = folder / command.text[3:]
            continue
        if command.text.startswith("make "):
            continue
        code, printed = answer(command.text, folder, ask)
        assert code == command.code, f"{block}: {command.text}\n{printed}"
        assert missing(command.shown, printed) == [], f"{block}: {command.text}\n{printed}"
    return folder


@pytest.fixture(scope="module")
def demo(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose pipeline ``demo`` has had two champions."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("docs") / "w")
    pipeline = yaml.safe_load((root / "pipelines" / "tiny.yaml").read_text()) | {"gates": [{"at_least": 0.01}]}
    for name in ("tiny.yaml", "resolved/tiny.yaml"):
        (root / "pipelines" / name).unlink()
    for more in ({"adapt": "never"}, {"finetune": {**pipeline["finetune"], "epochs": 4}}):  # the first is there to be second
        (root / "pipelines" / "demo.yaml").write_text(yaml.safe_dump(pipeline | more, sort_keys=False))
        done = call("regraft dvc && regraft run demo", root, PREFECT_API_URL=shared_prefect())
        assert done.returncode == 0, done.stdout
    return root


@pytest.mark.parametrize("page", SHARED, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, demo: Path, ask: Ask):
    follow(page, demo, ask)


def test_the_notebook_runs(demo: Path):
    cells = json.loads((PAGES[0].parent / "docs" / "notebooks" / "explore.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (demo / "notebook.py").write_text(code)
    done = call("python notebook.py", demo)
    assert done.returncode == 0, done.stdout
    assert "PASS" in done.stdout
    (demo / "notebook.py").unlink()


def test_a_first_pipeline_takes_what_its_page_says(tiny_template: Path, tmp_path: Path, ask: Ask):
    with (tmp_path / "rows.csv").open("w", newline="") as handle:
        rows = csv.DictWriter(handle, ["id", "text", "label"], lineterminator="\n")
        rows.writeheader()
        rows.writerows(map(json.loads, (tiny_template / "data" / "rows.jsonl").read_text().splitlines()))
    documents = map(json.loads, (tiny_template / "data" / "corpus.jsonl").read_text().splitlines())
    (tmp_path / "corpus.txt").write_text("\n\n".join(document["text"] for document in documents) + "\n")
    follow(ALONE, tmp_path, ask)
