"""What the terminal shows: regraft's own lines only, one JSON document with ``--json``, logs elsewhere."""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from regraft.core.controls import written_out
from regraft.core.errors import RegraftError

SCHEMA = 1
UNCUT = 200
"""Columns for a table in a pipe."""
LEAST_WIDTH = 30
"""Columns below which sentences are left to the terminal."""
KEYS = ("message", "file", "row", "column", "value", "rule", "fix")
"""What every error of a JSON document has; null is unknown."""


def nobody_reads() -> NoReturn:
    """End without an error: the reader of stdout has seen enough. What is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


LEFT_TO_RICH = "\a\b\t\n\v\f\r"
"""Control characters that are part of a text, or that Rich leaves out by itself."""


def shown(text: str) -> str:
    """``text`` with control characters written out: what comes of data is to be seen, and not to move a cursor or to name a window."""
    return written_out(text, LEFT_TO_RICH)


class _Console(Console):
    def render_str(self, text: str, *args: Any, **kwargs: Any) -> Text:
        """Texts, those in tables as well, as they are :func:`shown`."""
        return super().render_str(shown(text), *args, **kwargs)

    def on_broken_pipe(self) -> None:
        """Rich would end with 1."""
        nobody_reads()


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def uncut() -> Console:
    """The terminal, or for a pipe, which has no edge, a console that cuts no name in a table."""
    return out if out.is_terminal else _Console(file=out.file, width=max(out.width, UNCUT))


def prose(markup: str, hang: int, console: Console = out) -> Text:
    """Sentences for ``console.print``: on a terminal wrapped at words, every line but the first ``hang`` columns in.

    In a pipe, and for commands that are to be copied, a line stays one line.
    """
    text = Text.from_markup(shown(markup))
    if not console.is_terminal or console.width < hang + LEAST_WIDTH:
        return text
    return Text("\n").join(part for line in text.split("\n", allow_blank=True) for part in _hung(line, hang, console))


def _hung(line: Text, hang: int, console: Console) -> list[Text]:
    if line.cell_len <= console.width:
        return [line]
    first, rest = line.divide([hang])
    parts = rest.wrap(console, console.width - hang)
    for part in parts:
        part.rstrip()
    return [Text.assemble(" " * hang if number else first, part) for number, part in enumerate(parts)]


def line(text: str, console: Console = out) -> None:
    """Print one line that is never folded: a terminal cuts it at its edge, and in a pipe, which has none, it stays whole."""
    if console.is_terminal:
        console.print(Text(shown(text)), overflow="ellipsis", no_wrap=True)
    else:
        console.print(Text(shown(text)), soft_wrap=True)


def linked(path: Path, shown: str) -> str:
    """Markup of a path that a terminal opens by a click (OSC 8), where it can; elsewhere ``shown`` alone."""
    return f"[link={path.resolve().as_uri()}]{escape(shown)}[/link]" if path.exists() else escape(shown)


def minute(at: str) -> str:
    """``2026-11-21 06:29``; the journal's times are UTC."""
    return at[:16].replace("T", " ")


def wants_json() -> bool:
    """``--json`` anywhere on the command line; errors have to know before the verb has parsed it."""
    return "--json" in sys.argv[1:]


def print_json(value: dict[str, Any]) -> None:
    """One document on stdout."""
    sys.stdout.write(json.dumps({"schema": SCHEMA, **value}, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()  # here a reader that went away can be told from a fault


def warned(message: str, fix: str | None) -> str:
    """Markup of something to be aware of; yellow where there is something to do about it."""
    return f"[yellow]{escape(message)}[/]  [dim]next:[/] {escape(fix)}" if fix else escape(message)


def fail(error: RegraftError) -> int:
    """Say what went wrong and what to type next; returns the exit code."""
    fix = error.fix or error.usual_fix
    if wants_json():
        problems = [dict(problem) for problem in error.problems] or [{"message": str(error)}]
        errors = [dict.fromkeys(KEYS) | {"fix": fix} | problem for problem in problems]
        print_json({"exit": error.exit_code, "errors": errors})
        return error.exit_code
    err.print(prose(f"[bold red]error[/]: {escape(str(error))}", 2, err))
    described = str(error)
    for problem in error.problems if "\n" not in described else ():  # several lines are a list of them already
        if (message := problem.get("message", "")) and message not in described:
            err.print(prose(f"  {escape(_place(problem))}{escape(message)}", 4, err))
    err.print(f"[dim]next:[/] {escape(fix)}")
    return error.exit_code


def _place(problem: dict[str, Any]) -> str:
    parts = [str(problem["file"])] if problem.get("file") else []
    parts += [f"row {problem['row']}"] if problem.get("row") is not None else []
    parts += [f"column {problem['column']}"] if problem.get("column") else []
    return ", ".join(parts) + ": " if parts else ""


def crash(error: Exception) -> int:
    """A bug: the terminal gets one line."""
    return fail(internal(error))


def internal(error: Exception, where: str = "") -> RegraftError:
    """A bug as an error that says in which file its traceback is."""
    from regraft.core.workspace import Workspace

    text = "".join(traceback.format_exception(error))
    try:
        log = Workspace.find().log_file(f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, encoding="utf8")
    except (RegraftError, OSError):
        log = Path("stderr")
        err.print(escape(text))
    return RegraftError(f"{where}internal error, {type(error).__name__}: {error}; the traceback is in {log}", fix="regraft doctor")
