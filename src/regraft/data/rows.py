"""A row as it was read, what may be wrong with it, and what may be wrong with the names of a file's columns."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.core.errors import Problem
from regraft.core.progress import warn_once
from regraft.core.suggest import guess

COMMAS = (
    """python3 -c 'import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter="{other}"))' """
    "< {name} > commas.csv && mv commas.csv {name}"
)
MARKS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


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
    """The line on which it starts, as an editor counts; of a Parquet file the row, from 1."""
    values: dict[str, str | None]
    """Column -> text. Empty for a row whose fields cannot be told apart."""
    faults: tuple[Fault, ...]
    raw: Any
    """What stood there: the fields, the object, or the line."""

    @property
    def whole(self) -> bool:
        """Whether the columns can be told apart."""
        return all(fault.column is not None for fault in self.faults)


def broken(file: str, number: int, rule: str, reason: str, raw: Any) -> Row:
    """A row whose fields cannot be told apart."""
    return Row(file, number, {}, (Fault(rule, None, None, reason),), raw)


IGNORABLE = r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
"""Unicode's Default_Ignorable_Code_Point, of the Basic Multilingual Plane: zero-width spaces, joiners, marks of direction."""
CONTROL = r"\x00-\x1f\x7f-\x9f"
VISIBLE = re.compile(rf"[^\s{CONTROL}{IGNORABLE}]")
_IGNORED = re.compile(f"[{IGNORABLE}]")


def present(text: str) -> str | None:
    """``text``, or None where nothing of it can be seen: a blank value is a missing one."""
    return text if VISIBLE.search(text) else None


def without_ignorable(text: str) -> str:
    """``text`` without the characters that nobody sees."""
    return _IGNORED.sub("", text)


def header_problems(
    header: Sequence[str],
    file: str,
    row: int | None,
    required: Sequence[str],
    mark: str | None = None,
    following: Sequence[str] = (),
) -> Iterator[Problem]:
    """What is wrong with the names of a file's columns; ``mark`` separates them in a text file.

    :param following: the values of the line that comes after the header, of a text file.
    """
    if len(header) == 1 and mark and (other := next((sign for sign in MARKS if sign != mark and sign in header[0]), None)):
        suffix, right = (".csv", "comma") if mark == "," else (".tsv", "tab")
        fix = {",": "name it .csv", "\t": "name it .tsv"}.get(other, f"save it as {right}-separated {suffix[1:].upper()}")
        if mark == "," and other in ";|" and not file.endswith(".gz"):  # a spreadsheet of many languages writes nothing else
            fix += ": " + COMMAS.format(other=other, name=shlex.quote(file))
        message = f"the header is one field with {MARKS[other]}s in it: {header[0]!r}; in a {suffix} file regraft reads {right}s"
        yield Problem(message=message, file=file, row=row, value=header[0], rule="csv.delimiter", fix=fix)
        return
    for name in sorted({name for name in header if header.count(name) > 1 and name.strip()}):
        fault = f"the header has the column {name!r} {header.count(name)} times"
        yield Problem(message=fault, file=file, row=row, column=name, rule="header.unique", fix="rename or remove it")
    if (missing := [name for name in required if name not in header]) and len(missing) == len(required) > 1 and mark:
        yield _no_header(header, file, row, required, following)
        return
    for name in required:
        if name not in header:
            probably = guess(name, header, otherwise=".")
            if partition := next((part for part in file.split("/") if part.startswith(f"{name}=")), None):
                probably = f"; it is the name of the folder {partition!r}, which is not read: write the column into the files."
            without = "; have the rows no id? `task: {id: null}` makes ids of the texts" if name == "id" else ""
            yield Problem(
                message=f"no column {name!r}{probably} Columns: {', '.join(map(repr, header)) or 'none'}",
                file=file, row=row, column=name, rule="header.required",
                fix=f"rename a column to {name!r}, or name yours in the pipeline file: in `task`, that of a corpus in `data.corpus_text`"
                + without,
            )  # fmt: skip


def _no_header(header: Sequence[str], file: str, row: int | None, required: Sequence[str], following: Sequence[str]) -> Problem:
    """Not one of the columns is there: the header stands in the next line, is spelled otherwise, or is none."""
    columns, wanted = ", ".join(map(repr, header)), ", ".join(map(repr, required))
    name = shlex.quote(file)
    place = {"file": file, "row": row, "column": required[0], "rule": "header.required"}
    if set(required) <= set(following):
        message = f"the first line is {columns}, and the header comes after it"
        unpack, pack = ("gunzip -c {} | ", " | gzip") if file.endswith(".gz") else ("", "")
        fix = f"{unpack.format(name)}tail -n +2 {'' if unpack else name}{pack} > headed && mv headed {name}".replace("  ", " ")
        return Problem(message=message, fix=fix, **place)
    spelled = {name: other for name in required for other in header if other.strip().casefold() == name.casefold()}
    if len(spelled) == len(required):
        message = f"the header spells its columns {', '.join(map(repr, spelled.values()))}, and the pipeline file {wanted}"
        return Problem(message=message, fix="write the names in the header as `task` has them, or `task` as the header has them", **place)
    message = f"none of the columns {wanted} is in the header, which is {columns}; is the first line a row, and the header missing?"
    return Problem(message=message, fix="write a first line that names the columns, or name yours in `task` of the pipeline file", **place)


def warn_of_nameless(header: Sequence[str], file: str) -> None:
    """Say that columns without a name are left out: pandas' index, or the comma that ends a spreadsheet's lines."""
    if nameless := sum(not name.strip() for name in header):
        what = "a column without a name is" if nameless == 1 else f"{nameless} columns without a name are"
        warn_once(f"{file}: {what} left out")


def encodable(text: str) -> bool:
    """Whether ``text`` has bytes in UTF-8; a lone surrogate, half a character of UTF-16, has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
