"""What many tests do the same way: type a command in a workspace, and leave what the step ``scores`` leaves."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from services import shared_prefect

from regraft.core import files
from regraft.evaluation import predictions
from regraft.evaluation.predictions import Table
from regraft.gates.options import GateOptions
from regraft.gates.registry import read

NOTHING_YET: dict[str, Any] = {
    **dict.fromkeys(("champion", "score", "challenger", "approval", "schedule", "verdict", "age_seconds", "age")),
    "steps": [],
    "stale": [],
    "perhaps": [],
}
"""A pipeline that never ran, in the overview's document."""


def line(**keys: Any) -> GateOptions:
    """A line of ``gates:`` with these keys."""
    return read(keys)


def example_of(page: str, language: str) -> str:
    """The first block of code in ``language`` on a page of docs/extend/."""
    text = (Path(__file__).parents[1] / "docs" / "extend" / f"{page}.md").read_text(encoding="utf8")
    block = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert block, f"{page}.md shows no {language}"
    return block[1]


def install(page: str, site: Path) -> str:
    """What ``pip install`` leaves in ``site`` of a package with a page's code and entry point; the name of its module."""
    group, entry = example_of(page, "toml").strip().replace('"', "").splitlines()
    module = entry.partition(" = ")[2].partition(":")[0]
    info = site / f"their_{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(example_of(page, "python"))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: their-{module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"{group.replace('project.entry-points.', '')}\n{entry}\n")


def module_of(path: Path) -> Any:
    """The module in the file ``path``, imported without its package, as production imports what travels with a model."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_alone", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def copy(source: Path, target: Path) -> Path:
    """A workspace with everything in it, links and times included; where the disk can share blocks, it does."""
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)
    return target


def regraft(root: Path, *argv: str, own_server: bool = False) -> subprocess.CompletedProcess[str]:
    """``regraft ARGV`` in the workspace ``root``, in a process of its own; a run shares the worker's Prefect server or brings its own."""
    env = os.environ if own_server or argv[:1] != ("run",) else {"PREFECT_API_URL": shared_prefect(), **os.environ}
    return subprocess.run([sys.executable, "-m", "regraft", *argv], cwd=root, env=env, capture_output=True, text=True, check=False)


def told(root: Path, code: int, *argv: str, own_server: bool = False) -> dict[str, Any]:
    """The document of ``regraft ARGV --json``, which ends with ``code``."""
    done = regraft(root, *argv, "--json", own_server=own_server)
    assert done.returncode == code, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def sure(ids: Sequence[str], truth: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> Table:
    """Predictions that give 0.8 to what is ``said`` and share the rest among the other ``labels``."""
    p = np.full((len(ids), len(labels)), 0.2 / (len(labels) - 1), dtype=np.float32)
    p[np.arange(len(ids)), [labels.index(label) for label in said]] = 0.8
    return Table.of(list(ids), list(truth), p, list(labels))


def leave_scores(out: Path, tables: Mapping[str, Table], labels: Sequence[str]) -> Path:
    """What the step ``scores`` leaves in ``out`` of adapted, base and tfidf."""
    for model, table in tables.items():
        predictions.write(out / f"{model}.parquet", table)
    files.write_json(out / "labels.json", list(labels))
    files.write_json(out / "digests.json", {"adapted": "a" * 64, "base": "b" * 64, "tfidf": "d" * 64, "rows": "e" * 64})
    return out
