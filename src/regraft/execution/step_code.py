"""Code enters a step's identity through its version alone; this module notices when somebody forgot to raise it.

``tests/step_code.json`` holds, for every step, the version and a hash of the code that can reach its bytes: the
step's own file and the modules it imports, also inside functions, down to the border of third-party libraries. The
hash is taken of the syntax tree without docstrings, comments and annotations, so that an edit of words costs nothing.

A plug-in (:mod:`regraft.training.plugins`) is reached through its registry, by name, and has a line of its own: it carries its own
version, which is in the sections of those steps alone that use it. What the steps that use its seam reach anyway is no part of it, but for
its own file.

What surrounds every step alike (:data:`FRAME`) is left out: it hands over values that are in the fingerprint
already, and one line in it would otherwise call for a new version of everything.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import composition
from regraft.execution.step import Step
from regraft.training.plugins import SEAMS

SCHEMA = 1
PARTS = ("steps", "plugins")
FRAME = frozenset(
    {
        "regraft",
        "regraft.config",
        "regraft.config.candidates",
        "regraft.config.pipeline",
        "regraft.core.errors",
        "regraft.core.plugin_options",
        "regraft.core.registry",
        "regraft.core.progress",
        "regraft.core.strict",
        "regraft.core.workspace",
        "regraft.data.options",
        "regraft.data.task_types",
        "regraft.evaluation.probe_options",
        "regraft.execution.step",
        "regraft.gates.options",
        "regraft.models.families",
        "regraft.models.task_types",
        "regraft.training.options",
        "regraft.training.plugins",
    }
)
"""Modules that carry no result: options, errors, progress, the runner, lists of plug-ins."""
USERS = {
    "method": "regraft.training.finetuning",
    "objective": "regraft.training.pretraining",
    "family": "regraft.training.pretraining",
    "task": "regraft.training.finetuning",
}
"""Seam -> the module through which steps reach its plug-ins."""
FACE = "regraft.steps"
"""What tasks import names through; it imports everything, so that a name reaches only what it stands for."""
WORDS = frozenset({"__future__", "typing", "collections.abc"})
"""Imports that serve annotations, and go with them."""
LIBRARY = Path(__file__).resolve().parents[2]
"""The folder that holds the package ``regraft``."""


def lock_file(workspace: Workspace) -> Path:
    """Where the accepted hashes lie."""
    return workspace.root / "tests" / "step_code.json"


def current(workspace: Workspace) -> dict[str, Any]:
    """What the lock file would say of the code as it stands."""
    reached = {step.name: closure(step, workspace.root) for step in composition.steps(workspace)}
    steps = {
        step.name: {"version": step.version, "code": code_hash(reached[step.name], workspace.root)} for step in composition.steps(workspace)
    }
    return {"schema": SCHEMA, "steps": steps, "plugins": _plugins(workspace, list(reached.values()))}


def _plugins(workspace: Workspace, closures: Iterable[set[Path]]) -> dict[str, Any]:
    """``method full`` and the like -> version and hash of regraft's own plug-ins."""
    lines = {}
    for seam, registry in SEAMS.items():
        user = _file(USERS[seam], workspace.root)
        shared = set.intersection(*[reached for reached in closures if user in reached] or [set()])
        for name, place in registry.ours.items():
            start = _file(place.partition(":")[0], workspace.root)
            assert start is not None
            code = code_hash((reachable(start, workspace.root) - shared) | {start}, workspace.root)
            lines[f"{seam} {name}"] = {"version": registry[name].version, "code": code}
    return lines


def differing(workspace: Workspace) -> list[str]:
    """Steps and plug-ins whose code or version is not the accepted one."""
    accepted, present = _accepted(workspace), current(workspace)
    return sorted(
        name
        for part in PARTS
        for name in accepted[part].keys() | present[part].keys()
        if accepted[part].get(name) != present[part].get(name)
    )


def write(workspace: Workspace, *, same_results: bool) -> None:
    """Accept steps and plug-ins with a new version, and with ``same_results`` also code that changed under the old one."""
    accepted, document = _accepted(workspace), current(workspace)
    if not same_results:
        for part in PARTS:
            for name, entry in document[part].items():
                former = accepted[part].get(name, entry)
                document[part][name] = former if former["version"] == entry["version"] else entry
    files.write_json(lock_file(workspace), document)


def _accepted(workspace: Workspace) -> dict[str, dict[str, Any]]:
    path = lock_file(workspace)
    document = files.read_json(path) if path.is_file() else {}
    return {part: dict(document.get(part, {})) for part in PARTS}


def closure(step: Step[Any], root: Path) -> set[Path]:
    """The files whose code can reach the bytes of ``step``."""
    return reachable(Path(inspect.getsourcefile(step.run) or ""), root)


def reachable(start: Path, root: Path) -> set[Path]:
    """``start`` and every own module that it or they import.

    A handle taken from another step's file (``from tasks.corpus import CORPUS``) is an edge of the DAG, not code.
    """
    reached: set[Path] = set()
    waiting = [start.resolve()]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        wanted = _imports(path.read_text(encoding="utf8"), path, root)
        waiting += [file for name in wanted if name not in FRAME and (file := _file(name, root))]
    return reached


def code_hash(paths: Iterable[Path], root: Path) -> str:
    """sha256 over ``{path relative to the root or the library: what its code says}``; equal on every Python."""
    return files.sha256_text(files.canonical({_shown(path, root): said(path.read_text(encoding="utf8")) for path in paths}))


@cache  # the steps share most of their modules: 0.5 s instead of 1.5 for all of them
def said(source: str) -> Any:
    """The syntax tree of ``source`` without words, as nested lists; empty fields, which differ between Pythons, are left out."""
    return _plain(_Wordless().visit(ast.parse(source)))


def _plain(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = [(name, _plain(value)) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment", "ctx")]
        return [type(node).__name__, *([name, value] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node if isinstance(node, str | int | bool | None) else repr(node)


class _Wordless(ast.NodeTransformer):
    """Drops docstrings, annotations and the imports that only annotations need."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        string = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if string else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module in WORDS else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if _for_types(node) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            return ast.Assign([self.visit(node.target)], self.visit(node.value))
        # A field without a value stays: dataclasses and pydantic read it.
        return ast.AnnAssign(self.visit(node.target), ast.Constant(None), None, node.simple)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def _imports(source: str, path: Path, root: Path) -> frozenset[str]:
    """Dotted names of everything ``source`` imports and of the packages above, candidates that may not be modules included."""
    imported: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if _for_types(node):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path, root)
            wanted = [alias.name for alias in node.names if not (module.startswith("tasks.") and alias.name.isupper())]
            names = [_origin(module, name) for name in wanted]
        else:
            continue
        for name in names:
            parts = name.split(".")
            imported.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(imported)


def _origin(module: str, name: str) -> str:
    """Dotted name of what ``from module import name`` means: behind the face, the place where it is defined."""
    if module != FACE and not module.startswith(f"{FACE}."):
        return f"{module}.{name}"
    return _behind(module).get(name, f"{module}.{name}")


@cache
def _behind(face: str) -> dict[str, str]:
    """Name in a module of the face -> dotted name of what it stands for."""
    path = _file(face, LIBRARY)
    nodes = ast.parse(path.read_text(encoding="utf8")).body if path else []
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def _absolute(node: ast.ImportFrom, path: Path, root: Path) -> str:
    if not node.level:
        return node.module or ""
    package = _shown(path, root).removesuffix(".py").split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _file(name: str, root: Path) -> Path | None:
    """The file of an own module; None for libraries and for names that are no module."""
    base = LIBRARY if name.split(".")[0] == "regraft" else root
    stem = base.joinpath(*name.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def _shown(path: Path, root: Path) -> str:
    base = LIBRARY if path.is_relative_to(LIBRARY / "regraft") else root.resolve()
    return path.relative_to(base).as_posix()
