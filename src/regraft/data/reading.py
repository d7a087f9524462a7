"""Rows of .csv, .tsv, .jsonl and .parquet files as people typed them: every value a string, every row with its place.

Nothing is guessed. ``NA``, ``null`` and ``007`` stay what they are; a value is missing (None) only if it is blank,
a JSON null, or absent. A row with the wrong number of fields carries no values at all: which field shifted is
unknowable. Faults of one row travel with it; faults of a file are collected in ``problems``.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from regraft.core.errors import Problem
from regraft.data.formats import TABLES, faults_of_file, open_text, suffix_of, whole_problem
from regraft.data.parquet import read_parquet
from regraft.data.rows import MARKS, Fault, Row, broken, encodable, header_problems, present
from regraft.data.sources import Source, list_files, reject_if

FIELD_LIMIT = 16 * 2**20
"""Longest CSV field in characters (the csv module's own limit is 131,072: less than one long document)."""


def read_rows(source: Source, required: Sequence[str], strings: Collection[str]) -> Iterator[Row]:
    """All rows of ``source``, streamed; :class:`DataRejected` at the end, naming every faulty file at once.

    ``required`` columns must exist in every file; columns in ``strings`` must hold strings in JSON. JSON values of
    other columns become their JSON text.
    """
    problems: list[Problem] = []
    for path, shown in list_files(source, TABLES):
        yield from read_file(path, shown, required, strings, problems)
    reject_if(source, problems)


def read_file(path: Path, shown: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows of one table, streamed; what is wrong with the file as a whole goes to ``problems``."""
    suffix = suffix_of(path)
    with faults_of_file(path, shown, problems):
        if problem := whole_problem(path, shown):
            problems.append(problem)
        elif suffix == ".parquet":
            yield from read_parquet(path, shown, required, strings, problems)
        elif suffix == ".jsonl":
            with open_text(path, "\n") as handle:  # U+2028 ends no line
                yield from _json_rows(handle, shown, required, strings, problems)
        else:
            with open_text(path, "") as handle:  # a quoted line break stays inside its field
                yield from _csv_rows(handle, shown, required, problems, "," if suffix == ".csv" else "\t")


def _csv_rows(handle: TextIO, file: str, required: Sequence[str], problems: list[Problem], mark: str) -> Iterator[Row]:
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(handle, strict=True, delimiter=mark)
    between = MARKS[mark]
    header: list[str] | None = None
    count = 0
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            if header is None or "unexpected end" in str(error):
                message = "a quote opened here is never closed" if header else f"the header is not CSV: {error}"
                problems.append(Problem(message=message, file=file, row=number, rule="csv.quotes", fix="close the quote, or double it"))
                return
            count += 1
            yield broken(file, number, "csv.quotes", f"{error}; inside a quoted field a quote is written twice", str(error))
            continue
        if fields is None:
            break
        if not fields:
            continue
        if header is None:
            header = fields
            if faults := list(header_problems(header, file, number, required, mark)):
                problems += faults
                return
            continue
        count += 1
        if len(fields) != len(header):
            reason = f"{len(fields)} fields, but the header has {len(header)}; a {between} or line break inside a value needs quotes"
            yield broken(file, number, "row.fields", reason, fields)
        else:
            values = {name: present(field) for name, field in zip(header, fields, strict=True)}
            yield Row(file, number, values, (), dict(zip(header, fields, strict=True)))
    if not count:
        problems.append(Problem(message="a header and no rows", file=file, row=1, rule="file.rows", fix="add rows or remove the file"))


def _json_rows(handle: TextIO, file: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    keys: set[str] = set()
    count = 0
    for number, line in enumerate(handle, start=1):
        if not line.strip():
            continue
        if not count and line.lstrip().startswith("["):
            message = "a JSON array, not JSON lines: one object a line is needed"
            name = shlex.quote(file)
            fix = f"jq -c '.[]' {name} > lines.jsonl && mv lines.jsonl {name}"
            problems.append(Problem(message=message, file=file, row=number, rule="jsonl.lines", fix=fix))
            return
        count += 1
        row = _json_row(line.strip(), file, number, strings)
        keys.update(row.raw if isinstance(row.raw, dict) else ())
        yield row
    if keys:  # else no line is an object, and every row says so itself
        problems += header_problems(sorted(keys), file, None, required)


class _Repeated(ValueError):
    """A key stands twice in one JSON object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Repeated(next(key for key in keys if keys.count(key) > 1))
    return value


def _json_row(line: str, file: str, number: int, strings: Collection[str]) -> Row:
    try:
        value = json.loads(line, object_pairs_hook=_pairs)
    except _Repeated as error:
        return broken(file, number, "json.keys", f"the key {str(error)!r} stands twice in one object", line)
    except json.JSONDecodeError as error:  # its own text says "line 1" of every line
        return broken(file, number, "json.syntax", f"not JSON: {error.msg}, column {error.colno}", line)
    except (ValueError, RecursionError) as error:
        return broken(file, number, "json.syntax", f"not JSON: {error}", line)
    if not isinstance(value, dict):
        return broken(file, number, "json.object", f"not an object with columns but {line[:40]}", line)
    values: dict[str, str | None] = {}
    faults = []
    for column, item in value.items():
        if not encodable(column):
            return broken(file, number, "json.keys", f"the key {column!a} holds half a character", line)
        values[column], fault = _json_value(column, item, column in strings)
        faults += [fault] if fault else []
    return Row(file, number, values, tuple(faults), value)


def _json_value(column: str, item: Any, string: bool) -> tuple[str | None, Fault | None]:
    if item is None:
        return None, None
    text = item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
    if string and not isinstance(item, str):
        kind = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}[type(item)]
        return None, Fault(f"{column}.type", column, text[:80], f"{column} is the {kind} {text[:60]}, not a string; write it in quotes")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{column} holds half a character (the lone surrogate \\u{ord(text[error.start]):04x})"
        return None, Fault(f"{column}.unicode", column, ascii(text)[:80], reason)
    return present(text), None
