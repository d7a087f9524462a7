"""Rows of .csv and .tsv files.

In a .csv file a value in quotes may hold commas, line breaks and doubled quotes. A .tsv file is read as it stands, because the tools that
write most of them quote nothing: a text that begins with ``"`` begins with ``"``. Spreadsheets do quote; a pipeline file says so
with ``data.tsv_quoted``.
"""

from __future__ import annotations

import contextlib
import csv
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from regraft.core.errors import Problem
from regraft.core.progress import warn_once
from regraft.core.quantities import counted
from regraft.data.headers import AHEAD, MARKS, header_problems, warn_of_nameless
from regraft.data.rows import Row, broken, present
from regraft.data.swallowed import Swallowing

FIELD_LIMIT = 16 * 2**20
"""Longest field in characters (the csv module's own limit is 131,072: less than one long document)."""
UNESCAPE = r"""perl -pi -e 's/\\(["\\])/$1 eq "\"" ? "\"\"" : $1/ge' """
"""Doubles quotes that stand behind a backslash, and halves backslashes."""
DECLARE = "data: {tsv_quoted: true} in the pipeline file"


class _Lines:
    """The lines of a file, and those that the record at hand was read from."""

    def __init__(self, handle: TextIO) -> None:
        self._handle = handle
        self.of_record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._handle:
            self.of_record.append(line)
            yield line


def read_delimited(
    handle: TextIO, file: str, required: Sequence[str], problems: list[Problem], mark: str, *, quoted: bool
) -> Iterator[Row]:
    """Rows of one table, streamed; what is wrong with it as a whole goes to ``problems``.

    :param mark: what stands between two values.
    :param quoted: whether quotes around a value are no part of it.
    """
    csv.field_size_limit(FIELD_LIMIT)
    lines = _Lines(handle)
    reader = csv.reader(lines, strict=True, delimiter=mark, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    header: list[str] | None = None
    swallowing = Swallowing((), mark)
    count = in_quotes = 0
    while True:
        number = reader.line_num + 1
        lines.of_record.clear()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            if header is None or "unexpected end" in str(error):
                message = "a quote opened here is never closed" if header else f"the header is not CSV: {error}"
                problems.append(Problem(message=message, file=file, row=number, rule="csv.quotes", fix="close the quote, or double it"))
                return
            count += 1
            swallowing.record(number, lines.of_record)
            yield broken(file, number, "csv.quotes", _torn(error, lines.of_record, file), str(error))
            continue
        if fields is None:
            break
        if not fields:
            continue
        if header is None:
            header = fields
            if faults := _faults_of_header(header, reader, file, number, required, mark, quoted=quoted):
                problems += faults
                return
            warn_of_nameless(header, file)
            swallowing = Swallowing(header, mark)
            continue
        count += 1
        if len(lines.of_record) > 1:
            swallowing.record(number, lines.of_record)
        fields = _fitted(fields, header)
        if len(fields) != len(header):
            yield broken(file, number, "row.fields", _miscounted(fields, header, mark, quoted=quoted), fields)
            continue
        if len(header) > 1 and fields == header:
            yield broken(file, number, "row.header", "it is the header once more; were files put one after another?", fields)
            continue
        if len(lines.of_record) == 1:
            swallowing.row(fields)
        in_quotes += not quoted and any(len(field) > 1 and field[0] == field[-1] == '"' for field in fields)
        values = {name: present(field) for name, field in zip(header, fields, strict=True) if name.strip()}
        yield Row(file, number, values, (), dict(zip(header, fields, strict=True)))
    problems += swallowing.problems(file)
    if not count:
        problems.append(Problem(message="a header and no rows", file=file, row=1, rule="file.rows", fix="add rows or remove the file"))
    if in_quotes:
        _warn_of_quotes(in_quotes, file)


def _faults_of_header(
    header: Sequence[str], reader: Any, file: str, row: int, required: Sequence[str], mark: str, *, quoted: bool
) -> list[Problem]:
    """What is wrong with the names of the columns; the next rows of ``reader`` help to say why."""
    in_quotes = list(_quoted_header(header, file, row, quoted=quoted))
    faults = list(header_problems(header, file, row, required, mark))
    if faults and not in_quotes:
        following: list[tuple[int, list[str]]] = []
        with contextlib.suppress(csv.Error):
            while len(following) < AHEAD and (fields := next(reader, None)) is not None:
                following.append((reader.line_num, fields))
        faults = list(header_problems(header, file, row, required, mark, following))
    return in_quotes + faults


def _torn(error: csv.Error, record: Sequence[str], file: str) -> str:
    if "field limit" in str(error):
        return f"a value of more than {FIELD_LIMIT:,} characters; is a quote before it never closed?"
    if any('\\"' in line for line in record):
        return (
            "a quote inside a value stands behind a backslash, as Spark and MySQL write it, and in CSV it is doubled: "
            + UNESCAPE
            + shlex.quote(file)
        )
    return f"{error}; inside a quoted field a quote is written twice"


def _warn_of_quotes(count: int, file: str) -> None:
    rows = f"{counted(count, 'row')} of {file} {'has' if count == 1 else 'have'} a value in quotes"
    warn_once(f"{rows}, which stay part of it: a .tsv file is read as it stands. Where they only enclose values, write {DECLARE}")


def _quoted_header(header: Sequence[str], file: str, row: int, *, quoted: bool) -> Iterator[Problem]:
    """A header whose names are all in quotes, where quotes are part of a value."""
    if not quoted and all(len(name) > 1 and name[0] == name[-1] == '"' for name in header):
        message = f"the names of the header are in quotes ({header[0]}), and a .tsv file is read as it stands"
        yield Problem(message=message, file=file, row=row, value=header[0], rule="tsv.quoted", fix=f"write {DECLARE}")


def _fitted(fields: list[str], header: Sequence[str]) -> list[str]:
    """``fields`` without the empty values that end a line of a spreadsheet, or with those that a nameless last column lacks."""
    while len(fields) > len(header) and not fields[-1].strip():
        fields = fields[:-1]
    missing = header[len(fields) :]
    return [*fields, *("" for _ in missing)] if fields and not any(name.strip() for name in missing) else fields


def _miscounted(fields: Sequence[str], header: Sequence[str], mark: str, *, quoted: bool) -> str:
    between = MARKS[mark]
    inside = f"a {between} or line break inside a value needs quotes" + ("" if quoted else f", and those need {DECLARE}")
    return f"{len(fields)} fields, but the header has {len(header)}; {inside}"
