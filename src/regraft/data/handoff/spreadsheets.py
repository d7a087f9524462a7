"""Rows of .xlsx files: the one sheet that holds values, its first row the header.

Cells have types, and a type is no text: a whole number becomes its digits, a date what ISO 8601 writes. A fraction, a truth value or an
error in a column that has to hold text is a fault of its row, as it is in JSON.
"""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem
from regraft.data.handoff.archives import member_problems
from regraft.data.headers import AHEAD, header_problems, warn_of_nameless
from regraft.data.json_lines import KINDS
from regraft.data.rows import Fault, Row, broken, present


def read_sheet(path: Path, shown: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows of ``path``, streamed; what is wrong with it as a whole goes to ``problems``."""
    import openpyxl

    try:
        with zipfile.ZipFile(path) as archive:
            if faults := list(member_problems(archive.infolist(), path, shown)):
                problems += faults
                return
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        filled = [sheet for sheet in book.worksheets if _holds_values(sheet)]
    except Exception as error:
        problems.append(_unreadable(error, shown))
        return
    if len(filled) != 1:
        names = ", ".join(repr(sheet.title) for sheet in filled)
        message = f"{len(filled)} sheets hold values ({names}), and nothing says which is meant" if filled else "no sheet holds a value"
        problems.append(Problem(message=message, file=shown, rule="xlsx.sheets", fix="leave one sheet in the file"))
        return
    try:
        yield from _rows(filled[0], shown, required, strings, problems)
    except Exception as error:
        problems.append(_unreadable(error, shown))
    finally:
        book.close()


def _unreadable(error: Exception, shown: str) -> Problem:
    """The fault of a file on which openpyxl fails: what it raises then is of no one kind (SyntaxError of XML, KeyError, TypeError ...)."""
    message = f"not a spreadsheet that Excel could open: {' '.join(str(error).split()) or type(error).__name__}"
    return Problem(message=message, file=shown, rule="xlsx.whole", fix="save it again as .xlsx, or as CSV UTF-8")


def _holds_values(sheet: Any) -> bool:
    sheet.reset_dimensions()  # the file says how large a sheet is, and some writers say it wrong
    return any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)


def _rows(sheet: Any, shown: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    header: list[str] | None = None
    count = 0
    numbered = enumerate(sheet.iter_rows(), start=1)
    for number, cells in numbered:
        values = [cell.value for cell in cells]
        if not any(value is not None for value in values):
            continue
        if header is None:
            header = _names(values)
            if faults := list(header_problems(header, shown, number, required)):
                following = ((number, _names([cell.value for cell in cells])) for number, cells in numbered)
                ahead = list(islice((row for row in following if row[1]), AHEAD))
                problems += header_problems(header, shown, number, required, following=ahead) if ahead else faults
                return
            warn_of_nameless(header, shown)
            continue
        count += 1
        yield _row(header, list(cells), shown, number, strings)
    if not count:
        problems.append(Problem(message="a header and no rows", file=shown, row=1, rule="file.rows", fix="add rows or remove the file"))


def _names(values: Sequence[Any]) -> list[str]:
    """The cells of a row as text, without the empty ones behind the last that holds something."""
    names = ["" if value is None else str(value) for value in values]
    while names and not names[-1].strip():
        names.pop()
    return names


def _row(header: Sequence[str], cells: list[Any], shown: str, number: int, strings: Collection[str]) -> Row:
    values = [cell.value for cell in cells]
    if any(value is not None for value in values[len(header) :]):
        reason = f"a value right of the last column of the header, which has {len(header)}"
        return broken(shown, number, "row.fields", reason, [_text(value) for value in values])
    values += [None] * (len(header) - len(values))
    kinds = [cell.data_type for cell in cells] + [""] * (len(header) - len(cells))
    texts: dict[str, str | None] = {}
    faults = []
    for name, value, kind in zip(header, values, kinds, strict=False):
        if not name.strip():
            continue
        text = _text(value)
        if kind == "e" or (name in strings and isinstance(value, bool | float)):
            what = f"the error {text}" if kind == "e" else f"the {KINDS[type(value)]} {text}, not text; format the column as text"
            faults.append(Fault(f"{name}.type", name, text, f"{name} is {what}"))
        texts[name] = None if text is None else present(text)
    return Row(shown, number, texts, tuple(faults), {name: _text(value) for name, value in zip(header, values, strict=False)})


def _text(value: Any) -> str | None:
    """A cell as text; None: it is empty."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
