"""What may be wrong with the names of a file's columns, and what its first rows say of why."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from regraft.core.errors import Problem
from regraft.core.progress import warn_once
from regraft.core.quantities import first_of
from regraft.core.suggest import guess

COMMAS = """python3 -c 'import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter="{other}"))'"""
"""Puts commas in the place of another sign between values."""
MARKS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
AHEAD = 5
"""Rows behind the first that are looked at, where that one is no header."""
TRUE, FALSE = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
Following = Sequence[tuple[int, Sequence[str]]]
"""The number of a row, and its values."""


def header_problems(
    header: Sequence[str],
    file: str,
    row: int | None,
    required: Sequence[str],
    mark: str | None = None,
    following: Following = (),
) -> Iterator[Problem]:
    """What is wrong with the names of a file's columns.

    :param mark: what separates them in a text file; None in one of another kind.
    :param following: the rows that come after the header.
    """
    if len(header) == 1 and mark and (other := next((sign for sign in MARKS if sign != mark and sign in header[0]), None)):
        yield _other_mark(header[0], file, row, mark, other)
        return
    for name in sorted({name for name in header if header.count(name) > 1 and name.strip()}):
        fault = f"the header has the column {name!r} {header.count(name)} times"
        yield Problem(message=fault, file=file, row=row, column=name, rule="header.unique", fix="rename or remove it")
    missing = [name for name in required if name not in header]
    if missing and (classes := one_hot(header, [values for _, values in following])):
        yield _one_hot(classes, file, row, missing[-1], mark)
        missing = missing[:-1]
    elif missing and len(missing) == len(required) > 1 and (mark or following):
        yield _no_header(header, file, row, required, following, mark)
        return
    for name in missing:
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


def _other_mark(header: str, file: str, row: int | None, mark: str, other: str) -> Problem:
    suffix, right = (".csv", "comma") if mark == "," else (".tsv", "tab")
    fix = {",": "name it .csv", "\t": "name it .tsv"}.get(other, f"save it as {right}-separated {suffix[1:].upper()}")
    if mark == "," and other in ";|" and not file.endswith(".gz"):  # a spreadsheet of many languages writes nothing else
        name = shlex.quote(file)
        fix += f": {COMMAS.format(other=other)} < {name} > commas.csv && mv commas.csv {name}"
    message = f"the header is one field with {MARKS[other]}s in it: {header!r}; in a {suffix} file regraft reads {right}s"
    return Problem(message=message, file=file, row=row, value=header, rule="csv.delimiter", fix=fix)


def one_hot(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns that say a class each, by a 1 in exactly one of them; none where the rows do not look so, or too few are seen."""
    whole = [values for values in rows if len(values) == len(header)]
    says = [place for place, name in enumerate(header) if name.strip() and all(_is_truth(values[place]) for values in whole)]
    exact = all(sum(values[place].strip().casefold() in TRUE for place in says) == 1 for values in whole)
    return [header[place] for place in says] if len(whole) > 1 and len(says) > 1 and exact else []


def _is_truth(value: str) -> bool:
    return value.strip().casefold() in TRUE | FALSE


def _one_hot(classes: Sequence[str], file: str, row: int | None, label: str, mark: str | None) -> Problem:
    named = first_of([repr(name) for name in classes], 4)
    message = f"no column {label!r}; instead {named} are columns of 0 and 1, of which one is 1 in each row"
    return Problem(message=message, file=file, row=row, column=label, rule="header.one_hot", fix=of_one_hot(classes, file, label, mark))


def of_one_hot(classes: Sequence[str], file: str, label: str, mark: str | None) -> str:
    """How one-hot labels become a column of classes; a row that has none or several gets too few or too many fields."""
    if mark is None:
        return f"write one column {label!r} with the name of the class"
    between = "" if mark == "," else f", delimiter={mark!r}"
    names = json.dumps(list(classes), ensure_ascii=False)
    code = (
        f"import csv, sys; classes = {names}; rows = csv.DictReader(sys.stdin{between}); out = csv.writer(sys.stdout{between}); "
        f"rest = [name for name in rows.fieldnames if name not in classes]; out.writerow([*rest, {json.dumps(label)}]); "
        'true = ("1", "1.0", "true"); '
        "out.writerows([*map(row.get, rest), *(name for name in classes if row[name].strip().lower() in true)] for row in rows)"
    )
    name = shlex.quote(file)
    return f"write one column with the name of the class: python3 -c {shlex.quote(code)} < {name} > classes && mv classes {name}"


def _no_header(
    header: Sequence[str], file: str, row: int | None, required: Sequence[str], following: Following, mark: str | None
) -> Problem:
    """Not one of the columns is there: the header stands further down, is spelled otherwise, or is none."""
    columns, wanted = first_of([repr(name) for name in header], 12), ", ".join(map(repr, required))
    place = {"file": file, "row": row, "column": required[0], "rule": "header.required"}
    if (below := next((number for number, values in following if set(required) <= set(values)), None)) is not None:
        first, its = ("the first line", "line") if mark else (f"row {row}", "row")
        message = f"{first} is {columns}, and the header comes after it, in {its} {below}"
        return Problem(message=message, fix=_without_first(file, below, mark), **place)
    spelled = {name: other for name in required for other in header if other.strip().casefold() == name.casefold()}
    if len(spelled) == len(required):
        message = f"the header spells its columns {', '.join(map(repr, spelled.values()))}, and the pipeline file {wanted}"
        return Problem(message=message, fix="write the names in the header as `task` has them, or `task` as the header has them", **place)
    message = f"none of the columns {wanted} is in the header, which is {columns}"
    if _is_a_row(header, [values for _, values in following]):
        message += "; is the first line a row, and the header missing?"
    return Problem(message=message, fix="write a first line that names the columns, or name yours in `task` of the pipeline file", **place)


def _is_a_row(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether names look like values: words with blanks between them, a number, or what a row below has in the same place."""
    no_name = any(not re.fullmatch(r"[^\W\d][\w.:/-]*", name) for name in header if name.strip())
    return no_name or any(name == value for values in rows for name, value in zip(header, values, strict=False))


def _without_first(file: str, below: int, mark: str | None) -> str:
    """How the lines above a header go."""
    name = shlex.quote(file)
    if mark is None:
        return f"delete the {'row' if below == 2 else 'rows'} above row {below}, so that the header comes first"
    unpack, pack = ("gunzip -c {} | ", " | gzip") if file.endswith(".gz") else ("", "")
    return f"{unpack.format(name)}tail -n +{below} {'' if unpack else name}{pack} > headed && mv headed {name}".replace("  ", " ")


def warn_of_nameless(header: Sequence[str], file: str) -> None:
    """Say that columns without a name are left out: pandas' index, or the comma that ends a spreadsheet's lines."""
    if nameless := sum(not name.strip() for name in header):
        what = "a column without a name is" if nameless == 1 else f"{nameless} columns without a name are"
        warn_once(f"{file}: {what} left out")
