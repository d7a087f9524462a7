"""Rows of a drop that repeat a text: one of the drop, or one that is there already.

Only rows whose text is new, or whose label is, are looked at; what was there before is not judged again. With the same label the row
brings nothing; with another one of the two is wrong, and nothing says which, so all such rows of the drop are set aside together.
A new test row that repeats a training row stays: test rows win, and the run leaves the training row out.
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

SplitOf = Callable[[str], Split | None]


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
    """(test row of the drop, training row that is there) with one text: the run trains on the second no more."""


def find(fresh: Fresh, known: Known, remain: np.ndarray, split_of: SplitOf, column: str) -> Twins:
    """Twins among ``fresh`` rows and between them and those that ``remain`` of the known ones as they are; ``column`` holds the text."""
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
        _judge(members, there, fresh, known, twins, split_of, column)
    return twins


def _judge(members: list[int], there: list[int], fresh: Fresh, known: Known, twins: Twins, split_of: SplitOf, column: str) -> None:
    """One text: the rows of the drop that have it, and those that are there."""
    labels = {int(fresh.label[index]) for index in members} | {int(known.numbers.label[place]) for place in there}
    if len(labels) > 1:
        rows = [(fresh.id[index], int(fresh.label[index]), "") for index in members]
        rows += [(str(known.ids[place]), int(known.numbers.label[place]), ", which is there already") for place in there]
        said = first_of([f"{key} ({known.labels.name(label)!r}{note})" for key, label, note in rows], 4)
        for index in members:
            reason = f"the same text has different labels, and one of them has to be settled on: {said}"
            twins.faults[int(fresh.row[index])] = (Fault(f"{column}.conflict", column, None, reason),)
        return
    first: str | None = None
    for index in members:
        if not fresh.new_text[index]:
            first = first or fresh.id[index]
            continue
        own, fault = split_of(fresh.id[index]), None
        for place in there[:1]:
            key = str(known.ids[place])
            other = split_of(key)
            if own and other and PRIORITY.index(own) < PRIORITY.index(other):
                twins.winning.append((fresh.id[index], key))
            elif own and other and own != other:
                fault = Fault(
                    f"{column}.contamination",
                    column,
                    None,
                    f"repeats the {other} row {key}; it would be a {own} row, and the {other} row wins",
                )
            else:
                fault = Fault(f"{column}.duplicate", column, None, f"repeats the row {key}, which is there already")
        if fault is None and first is not None:
            fault = Fault(f"{column}.duplicate", column, None, f"repeats the row {first} of this drop")
        if fault is not None:
            twins.faults[int(fresh.row[index])] = (fault,)
        else:
            first = fresh.id[index]
