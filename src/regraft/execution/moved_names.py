"""Where the names went that workspaces of 0.2 import: one minor version long, then this module and its table go.

``moved_names.txt`` has a line ``old new`` for every name that the template's own files imported, and for every module that
moved. A name behind :mod:`regraft.steps` stays where it is from now on; others may move again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from regraft.core.errors import ConfigError, Problem
from regraft.core.workspace import Workspace

FOLDERS = ("flows", "tasks", "pipelines")
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


def refuse_outdated(workspace: Workspace, cause: ImportError | None = None) -> None:
    """ConfigError with every import that has to change, where the workspace's code has any."""
    if problems := outdated_imports(workspace):
        lines = [f"  {problem['file']}, line {problem['row']}: {problem['message']}" for problem in problems[:SHOWN]]
        more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        message = "\n".join(["the workspace's code imports names that moved in regraft 0.3", *lines, *more])
        raise ConfigError(message, fix="regraft init --upgrade .", problems=problems) from cause
