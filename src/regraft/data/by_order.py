"""Splits by a column that orders the rows, such as a date: what is newest tests, what comes before it is for dev, the past is trained on.

A model is used on what comes after its training, so that is what a test should be (Søgaard et al. 2021, "We Need to Talk About
Random Splits", EACL). The shares say where the two borders are, and the borders are values of the column: rows with equal values
are never torn apart, and a border moves only when newer rows arrive. Then the oldest test rows become dev and training rows.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from regraft.core.errors import Problem
from regraft.core.quantities import counted, first_of
from regraft.data.split import Split

Kind = Literal["numbers", "dates"]
Key = int | float
_INTEGER, _NUMBER = re.compile(r"[+-]?\d{1,18}"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MONTH = re.compile(r"\d{4}-\d\d")
FAR = 1.5
"""A share of test rows that differs from the one asked for by this factor, because many rows have equal values, is said."""


@dataclass(frozen=True)
class Order:
    """Where the borders are."""

    column: str
    kind: Kind
    dev_from: str | None
    """The least value of the dev rows, as it stands in the data; None: there are none."""
    test_from: str
    """The least value of the test rows."""
    rows: int
    test_rows: int

    def split(self, value: str) -> Split:
        """The split of a row with ``value`` in the column. ValueError where it is none of this kind."""
        key = key_of(value, self.kind)
        if key >= key_of(self.test_from, self.kind):
            return "test"
        return "dev" if self.dev_from is not None and key >= key_of(self.dev_from, self.kind) else "train"

    def places(self, value: str) -> bool:
        """Whether ``value`` is of the kind that the others are."""
        return _is(value, self.kind)

    def document(self) -> dict[str, str | None]:
        """What is kept of it beside the counts of rows."""
        return {"column": self.column, "dev_from": self.dev_from, "test_from": self.test_from}

    def uneven(self, test: float) -> str | None:
        """That equal values made the test rows many more, or fewer, than the share ``test``; None where they did not."""
        share = self.test_rows / self.rows
        if test / FAR <= share <= test * FAR:
            return None
        asked = f"split.by: {share:.0%} of the rows test, and split.test asks for {test:.0%}".replace("%", " %")
        return f"{asked}: many rows have the same {self.column}, and those from {self.test_from} on stay together"


def key_of(value: str, kind: Kind) -> Key:
    """``value`` as a number that orders it: itself, or microseconds since 1970 in UTC. ValueError where it is none of ``kind``."""
    bare = value.strip()
    if kind == "numbers":
        if _INTEGER.fullmatch(bare):
            return int(bare)
        if _NUMBER.fullmatch(bare):
            return float(bare)
        raise ValueError(value)
    when = datetime.fromisoformat(f"{bare}-01" if _MONTH.fullmatch(bare) else bare)
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return int((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def order(values: Iterable[str], column: str, *, test: float, dev: float) -> Order | Problem:
    """The borders at which ``test`` and ``dev`` of the rows are held out; or why ``values``, one a row, do not order them."""
    said = list(values)
    kind: Kind = "numbers" if all(_is(value, "numbers") for value in said) else "dates"
    if strange := [value for value in said if not _is(value, kind)]:
        return _unordered(column, strange, len(said))
    if kind == "dates" and (mixed := _mixed(said)):
        return _problem(column, *mixed)
    keyed = sorted(((key_of(value, kind), value) for value in said), key=lambda pair: pair[0])
    newest = len(keyed) - max(1, round(test * len(keyed)))
    first_test = _first(keyed, keyed[newest][0])
    if first_test == 0:
        what = f"{counted(len(keyed), 'row')} have {column} {keyed[0][1]!r} or are held out with it: there is no past to train on"
        return _problem(column, what, "name a column whose values tell older rows from newer ones, or leave split.by out")
    border = max(0, first_test - round(dev * len(keyed)))
    first_dev = _first(keyed, keyed[border][0]) if border < first_test else first_test
    if first_dev == 0:
        first_dev = next((place for place in range(first_test) if keyed[place][0] > keyed[0][0]), first_test)
    dev_from = keyed[first_dev][1] if first_dev < first_test else None
    return Order(column, kind, dev_from, keyed[first_test][1], len(keyed), len(keyed) - first_test)


def _first(keyed: list[tuple[Key, str]], key: Key) -> int:
    """The first place that has ``key``."""
    return bisect_left(keyed, key, key=lambda pair: pair[0])


def _is(value: str, kind: Kind) -> bool:
    try:
        key_of(value, kind)
    except ValueError:
        return False
    return True


def _mixed(values: list[str]) -> tuple[str, str] | None:
    """Dates of which some say how far they are from UTC and others do not."""
    aware = [value for value in values if _aware(value)]
    if not aware or len(aware) == len(values):
        return None
    bare = next(value for value in values if not _aware(value))
    if all(":" not in value for value in values if not _aware(value)):
        return None  # days beside timestamps: a day begins at midnight UTC
    says = "says its" if len(aware) == 1 else "say their"
    what = f"{counted(len(aware), 'value')} {says} distance from UTC, such as {aware[0]!r}, and others do not, such as {bare!r}"
    return what, "write all of them with an offset, or none"


def _aware(value: str) -> bool:
    bare = value.strip()
    return not _MONTH.fullmatch(bare) and datetime.fromisoformat(bare).tzinfo is not None


def _unordered(column: str, strange: list[str], count: int) -> Problem:
    """Values that are neither numbers nor dates as ISO 8601 writes them: sorted as text, 9 comes after 10 and 31.12. after 1.1."""
    shown = first_of([repr(value[:40]) for value in dict.fromkeys(strange)])
    what = f"{len(strange):,} of {counted(count, 'value')} are neither numbers nor dates like 2026-03-31, such as {shown}"
    why = "; sorted as text they would not be in order" if len(strange) == count else ""
    return _problem(
        column,
        what + why,
        "write whole numbers, or dates and times as ISO 8601 does (2026-03-31, 2026-03-31T14:05:00+00:00)",
        value=strange[0],
    )


def _problem(column: str, what: str, fix: str, **more: str) -> Problem:
    return Problem(message=f"split.by: {what}", column=column, rule=f"{column}.order", fix=fix, **more)


def sentence(document: Mapping[str, str | None]) -> str:
    """Where the borders are that :meth:`Order.document` holds, in words, and what becomes of them; before they are drawn, who tests."""
    if document["test_from"] is None:
        return f"split by {document['column']}: the newest rows test, the past is trained on; the step contract says where the borders are"
    dev = f", dev rows {document['dev_from']}" if document["dev_from"] is not None else ""
    moves = "newer rows move the borders, and what tested before is trained on"
    return f"split by {document['column']}: test rows begin with {document['test_from']}{dev}; {moves}"


def flat(chunks: Iterable[list[list[str]]]) -> Iterator[str]:
    """The values of one column that comes in chunks."""
    for (values,) in chunks:
        yield from values
