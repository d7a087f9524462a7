"""Parts of the test rows, and whether a model is worse on one of them than the average shows.

A slice is a value of a column: one that the data has, or one discovered in the text. On each, the candidate's accuracy
is compared with another model's on the same rows. All slices of a gate are one family: Holm's correction keeps the
probability that any of them is wrongly called worse, or wrongly called good enough, below 1 - confidence, however
many there are and however they overlap. A slice's interval is the one at its level of that correction, so it
excludes the margin exactly where the slice is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats.measured import Measured, Outcome, rounded
from regraft.evaluation.stats.paired import Mask, Paired, only
from regraft.evaluation.stats.power import detectable, disagreement_error, more_rows, quantile
from regraft.evaluation.stats.proportions import holm, tango, tango_interval, two_sided

MISSING = "(missing)"
"""The value of rows that have none."""


@dataclass(frozen=True)
class SliceTable:
    """What test rows are sliced by: parallel to ``ids``; None is a missing value."""

    ids: Sequence[str]
    columns: Mapping[str, Sequence[str | None]]

    def only(self, rows: Collection[str]) -> SliceTable:
        """The same of ``rows`` alone."""
        keep = [position for position, row in enumerate(self.ids) if row in rows]
        columns = {name: [values[position] for position in keep] for name, values in self.columns.items()}
        return SliceTable([self.ids[position] for position in keep], columns)


@dataclass(frozen=True)
class Slice:
    """One value of one column, and which of the n rows have it."""

    column: str
    value: str
    rows: Mask

    @property
    def n(self) -> int:
        return int(self.rows.sum())


@dataclass(frozen=True)
class SliceResult:
    """The paired comparison on one slice: candidate minus the other model, in accuracy."""

    column: str
    value: str
    n: int
    gained: int
    """Rows that only the candidate gets right."""
    lost: int
    """Rows that only the other one gets right."""
    measured: Measured
    """Difference, interval at the slice's level, minus the margin."""
    outcome: Outcome
    more_rows: int | None
    """About how many more rows would decide it with 80 % power; 0 where it is decided, None where no sensible number does."""


def members(paired: Paired, table: SliceTable, columns: Sequence[str]) -> Iterator[Slice]:
    """Every slice of ``columns``, by column and value. EnvironmentFault when the table is about other rows or lacks a column."""
    place = {row: position for position, row in enumerate(table.ids)}
    if len(place) != len(paired.ids) or set(place) != set(paired.ids):
        raise EnvironmentFault(f"the slices are those of {len(place):,} rows, the predictions of {len(paired.ids):,}; they do not match")
    order = [place[row] for row in paired.ids]
    for column in columns:
        if column not in table.columns:
            existing = ", ".join(table.columns)
            raise EnvironmentFault(f"the test rows have no column {column!r} to slice by; they have {existing}")
        values = np.array([MISSING if (value := table.columns[column][i]) is None else value for i in order], dtype=object)
        for value in sorted(set(values.tolist())):
            yield Slice(column, value, values == value)


def split_by_size(slices: Sequence[Slice], min_rows: int) -> tuple[list[Slice], list[Slice]]:
    """(those with at least ``min_rows`` rows, smaller ones)."""
    return [s for s in slices if s.n >= min_rows], [s for s in slices if s.n < min_rows]


def compare(slices: Sequence[Slice], now: Mask, before: Mask, *, margin: float, confidence: float, power: float) -> list[SliceResult]:
    """Three-way non-inferiority on each of ``slices``, which are one family.

    ``now`` and ``before``: [n] which rows the candidate and the other model get right.
    """
    if not slices:
        return []
    n = np.array([s.n for s in slices])
    gained = np.array([int((s.rows & only(now, before)).sum()) for s in slices])
    lost = np.array([int((s.rows & only(before, now)).sum()) for s in slices])
    levels = holm(two_sided(tango(gained, lost, n, -margin)), 1 - confidence).levels
    low, high = tango_interval(gained, lost, n, [quantile(1 - level) for level in levels.tolist()])
    results = []
    for i, part in enumerate(slices):
        size, up, down, slice_confidence = int(n[i]), int(gained[i]), int(lost[i]), 1 - float(levels[i])
        effect = detectable(disagreement_error(up, down, size), slice_confidence, power)
        difference = (up - down) / size
        measured = Measured(
            rounded(difference), rounded(low[i]), rounded(high[i]), rounded(-margin), rounded(slice_confidence), power, rounded(effect)
        )
        outcome = measured.outcome()
        needed = more_rows(size, difference + margin, effect) if outcome == "inconclusive" else 0
        results.append(SliceResult(part.column, part.value, size, up, down, measured, outcome, needed))
    return results


def decisive(results: Sequence[SliceResult]) -> SliceResult:
    """The one that settles a gate: a failed one before an open one before a passed one, and of those the worst."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    return min(results, key=lambda r: (order[r.outcome], r.measured.value, r.column, r.value))
