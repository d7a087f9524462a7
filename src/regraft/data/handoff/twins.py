"""Rows of a drop that repeat a text: one of the drop, or one that is there already.

Only rows whose text is new, or whose label is, are looked at; what was there before is not judged again. With the same label the row
brings nothing; with another one of the two is wrong, and nothing says which, so all such rows of the drop are set aside together.
A new test row that repeats a training row stays: test rows win, in the drop and against what is there, and the run leaves the training
row out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from regraft.core.quantities import first_of
from regraft.data.handoff.known import Hashes, Ints, Known
from regraft.data.rows import Fault
from regraft.data.split import PRIORITY, Split

SplitOf = Callable[[int], Split | None]
"""The split of the n-th of some rows; None: only a run knows."""


@dataclass(frozen=True)
class Fresh:
    """The rows of a drop that keep the contract and change something, by place in the order of reading."""

    row: Ints
    id: Sequence[str]
    alike: Hashes
    label: Ints
    new_text: np.ndarray
    """Whether the text is new; otherwise the label is."""


@dataclass
class Twins:
    """What was found."""

    faults: dict[int, tuple[Fault, ...]] = field(default_factory=dict)
    """Row of the drop -> why it is set aside."""
    winning: list[tuple[str, str]] = field(default_factory=list)
    """(held-out row of the drop, training row) with one text: the run trains on the second no more."""


@dataclass(frozen=True)
class _Twin:
    """A row that has the text already."""

    id: str
    split: Split | None
    where: str


def find(fresh: Fresh, known: Known, remain: np.ndarray, split_of: SplitOf, split_there: SplitOf, column: str) -> Twins:
    """Twins among ``fresh`` rows and between them and those that ``remain`` of the known ones as they are.

    :param split_of: of the n-th ``fresh`` row.
    :param split_there: of the n-th ``known`` row.
    :param column: holds the text.
    """
    twins = Twins()
    groups: defaultdict[int, list[int]] = defaultdict(list)
    _, inverse, sizes = np.unique(fresh.alike, return_inverse=True, return_counts=True)
    inside = sizes[inverse] > 1
    places = np.flatnonzero(remain)
    order = places[np.argsort(known.numbers.alike[places], kind="stable")]
    sorted_alike = known.numbers.alike[order]
    low, high = np.searchsorted(sorted_alike, fresh.alike, "left"), np.searchsorted(sorted_alike, fresh.alike, "right")
    for index in np.flatnonzero(inside | (high > low)).tolist():
        groups[int(fresh.alike[index])].append(index)
    for members in groups.values():
        there = order[low[members[0]] : high[members[0]]].tolist()
        if faults := _conflict(members, there, fresh, known, column):
            twins.faults |= faults
            continue
        first = [_Twin(str(known.ids[place]), split_there(place), ", which is there already") for place in there[:1]]
        _repeats(members, first, fresh, twins, split_of, column)
    return twins


def _conflict(members: list[int], there: list[int], fresh: Fresh, known: Known, column: str) -> dict[int, tuple[Fault, ...]]:
    """The faults of the rows of the drop that have one text, where that has several labels."""
    labels = {int(fresh.label[index]) for index in members} | {int(known.numbers.label[place]) for place in there}
    if len(labels) == 1:
        return {}
    rows = [(fresh.id[index], int(fresh.label[index]), "") for index in members]
    rows += [(str(known.ids[place]), int(known.numbers.label[place]), ", which is there already") for place in there]
    said = first_of([f"{key} ({known.labels.name(label)!r}{note})" for key, label, note in rows], 4)
    reason = f"the same text has different labels, and one of them has to be settled on: {said}"
    return {int(fresh.row[index]): (Fault(f"{column}.conflict", column, None, reason),) for index in members}


def _repeats(members: list[int], there: list[_Twin], fresh: Fresh, twins: Twins, split_of: SplitOf, column: str) -> None:
    """The rows of the drop that have one text and one label; of them that stays which is held out first."""
    splits = {index: split_of(index) for index in members}
    first: list[_Twin] = []
    for index in sorted(members, key=lambda index: (bool(fresh.new_text[index]), PRIORITY.index(splits[index] or PRIORITY[-1]))):
        key, own, fault = fresh.id[index], splits[index], None
        for twin in [*there, *first] if fresh.new_text[index] else ():
            if own and twin.split and PRIORITY.index(own) < PRIORITY.index(twin.split):
                twins.winning.append((key, twin.id))
            else:
                fault = _fault(own, twin, column)
                break
        if fault is not None:
            twins.faults[int(fresh.row[index])] = (fault,)
        else:
            first = first or [_Twin(key, own, " of this drop")]


def _fault(own: Split | None, twin: _Twin, column: str) -> Fault:
    if own is None or twin.split in (None, own):
        return Fault(f"{column}.duplicate", column, None, f"repeats the row {twin.id}{twin.where}")
    reason = f"repeats the {twin.split} row {twin.id}{twin.where}; it would be a {own} row, and the {twin.split} row wins"
    return Fault(f"{column}.contamination", column, None, reason)
