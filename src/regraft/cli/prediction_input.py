"""What people ask a model about: texts typed on the command line, files of rows, or lines on standard input."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regraft.core.encoding import packed
from regraft.core.errors import ConfigError, Problem
from regraft.data.formats import TABLES, TEXTS, hint, known, suffix_of
from regraft.data.pairs import join
from regraft.data.reading import read_file
from regraft.data.sources import reject

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """One text, and where it stood."""

    text: str
    file: str | None = None
    row: int | None = None
    id: str | None = None
    """Of a row of a file that has one."""


def read(arguments: Sequence[str], columns: Sequence[str], id_column: str | None = None) -> list[Asked]:
    """The texts that the arguments mean, in their order; of two ``columns`` pairs, each as one text (:mod:`regraft.data.pairs`).

    ``-`` is standard input, one text a line, or a pair with a tab between; what ends as a table does (``a.csv``, ``a.tsv.gz``,
    ``a.parquet``) is a file, of which ``columns`` are read; everything else is a text, or half a pair. ConfigError for a file or folder
    that is no table: its name is no text that anybody asks about. DataRejected names every row without a text; nothing is left out
    silently.
    """
    problems: list[Problem] = []
    texts = [text for number, argument in enumerate(arguments, start=1) for text in _one(argument, number, columns, id_column, problems)]
    if problems:
        reject("not every row can be asked about", problems)
    if not texts:
        raise ConfigError("standard input held no text", fix="echo 'a text' | regraft predict PIPELINE -")
    return texts if len(columns) == 1 else _paired(texts, columns)


def _paired(texts: Sequence[Asked], columns: Sequence[str]) -> list[Asked]:
    """Typed texts two by two; those of files and lines are pairs already."""
    pairs, waiting = list[Asked](), list[Asked]()
    for asked in texts:
        if asked.file is not None:
            pairs.append(asked)
            continue
        waiting.append(asked)
        if len(waiting) == len(columns):
            pairs.append(Asked(join(*(half.text for half in waiting))))
            waiting.clear()
    if waiting:
        fix = f"regraft predict PIPELINE '{columns[0]}' '{columns[1]}'"
        raise ConfigError(f"the model reads pairs of {columns[0]} and {columns[1]}, and {waiting[0].text!r} has no second text", fix=fix)
    return pairs


def _one(argument: str, number: int, columns: Sequence[str], id_column: str | None, problems: list[Problem]) -> Iterator[Asked]:
    if argument == STDIN:
        yield from _lines() if len(columns) == 1 else map(_tabbed, _lines())
    elif suffix_of(Path(argument)) in TABLES:
        yield from _rows(Path(argument), columns, id_column, problems)
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


def _tabbed(line: Asked) -> Asked:
    """A pair from a line of standard input."""
    halves = [half for half in line.text.split("\t") if half.strip()]
    if len(halves) != 2:
        fix = "printf 'first\\tsecond\\n' | regraft predict PIPELINE -"
        raise ConfigError(f"line {line.row} of standard input is {line.text!r}, not two texts with a tab between", fix=fix)
    return replace(line, text=join(*halves))


def _rows(path: Path, columns: Sequence[str], id_column: str | None, problems: list[Problem]) -> Iterator[Asked]:
    if not path.is_file():
        text = f"; a text that ends with {path.suffix} can be given on standard input"
        raise ConfigError(f"{path} is not there{text}", fix=f"ls {path.parent}")
    for row in read_file(path, str(path), tuple(columns), tuple(columns), problems):
        texts = [value for column in columns if (value := row.values.get(column)) is not None]
        faults = [fault for fault in row.faults if fault.column in (None, *columns)]
        problems += [Problem(message=f.reason, file=str(path), row=row.number, column=f.column, rule=f.rule) for f in faults]
        if len(texts) == len(columns):
            row_id = row.values.get(id_column) if id_column is not None else None
            yield Asked(texts[0] if len(texts) == 1 else join(*texts), str(path), row.number, row_id)
        elif not faults:
            lacking = next(column for column in columns if row.values.get(column) is None)
            problems.append(Problem(message=f"no {lacking}", file=str(path), row=row.number, column=lacking, rule=f"{lacking}.required"))
