"""The face that workspaces import, and where the names of 0.2 went."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.execution import moved_names

ROOT = Path(__file__).parents[2]
OWN = [path for folder in moved_names.FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a file imports by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def is_there(dotted: str) -> bool:
    """Whether ``dotted`` is a module of the library, or a name at the top level of one, followed through the face."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        stem = (ROOT / "src").joinpath(*parts[:end])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return end == len(parts) or _defines(path, parts[end:])
    return False


def _defines(path: Path, names: list[str]) -> bool:
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == names[0]:
                    return is_there(".".join([f"{node.module}.{alias.name}", *names[1:]]))
        assigned = [getattr(node, "target", None), *getattr(node, "targets", [])]
        defined = {name.id for target in assigned if target for name in ast.walk(target) if isinstance(name, ast.Name)}
        if names[0] in {*defined, getattr(node, "name", None)}:
            return len(names) == 1
    return False


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_workspace_imports_the_face_and_nothing_behind_it(path):
    inside = {module for module, _ in imports(path) if module.split(".")[0] == "regraft"}
    assert {module for module in inside if module.split(".")[:2] != ["regraft", "steps"]} == set()


@pytest.mark.parametrize("face", sorted((ROOT / "src/regraft/steps").glob("*.py")), ids=lambda path: path.stem)
def test_every_name_of_the_face_is_there(face):
    assert [f"{module}.{name}" for module, name in imports(face) if module != "__future__" and not is_there(f"{module}.{name}")] == []


def test_every_name_went_to_a_place_that_exists():
    assert [new for new in moved_names.moved().values() if not is_there(new)] == []


def test_no_name_that_stayed_is_called_moved():
    assert [old for old in moved_names.moved() if old.startswith("regraft.") and is_there(old)] == []


@pytest.fixture
def old_workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "tasks").mkdir()
    lines = (
        "from regraft.step import Step, evidence as beside",
        "from regraft.gates.paired import Paired",
        "from regraft.data.tables import write_table",
    )
    (tmp_path / "tasks" / "mine.py").write_text("\n".join(lines))
    return Workspace(tmp_path)


def test_each_import_that_moved_is_named_with_its_line_and_what_to_write_instead(old_workspace):
    problems = moved_names.outdated_imports(old_workspace)
    assert [(problem["row"], problem["fix"].split(" in ")[0]) for problem in problems] == [
        (1, "write `from regraft.steps import Step`"),
        (1, "write `from regraft.steps import evidence as beside`"),
        (2, "write `from regraft.evaluation.stats.paired import Paired`"),
    ]


def test_an_old_workspace_is_refused_with_the_command_that_upgrades_it(old_workspace):
    with pytest.raises(ConfigError, match=r"tasks/mine\.py, line 1: regraft\.step\.Step is now regraft\.steps\.Step") as refused:
        moved_names.refuse_outdated(old_workspace)
    assert refused.value.fix == "regraft init --upgrade ."
