"""A library's docstrings, read from its source files without importing any of it.

The same installed files give the same docstrings in every Python that regraft runs on: files are parsed with the
grammar of the oldest one, and indentation is removed here, because ``inspect.cleandoc`` changed in 3.13.
"""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GRAMMAR = (3, 11)
"""torch 2.13 ships a file in the grammar of 3.12; a newer Python must not read more than an older one."""

SKIPPED = frozenset({"tests", "test", "_tests", "testing", "_vendor", "_vendored", "vendor", "vendored_templates", "externals"})
"""Folders that hold no text of the library's own domain: test code, and other people's code."""

_BLOCKS = ("body", "orelse", "finalbody", "handlers")


@dataclass(frozen=True, slots=True)
class Docstring:
    """What one object says about itself. ``name`` is its dotted path; ``nth`` counts definitions of that name from 1."""

    module: str
    name: str
    nth: int
    text: str


def find_package(library: str) -> Path | None:
    """The folder of an installed top-level package, found without importing it; None when it is not installed."""
    spec = importlib.util.find_spec(library)
    # A folder without __init__.py (a workspace's own `mlflow/`) is a namespace package and has no origin.
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def read_library(library: str, folder: Path) -> list[Docstring]:
    """Every docstring below ``folder``, by module and then in source order."""
    paths = sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix())
    docstrings: list[Docstring] = []
    for path in paths:
        parts = path.relative_to(folder).with_suffix("").parts
        if not SKIPPED.intersection(parts):
            module = ".".join((library, *parts)).removesuffix(".__init__")
            docstrings.extend(read_module(module, path.read_bytes()))
    return docstrings


def read_module(module: str, source: bytes) -> Iterator[Docstring]:
    """The docstrings of one module's source; nothing for a file that is not Python of :data:`GRAMMAR`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's files
        try:
            tree = ast.parse(source, feature_version=GRAMMAR)
        except (SyntaxError, ValueError):
            return
    definitions: Counter[str] = Counter()
    for name, raw in _documented(tree, module):
        text = dedent(raw)
        if text and _encodable(text):
            definitions[name] += 1
            yield Docstring(module, name, definitions[name], text)


def dedent(raw: str) -> str:
    """PEP 257's indentation rule: the first line is stripped, the others lose their common indent."""
    first, *rest = (line.rstrip() for line in raw.expandtabs().split("\n"))
    indent = min((len(line) - len(line.lstrip(" ")) for line in rest if line), default=0)
    return "\n".join((first.lstrip(), *(line[indent:] for line in rest))).strip("\n")


def _documented(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        raw = ast.get_docstring(node, clean=False)
        if raw is not None:
            yield name, raw
    for block in _BLOCKS:
        for child in getattr(node, block, ()):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _documented(child, f"{name}.{child.name}")
            elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _documented(child, name)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, written as an escape
        return False
    return True
