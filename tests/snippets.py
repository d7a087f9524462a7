"""The fenced blocks of the documentation, as data: what stands there, and what of an output has to come out again.

A command in a ``console`` block starts with ``$ ``; the lines after it are what it printed. In an ``sh`` block each line is a
command. ``# exit 2`` after a command says that it ends so; otherwise it ends with 0. A ``bash`` block is not typed: what stands there,
another page types in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command as it is typed, how it ends, and what it is shown to print."""

    text: str
    code: int
    shown: tuple[str, ...]


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of ``page`` in these languages, in order."""
    text = page.read_text(encoding="utf8")
    found = ((match, text.count("\n", 0, match.start()) + 1) for match in BLOCK.finditer(text))
    return [Block(page, line, match[1], match[2]) for match, line in found if match[1] in languages]


def commands(block: Block) -> Iterator[Command]:
    """The commands of an ``sh`` or ``console`` block."""
    lines = block.text.splitlines()
    if block.language == "sh":
        yield from (_command(line, ()) for line in lines if line.strip())
        return
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"{block}: a console block starts with a command"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield _command(lines[start][2:], tuple(line for line in lines[start + 1 : end] if line.strip()))


def _command(line: str, shown: tuple[str, ...]) -> Command:
    text, _, comment = line.partition("  #")
    said = re.search(r"exit (\d)", comment) if comment.strip().startswith("exit") else None
    return Command(text.strip(), int(said[1]) if said else 0, shown)


# --- outputs -----------------------------------------------------------------------------------------------------

VARIES = (
    (re.compile(r"\b[a-z][a-z0-9_]*-\d{8}T\d{6}-[0-9a-f]{6}\b"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+\d\d:\d\d)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "DIGEST"),
    (re.compile(r"[-+]?\d[\d,.]*"), "N"),
    (re.compile(r"\bN (h|min|s|ms|[kMGT]i?B|bytes)\b"), "N UNIT"),
)
ALIKE = 0.6
"""Share of words that a shown line has in common with the line it stands for: which label, which library and which side of a
threshold depend on the data; a renamed word of three does not pass."""


def words(line: str) -> list[str]:
    """A line without what differs from run to run."""
    for pattern, name in VARIES:
        line = pattern.sub(name, line)
    return line.split()


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """Shown lines that nothing printed stands for."""
    lines = [words(line) for line in printed.splitlines() if line.strip()]
    return [line for line in shown if line.strip() != "..." and not any(_alike(words(line), other) for other in lines)]


def _alike(one: list[str], other: list[str]) -> bool:
    return one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE
