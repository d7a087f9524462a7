"""Rows of .jsonl files: one object a line, its keys the columns.

Strings stay strings and integers become their digits, as in a Parquet file. Nothing else is taken for text where a column has to
hold text: a row with another type is at fault, and where most rows are, it is the file, which one command mends.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TextIO

from regraft.core.errors import Problem
from regraft.data.headers import header_problems, warn_of_nameless
from regraft.data.rows import Fault, Row, broken, encodable, present

KINDS = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}
MOST_ROWS = 0.5
"""Where a larger share of rows has a value of the wrong type, that is the file's fault."""
FEWEST_ROWS = 3
"""So many rows make a pattern; fewer are faults of their own."""


def read_json_lines(handle: TextIO, file: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows of one file, streamed; what is wrong with it as a whole goes to ``problems``.

    :param strings: columns that must hold text; values of others become their JSON text.
    """
    keys: dict[str, None] = {}
    count = 0
    of_type: Counter[tuple[str, str]] = Counter()
    several: Counter[str] = Counter()
    for number, line in enumerate(handle, start=1):
        if not line.strip():
            continue
        if not count and line.lstrip().startswith("["):
            message = "a JSON array, not JSON lines: one object a line is needed"
            name = shlex.quote(file)
            fix = f"jq -c '.[]' {name} > lines.jsonl && mv lines.jsonl {name}"
            problems.append(Problem(message=message, file=file, row=number, rule="jsonl.lines", fix=fix))
            return
        if not count and line.strip() == "{":
            message = "JSON over several lines; one object a line is needed"
            name = shlex.quote(file)
            fix = f"jq -c . {name} > lines.jsonl && mv lines.jsonl {name}"
            problems.append(Problem(message=message, file=file, row=number, rule="jsonl.lines", fix=fix))
            return
        count += 1
        row = _row(line.strip(), file, number, strings)
        if isinstance(row.raw, dict):
            keys.update(dict.fromkeys(row.raw))
        for fault in row.faults:
            if fault.column and fault.rule == f"{fault.column}.type":
                item = row.raw[fault.column]
                of_type[fault.column, KINDS[type(item)]] += 1
                several[fault.column] += isinstance(item, list) and len(item) != 1
        yield row
    if keys:  # else no line is an object, and every row says so itself
        problems += header_problems(sorted(keys), file, None, required)
        warn_of_nameless(list(keys), file)
    problems += _types(of_type, several, count, file)


def _types(of_type: Counter[tuple[str, str]], several: Counter[str], rows: int, file: str) -> Iterator[Problem]:
    """Columns that hold another type than text in most rows, each with the command that mends the file."""
    for (column, kind), count in of_type.items():
        if count < FEWEST_ROWS or count <= MOST_ROWS * rows:
            continue
        article = "an" if kind[0] in "aio" else "a"
        message = f"{column} is {article} {kind} in {count:,} of {rows:,} rows; regraft reads strings and integers there"
        change = (
            "if . == null then . else tostring end"
            if kind in ("boolean", "number")
            else ".[0]"
            if kind == "list" and not several[column]
            else None
        )
        name = shlex.quote(file)
        fix = f"jq -c '.[{json.dumps(column)}] |= {change}' {name} > mended.jsonl && mv mended.jsonl {name}"
        if change is None:
            message += f", and {several[column]:,} of the lists do not hold one value" if several[column] else ""
            fix = f"write one {column} a row: a model here gives a text one answer"
        yield Problem(message=message, file=file, column=column, rule=f"{column}.type", fix=fix)


class Repeated(ValueError):
    """A key stands twice in one JSON object."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys stand there once; :class:`Repeated` names one that does not."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise Repeated(next(key for key in keys if keys.count(key) > 1))
    return value


def _row(line: str, file: str, number: int, strings: Collection[str]) -> Row:
    try:
        value = json.loads(line, object_pairs_hook=once)
    except Repeated as error:
        return broken(file, number, "json.keys", f"the key {str(error)!r} stands twice in one object", line)
    except json.JSONDecodeError as error:  # its own text says "line 1" of every line
        return broken(file, number, "json.syntax", f"not JSON: {error.msg}, column {error.colno}", line)
    except RecursionError:
        return broken(file, number, "json.syntax", "not JSON that can be read: lists or objects lie too deep in one another", line)
    except ValueError as error:
        return broken(file, number, "json.syntax", f"not JSON: {error}", line)
    if not isinstance(value, dict):
        return broken(file, number, "json.object", f"not an object with columns but {line[:40]}", line)
    return row_of(value, file, number, strings, line)


def row_of(value: dict[str, Any], file: str, number: int, strings: Collection[str], line: str | None = None) -> Row:
    """The row that one object of JSON is; ``line`` is how it was written, None: as a part of something longer."""
    values: dict[str, str | None] = {}
    faults = []
    for column, item in value.items():
        if not encodable(column):
            return broken(file, number, "json.keys", f"the key {column!a} holds half a character", line or json.dumps(value))
        if not column.strip():
            continue
        values[column], fault = _value(column, item, column in strings)
        faults += [fault] if fault else []
    return Row(file, number, values, tuple(faults), value)


def _value(column: str, item: Any, string: bool) -> tuple[str | None, Fault | None]:
    if item is None or item != item:  # NaN is how pandas writes that nothing is there
        return None, None
    text = item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
    if string and not isinstance(item, str) and type(item) is not int:
        text = text.encode("utf8", "backslashreplace").decode()  # half a character inside has no bytes
        reason = f"{column} is the {KINDS[type(item)]} {text[:60]}, not a string; write it in quotes"
        return None, Fault(f"{column}.type", column, text[:80], reason)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{column} holds half a character (the lone surrogate \\u{ord(text[error.start]):04x})"
        return None, Fault(f"{column}.unicode", column, ascii(text)[:80], reason)
    return present(text), None
