"""Nothing knows a gate by name but its own file, the registry, the frozen words of old verdicts, and the steps that it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from regraft.gates.registry import GATES

ROOT = Path(__file__).parents[2]
OTHER_MEANINGS = {"slices", "cost", "templates", "calibration", "seeds"}
"""Names that are words of the library too: columns that rows are sliced by, what a step costs, Jinja's files, a model's
temperature; and `seeds`, which is no gate."""
KNOW = {
    "src/regraft/gates/registry.py": "the list",
    "src/regraft/gates/schema_1.py": "words of decisions that hold the names",
    "src/regraft/gates/evidence/tables.py": "keys of decisions up to schema 2",
    "src/regraft/gates/slice_gate.py": "`non_inferior_by` is its margin too",
    "src/regraft/data/dedup.py": "`at_least` is a number there",
    "src/regraft/data/contract_file.py": "`at_least` is the limit of a rule about a drop",
    "src/regraft/data/handoff/judge.py": "`at_least` is the limit of a rule about a drop",
    "src/regraft/evaluation/stats/ranking.py": "`at_least` is a number there",
    "src/regraft/evaluation/variants.py": "makes the variants that the gates of the step `probes` are about",
    "src/regraft/data/precheck.py": "reads earlier tasks as their step does, before anything is trained",
    "src/regraft/steps/evaluation.py": "the face of the step `earlier_tasks`",
    "tasks/forgetting.py": "the step of the gate",
    "tasks/earlier_tasks.py": "the step of the gate",
    "tasks/probes.py": "the step of the gates",
    "tasks/pretrain.py": "adaptation keeps to the budget of `forgetting`",
}
"""File -> why it may hold the name of a gate."""


def files() -> Iterator[Path]:
    for folder in ("src", "flows", "tasks"):
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield ROOT / "docs" / "reference.py"


@cache
def words(path: Path) -> frozenset[str]:
    """Every string and every identifier of a file that holds the name of a gate anywhere."""
    return frozenset(_words(path))


def _words(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf8")
    if not any(gate in text for gate in GATES):  # most files: to read them all takes 1.5 s
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Constant(value=str(word)) | ast.Attribute(attr=word) | ast.Name(id=word) | ast.arg(arg=word):
                yield word
            case ast.keyword(arg=str(word)):
                yield word
            case ast.alias(name=name):
                yield name.rpartition(".")[2]


@pytest.mark.parametrize("gate", [name for name in GATES if name not in OTHER_MEANINGS])
def test_nothing_else_knows_a_gate_by_name(gate):
    own = GATES.places[gate].partition(":")[0].replace(".", "/") + ".py"
    hits = [path.relative_to(ROOT).as_posix() for path in files() if gate in words(path)]
    assert [path for path in hits if path not in KNOW and path != f"src/{own}"] == []


def test_every_file_that_may_know_one_does():
    gates = set(GATES) - OTHER_MEANINGS
    assert [path for path in KNOW if not gates & words(ROOT / path)] == []


def test_reading_the_options_of_every_gate_loads_no_numpy():
    code = "from regraft.gates.registry import GATES; import sys; [GATES[name] for name in GATES]; import regraft.gates.telling"
    code += "; print(sorted({'numpy', 'scipy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
