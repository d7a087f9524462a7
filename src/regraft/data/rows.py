"""A row as it was read, and what may be wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


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


def encodable(text: str) -> bool:
    """Whether ``text`` has bytes in UTF-8; a lone surrogate, half a character of UTF-16, has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
