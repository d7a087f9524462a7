"""Rows that a stray quote swallowed: a quoted field that goes on for lines, each of which looks like a row of its own.

A text that begins with a lone ``"`` opens a quoted field, which ends at the next quote at the end of a value, perhaps forty
rows below. What was read then has the right number of fields, so nobody notices. A text of several lines is
legitimate, and its lines seldom look like the file's rows: as many fields, an id of the same shape, a label that occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regraft.core.errors import Problem

SAMPLE = 5_000
"""Rows whose values show what a row of the file looks like."""
FEWEST = 5
"""Of fewer rows nothing is learned; then three lines with the right number of fields are enough to refuse."""
KINDS = 50
"""A column with at most so many values or shapes in the sample tells a row from a line of text."""
SUSPECTS = 100
"""Records that are remembered until the file was read."""
RUN = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class _Suspect:
    opened: int
    """Line on which the record begins."""
    lines: tuple[tuple[str, ...], ...]
    """Fields of those of its lines that have as many as the header."""
    count: int
    """How many lines it has."""


class Swallowing:
    """Looks at the records of one file as they are read."""

    def __init__(self, header: Sequence[str], mark: str) -> None:
        self._width, self._mark = len(header), mark
        self._rows = 0
        self._values: list[set[str]] = [set() for _ in header]
        self._shapes: list[set[str]] = [set() for _ in header]
        self._suspects: list[_Suspect] = []

    def row(self, fields: Sequence[str]) -> None:
        """Learn from one row what rows look like."""
        if self._rows == SAMPLE:
            return
        self._rows += 1
        for values, shapes, field in zip(self._values, self._shapes, fields, strict=True):
            if len(values) <= KINDS:
                values.add(field)
            if len(shapes) <= KINDS:
                shapes.add(_shape(field))

    def record(self, opened: int, lines: Sequence[str]) -> None:
        """Look at a record that goes over several ``lines``, of which the first is number ``opened``."""
        split = [tuple(line.rstrip("\r\n").split(self._mark)) for line in lines]
        alike = tuple(fields for fields in split if len(fields) == self._width)
        if len(alike) >= 2 and 2 * len(alike) >= len(lines) and len(self._suspects) < SUSPECTS:
            self._suspects.append(_Suspect(opened, alike, len(lines)))

    def problems(self, file: str) -> Iterator[Problem]:
        """The records that hold rows, once all of ``file`` was read."""
        for suspect in self._suspects:
            rows = sum(map(self._is_row, suspect.lines)) if self._rows >= FEWEST and any(self._telling()) else len(suspect.lines) - 1
            if rows >= 2 and 2 * rows >= suspect.count:
                last = suspect.opened + suspect.count - 1
                message = f"a quote that opens here takes in all up to line {last}, and those {suspect.count} lines look like rows"
                fix = f"take the quote in line {suspect.opened} out, or double it; lines that do belong to one text are safe in .jsonl"
                yield Problem(message=message, file=file, row=suspect.opened, rule="csv.swallowed", fix=fix)

    def _telling(self) -> list[bool]:
        return [len(values) <= KINDS or len(shapes) <= KINDS for values, shapes in zip(self._values, self._shapes, strict=True)]

    def _is_row(self, fields: Sequence[str]) -> bool:
        """Whether every telling column has a value, or a value of a shape, that it has in other rows."""
        return all(self._fits(column, field.strip('"')) for column, field in enumerate(fields) if self._telling()[column])

    def _fits(self, column: int, field: str) -> bool:
        values = self._values[column]
        # In a small file ids are few too: there the shape of one decides.
        categorical = len(values) <= KINDS and 2 * len(values) <= self._rows
        return field in values if categorical else _shape(field) in self._shapes[column]


def _shape(field: str) -> str:
    """``garden-007`` and ``kitchen-12`` are ``w-0``."""
    return RUN.sub(lambda run: "0" if run[0].isdigit() else "w", field)
