"""Rows of .csv and .jsonl files as people typed them: every value a string, every row with its physical line.

Nothing is guessed. ``NA``, ``null`` and ``007`` stay what they are; a value is missing (None) only if it is blank,
a JSON null, or absent. A row with the wrong number of fields carries no values at all: which field shifted is
unknowable. Faults of one row travel with it; faults of a file are collected in ``problems``.
"""

from __future__ import annotations

import csv
import difflib
import json
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from regraft.data.sources import Source, empty_problem, encoding_problem, list_files, reject_if
from regraft.errors import Problem

FIELD_LIMIT = 16 * 2**20
"""Longest CSV field in characters (the csv module's own limit is 131,072: less than one long document)."""


@dataclass(frozen=True)
class Fault:
    """One broken rule of one row."""

    rule: str
    column: str | None
    value: str | None
    reason: str


@dataclass(frozen=True)
class Row:
    """One row as it was read."""

    file: str
    number: int
    """The line on which it starts, as an editor counts."""
    values: dict[str, str | None]
    """Column -> text. Empty for a row whose fields cannot be told apart."""
    faults: tuple[Fault, ...]
    raw: Any
    """What stood there: the fields, the object, or the line."""

    @property
    def whole(self) -> bool:
        """Whether the columns can be told apart."""
        return all(fault.column is not None for fault in self.faults)


def read_rows(source: Source, required: Sequence[str], strings: Collection[str]) -> list[Row]:
    """All rows of ``source``; :class:`DataRejected` naming every faulty file at once.

    ``required`` columns must exist in every file; columns in ``strings`` must hold strings in JSON. JSON values of
    other columns become their JSON text.
    """
    problems: list[Problem] = []
    rows: list[Row] = []
    for path, shown in list_files(source, (".csv", ".jsonl")):
        rows += read_file(path, shown, required, strings, problems)
    reject_if(source, problems)
    return rows


def read_file(path: Path, shown: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows of one .csv or .jsonl file, streamed; what is wrong with the file as a whole goes to ``problems``."""
    if empty := empty_problem(path, shown):
        problems.append(empty)
        return
    # newline="" and "\n": a quoted line break stays inside its field, and U+2028 ends no line.
    is_csv = path.suffix == ".csv"
    with path.open(encoding="utf-8-sig", newline="" if is_csv else "\n") as handle:
        try:
            if is_csv:
                yield from _csv_rows(handle, shown, required, problems)
            else:
                yield from _json_rows(handle, shown, required, strings, problems)
        except UnicodeDecodeError:
            problems.append(encoding_problem(path, shown))


def _csv_rows(handle: TextIO, file: str, required: Sequence[str], problems: list[Problem]) -> Iterator[Row]:
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(handle, strict=True)
    header: list[str] | None = None
    read = 0
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            if header is None or "unexpected end" in str(error):
                what = "a quote opened here is never closed" if header else f"the header is not CSV: {error}"
                problems.append(Problem(message=what, file=file, row=number, rule="csv.quotes", fix="close the quote, or double it"))
                return
            read += 1
            yield _broken(file, number, "csv.quotes", f"{error}; inside a quoted field a quote is written twice", str(error))
            continue
        if fields is None:
            break
        if not fields:
            continue
        if header is None:
            header = fields
            if faults := list(_header_problems(header, file, number, required)):
                problems += faults
                return
            continue
        read += 1
        if len(fields) != len(header):
            reason = f"{len(fields)} fields, but the header has {len(header)}; a comma or line break inside a value needs quotes"
            yield _broken(file, number, "row.fields", reason, fields)
        else:
            values = {name: _present(field) for name, field in zip(header, fields, strict=True)}
            yield Row(file, number, values, (), dict(zip(header, fields, strict=True)))
    if not read:
        problems.append(Problem(message="a header and no rows", file=file, row=1, rule="file.rows", fix="add rows or remove the file"))


def _broken(file: str, number: int, rule: str, reason: str, raw: Any) -> Row:
    return Row(file, number, {}, (Fault(rule, None, None, reason),), raw)


def _present(text: str) -> str | None:
    return text if text.strip() else None


def _header_problems(header: Sequence[str], file: str, row: int | None, required: Sequence[str]) -> Iterator[Problem]:
    if len(header) == 1:
        for name, mark in (("semicolons", ";"), ("tabs", "\t")):
            if mark in header[0]:
                yield Problem(
                    message=f"the header is one field with {name} in it: {header[0]!r}; regraft reads commas",
                    file=file, row=row, value=header[0], rule="csv.delimiter", fix="save it as comma-separated CSV",
                )  # fmt: skip
                return
    for name in sorted({name for name in header if header.count(name) > 1 or not name.strip()}):
        said = f"the header has the column {name!r} {header.count(name)} times" if name.strip() else "a column of the header has no name"
        yield Problem(message=said, file=file, row=row, column=name, rule="header.unique", fix="rename or remove it")
    for name in required:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1) or [h for h in header if h.strip().lower() == name.lower()]
            guess = f"; did you mean {near[0]!r}?" if near else "."
            yield Problem(
                message=f"no column {name!r}{guess} Columns: {', '.join(map(repr, header)) or 'none'}",
                file=file, row=row, column=name, rule="header.required",
                fix=f"rename a column to {name!r}, or name the right one under `task` in the pipeline file",
            )  # fmt: skip


def _json_rows(handle: TextIO, file: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    seen: set[str] = set()
    read = 0
    for number, line in enumerate(handle, start=1):
        if not line.strip():
            continue
        if not read and line.lstrip().startswith("["):
            message = "a JSON array, not JSON lines: one object a line is needed"
            name = shlex.quote(file)
            fix = f"jq -c '.[]' {name} > lines.jsonl && mv lines.jsonl {name}"
            problems.append(Problem(message=message, file=file, row=number, rule="jsonl.lines", fix=fix))
            return
        read += 1
        row = _json_row(line.strip(), file, number, strings)
        seen.update(row.raw if isinstance(row.raw, dict) else ())
        yield row
    if seen:  # else no line is an object, and every row says so itself
        problems += _header_problems(sorted(seen), file, None, required)


class _Repeated(ValueError):
    """A key stands twice in one JSON object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Repeated(next(key for key in keys if keys.count(key) > 1))
    return found


def _json_row(line: str, file: str, number: int, strings: Collection[str]) -> Row:
    try:
        value = json.loads(line, object_pairs_hook=_pairs)
    except _Repeated as error:
        return _broken(file, number, "json.keys", f"the key {str(error)!r} stands twice in one object", line)
    except json.JSONDecodeError as error:  # its own text says "line 1" of every line
        return _broken(file, number, "json.syntax", f"not JSON: {error.msg}, column {error.colno}", line)
    except (ValueError, RecursionError) as error:
        return _broken(file, number, "json.syntax", f"not JSON: {error}", line)
    if not isinstance(value, dict):
        return _broken(file, number, "json.object", f"not an object with columns but {line[:40]}", line)
    values: dict[str, str | None] = {}
    faults = []
    for column, item in value.items():
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
    return _present(text), None
