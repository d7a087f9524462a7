"""What people ask a model about: texts typed on the command line, files of rows, or lines on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.data.reading import read_file
from regraft.data.sources import reject
from regraft.errors import ConfigError, Problem

SUFFIXES = (".csv", ".jsonl")
STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """One text, and where it stood."""

    text: str
    file: str | None = None
    row: int | None = None


def read(arguments: Sequence[str], column: str) -> list[Asked]:
    """The texts that the arguments mean, in their order.

    ``-`` is standard input, one text a line; what ends with .csv or .jsonl is a file, of which ``column`` is read;
    everything else is a text. DataRejected names every row without a text; nothing is left out silently.
    """
    problems: list[Problem] = []
    found = [asked for number, said in enumerate(arguments, start=1) for asked in _one(said, number, column, problems)]
    if problems:
        reject("not every row can be asked about", problems)
    if not found:
        raise ConfigError("standard input held no text", fix="echo 'a text' | regraft predict PIPELINE -")
    return found


def _one(said: str, number: int, column: str, problems: list[Problem]) -> Iterator[Asked]:
    if said == STDIN:
        yield from _lines()
    elif said.endswith(SUFFIXES):
        yield from _rows(Path(said), column, problems)
    elif said.strip():
        yield Asked(said)
    else:
        raise ConfigError(f"text {number} is empty", fix="regraft predict --help")


def _lines() -> Iterator[Asked]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise ConfigError(f"line {number} of standard input is not UTF-8: {error.reason}", fix="iconv -t utf-8") from None
        if text:
            yield Asked(text, "-", number)


def _rows(path: Path, column: str, problems: list[Problem]) -> Iterator[Asked]:
    if not path.is_file():
        text = f"; a text that ends with {path.suffix} can be given on standard input"
        raise ConfigError(f"{path} is not there{text}", fix=f"ls {path.parent}")
    for row in read_file(path, str(path), (column,), (column,), problems):
        found = row.values.get(column)
        about = [fault for fault in row.faults if fault.column in (None, column)]
        problems += [Problem(message=f.reason, file=str(path), row=row.number, column=f.column, rule=f.rule) for f in about]
        if found is not None:
            yield Asked(found, str(path), row.number)
        elif not about:
            problems.append(Problem(message=f"no {column}", file=str(path), row=row.number, column=column, rule=f"{column}.required"))
