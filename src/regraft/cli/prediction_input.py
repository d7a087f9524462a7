"""What people ask a model about: texts typed on the command line, files of rows, or lines on standard input."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.core.encoding import packed
from regraft.core.errors import ConfigError, Problem
from regraft.data.formats import TABLES, TEXTS, hint, known, suffix_of
from regraft.data.reading import read_file
from regraft.data.sources import reject

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """One text, and where it stood."""

    text: str
    file: str | None = None
    row: int | None = None


def read(arguments: Sequence[str], column: str) -> list[Asked]:
    """The texts that the arguments mean, in their order.

    ``-`` is standard input, one text a line; what ends as a table does (``a.csv``, ``a.tsv.gz``, ``a.parquet``) is a
    file, of which ``column`` is read; everything else is a text. ConfigError for a file or folder that is no table: its
    name is no text that anybody asks about. DataRejected names every row without a text; nothing is left out silently.
    """
    problems: list[Problem] = []
    texts = [text for number, argument in enumerate(arguments, start=1) for text in _one(argument, number, column, problems)]
    if problems:
        reject("not every row can be asked about", problems)
    if not texts:
        raise ConfigError("standard input held no text", fix="echo 'a text' | regraft predict PIPELINE -")
    return texts


def _one(argument: str, number: int, column: str, problems: list[Problem]) -> Iterator[Asked]:
    if argument == STDIN:
        yield from _lines()
    elif suffix_of(Path(argument)) in TABLES:
        yield from _rows(Path(argument), column, problems)
    elif os.path.exists(argument):  # Path.exists raises where a text is longer than a file name may be
        raise _no_table(Path(argument))
    elif argument.strip():
        yield Asked(argument)
    else:
        raise ConfigError(f"text {number} is empty", fix="regraft predict --help")


def _no_table(path: Path) -> ConfigError:
    """A file that rows are not read from, or a folder, and how to ask about what it holds, or about its name."""
    shown = shlex.quote(str(path))
    if path.is_dir():
        fix = f"regraft predict PIPELINE {shown.rstrip('/')}/*"
    elif suffix_of(path) in TEXTS:
        fix = f"gunzip -c {shown} | regraft predict PIPELINE -" if packed(path) else f"regraft predict PIPELINE - < {shown}"
    else:
        fix = hint(path, str(path))
    message = f"{path} is a {'folder' if path.is_dir() else 'file'}, and rows are read from {known(TABLES)} files"
    return ConfigError(f"{message}; a text that is called so can be given on standard input", fix=fix)


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
        value = row.values.get(column)
        faults = [fault for fault in row.faults if fault.column in (None, column)]
        problems += [Problem(message=f.reason, file=str(path), row=row.number, column=f.column, rule=f.rule) for f in faults]
        if value is not None:
            yield Asked(value, str(path), row.number)
        elif not faults:
            problems.append(Problem(message=f"no {column}", file=str(path), row=row.number, column=column, rule=f"{column}.required"))
