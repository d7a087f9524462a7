"""Rows of a drop that nearly repeat a row: of the drop, or of those that are there.

They are taken in, and said: a run leaves the lesser one of two such rows out (test beats dev beats train), and where their labels differ
one of them may be wrong. Alike is what is alike to a run (:mod:`regraft.data.dedup`), so what is said here is what happens there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regraft.core.quantities import counted, first_of
from regraft.data.dedup import find_duplicates
from regraft.data.handoff.changes import Bools
from regraft.data.handoff.known import alike, text_of
from regraft.data.options import TaskOptions
from regraft.data.pairs import MARK
from regraft.data.split import PRIORITY, Split
from regraft.data.spool import Spool

Values = Mapping[str, str | None]
SplitOf = Callable[[Values], Split | None]
R = TypeVar("R")


class Texts:
    """The texts of some rows as they are compared, on disk, with id, label and split."""

    def __init__(self, task: TaskOptions, split_of: SplitOf, folder: Path) -> None:
        self._task, self._split_of, self._spool = task, split_of, Spool(folder)
        self.labels: list[str | None] = []
        self.splits: list[Split | None] = []

    def add(self, values: Values) -> None:
        """Note one row."""
        text = (text_of(dict(values), self._task) or "").replace("\x1f", f" {MARK} ")
        # A lone surrogate has no bytes; a row that is there may have one.
        clean = alike(text).encode("utf8", "replace").decode()
        self._spool.append((values.get(self._task.id_column) or "").encode("utf8", "replace").decode(), clean)
        self.labels.append(values.get(self._task.label))
        self.splits.append(self._split_of(values))

    def noted(self, rows: Iterable[R], values: Callable[[R], Values]) -> Iterator[R]:
        """``rows``, each of which is noted as it passes."""
        for row in rows:
            self.add(values(row))
            yield row
        self._spool.flush()

    def __len__(self) -> int:
        return len(self._spool)

    def id(self, number: int) -> str:
        """The id of a row."""
        return self._spool[number][0]

    def text(self, number: int) -> str:
        """The text of a row as it is compared; empty: it has none."""
        return self._spool[number][1]

    def by_split(self, numbers: Iterable[int]) -> list[int]:
        """Rows in the order in which a run lets them stay."""
        return sorted(numbers, key=lambda number: PRIORITY.index(self.splits[number] or "train"))


@dataclass(frozen=True)
class Similar:
    """A row of a drop and the one that it nearly repeats."""

    id: str
    label: str | None
    split: Split | None
    of: str
    of_label: str | None
    of_split: Split | None
    there: bool
    """Whether the other one is there already."""
    similarity: float

    @property
    def disagree(self) -> bool:
        """Whether both have a label, and another one."""
        return None not in (self.label, self.of_label) and self.label != self.of_label

    @property
    def shown(self) -> str:
        """For a message."""
        return f"{self.id} ({self.of}, {100 * self.similarity:.0f} %)"


class _InOrder(Sequence[str]):
    def __init__(self, parts: Sequence[tuple[Texts, int]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number):  # type: ignore[no-untyped-def] # slices are not asked for
        texts, place = self._parts[number]
        return texts.text(place)


def find(fresh: Texts, known: Texts, remain: Bools, threshold: float, seed: int, folder: Path, *, pairs: bool) -> list[Similar]:
    """The ``fresh`` rows that nearly repeat one another or a row of those that ``remain`` of the ``known``."""
    places = known.by_split(place for place in range(len(known)) if remain[place] and known.text(place))
    order = [*((known, place) for place in places), *((fresh, place) for place in fresh.by_split(range(len(fresh))))]
    found = []
    for number, twin in enumerate(find_duplicates(_InOrder(order), threshold, seed, folder, pairs=pairs)):
        if twin is None or number < len(places):
            continue
        (of, there), (other, at) = order[number], order[twin.index]
        found.append(
            Similar(
                of.id(there), of.labels[there], of.splits[there], other.id(at), other.labels[at], other.splits[at],
                other is known, twin.similarity,
            )
        )  # fmt: skip
    return found


def sentences(similar: Sequence[Similar]) -> Iterator[str]:
    """What is said of them, one sentence a kind."""
    tests: list[Similar] = []
    winning: list[Similar] = []
    rest: list[Similar] = []
    for pair in similar:
        kind = tests if _lower(pair.split, pair.of_split) else winning if _lower(pair.of_split, pair.split) else rest
        kind.append(pair)
    other_label = [pair for pair in similar if pair.disagree]
    if tests:
        are = "nearly repeats a row that is held out" if len(tests) == 1 else "nearly repeat rows that are held out"
        yield f"{counted(len(tests), 'row')} {are}, so runs leave {_it(tests)} out of training: {_first(tests)}"
    if winning:
        are = "nearly repeats a training row" if len(winning) == 1 else "nearly repeat training rows"
        yield f"{counted(len(winning), 'held-out row')} {are}, which runs leave out from now on: {_first(winning)}"
    if rest:
        are = "nearly repeats another" if len(rest) == 1 else "nearly repeat others"
        yield f"{counted(len(rest), 'row')} {are}, and runs keep the first of them: {_first(rest)}"
    if other_label:
        are = "nearly repeats a row" if len(other_label) == 1 else "nearly repeat rows"
        shown = first_of([f"{pair.id} {pair.label!r} ({pair.of} {pair.of_label!r})" for pair in other_label])
        yield f"{counted(len(other_label), 'row')} {are} with another label, and one of the two may be wrong: {shown}"


def _lower(one: Split | None, other: Split | None) -> bool:
    return one is not None and other is not None and PRIORITY.index(one) > PRIORITY.index(other)


def _it(pairs: Sequence[Similar]) -> str:
    return "it" if len(pairs) == 1 else "them"


def _first(pairs: Sequence[Similar]) -> str:
    return first_of([pair.shown for pair in pairs])
