"""Where the names went that workspaces of 0.2 import: one minor version long, then this module and its table go.

``moved_names.txt`` has a line ``old new`` for every name that the template's own files imported, and for every module that
moved; :data:`HANDLES` are steps that are gone. A name behind :mod:`regraft.steps` stays where it is from now on; others may move again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from regraft.core.errors import ConfigError, Problem
from regraft.core.workspace import Workspace

FOLDERS = ("flows", "tasks", "pipelines")
STEPS = "*(CONTRACT, SPLITS, CORPUS, TOKENS, ROW_TOKENS, PRETRAIN, FINETUNE, TFIDF, HELD_OUT, SCORE),"
HANDLES = {
    "FINETUNE_BASE": f"FINETUNE runs for every candidate, the one that is fine-tuned only among them; in STEPS write `{STEPS}`",
    "SCORES": f"HELD_OUT keeps the rows and SCORE runs for every candidate; in STEPS write `{STEPS}`",
}
"""Handle of a step of 0.2 -> what became of it."""
ASKED = "`instances=lambda options: ONCE if ... else NEVER`, with ONCE and NEVER from regraft.steps"
SHOWN = 5
"""Imports that a message lists."""
TABLE = Path(__file__).with_suffix(".txt")


@cache
def moved() -> dict[str, str]:
    """Old dotted name -> new dotted name."""
    return dict(line.split() for line in TABLE.read_text(encoding="utf8").splitlines())


def new_place(module: str, name: str) -> str | None:
    """Where ``from module import name`` finds its name now; None: where it was."""
    dotted = f"{module}.{name}"
    if dotted in moved():
        return moved()[dotted]
    return f"{moved()[module]}.{name}" if module in moved() else None


def outdated_imports(workspace: Workspace) -> list[Problem]:
    """Imports in the workspace's own code of names that are elsewhere now, each with the line to write instead."""
    paths = [path for folder in FOLDERS for path in sorted((workspace.root / folder).glob("**/*.py"))]
    return [problem for path in paths for problem in _of_file(path, workspace.relative(path))]


def _of_file(path: Path, shown: str) -> Iterator[Problem]:
    try:
        tree = ast.parse(path.read_text(encoding="utf8"))
    except (OSError, SyntaxError, ValueError):  # importing it says more
        return
    for node in ast.walk(tree):
        yield from _of_steps(node, shown)
        if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
            continue
        for alias in node.names:
            if place := new_place(node.module, alias.name):
                module, _, name = place.rpartition(".")
                local = alias.asname or alias.name
                instead = f"from {module} import {name}" + ("" if local == name else f" as {local}")
                message = f"{node.module}.{alias.name} is now {place}"
                fix = f"write `{instead}` in {shown}, line {node.lineno}"
                yield Problem(message=message, file=shown, row=node.lineno, rule="import exists", value=alias.name, fix=fix)


def _of_steps(node: ast.AST, shown: str) -> Iterator[Problem]:
    """Handles of steps that are gone, and the argument that said whether a pipeline has a step."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks."):
        named = [alias.name for alias in node.names]
    elif isinstance(node, ast.Assign):
        named = [target.id for target in node.targets if isinstance(target, ast.Name)]
    else:
        named = []
    row = getattr(node, "lineno", None)
    for name in HANDLES.keys() & set(named):
        message, fix = f"the step {name} is gone", f"{HANDLES[name]} ({shown}, line {row})"
        yield Problem(message=message, file=shown, row=row, rule="step exists", value=name, fix=fix)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Step":
        for keyword in node.keywords:
            if keyword.arg == "asked":
                message, fix = "a step has no argument `asked` any more", f"write {ASKED}, in {shown}, line {keyword.value.lineno}"
                yield Problem(message=message, file=shown, row=keyword.value.lineno, rule="argument exists", value="asked", fix=fix)


def refuse_outdated(workspace: Workspace, cause: Exception | None = None) -> None:
    """ConfigError with every import that has to change, where the workspace's code has any."""
    if problems := outdated_imports(workspace):
        lines = [f"  {problem['file']}, line {problem['row']}: {problem['message']}" for problem in problems[:SHOWN]]
        more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        message = "\n".join(["the workspace's code uses names that are others in regraft 0.3", *lines, *more])
        raise ConfigError(message, fix="regraft init --upgrade .", problems=problems) from cause
