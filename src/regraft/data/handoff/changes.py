"""What differs between two sets of rows, row by row: added, removed, text edited, relabelled, other columns changed.

Rows are the same row where they have the same id. One whose text and label both changed is edited and relabelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from regraft.core.controls import written_out
from regraft.core.errors import ConfigError
from regraft.core.quantities import counted
from regraft.core.suggest import unknown
from regraft.data.handoff.known import Ints, Known, Numbers, in_pieces, numbers, text_of
from regraft.data.options import TaskOptions
from regraft.data.rows import Row

Bools = npt.NDArray[np.bool_]
KINDS = ("added", "removed", "edited", "relabelled", "other")
VERBS = {
    "added": "added",
    "removed": "removed",
    "edited": "with another text",
    "relabelled": "with another label",
    "other": "with other columns",
}
LISTED = 1_000
"""Changed rows of each kind that are listed one by one; all are counted."""


@dataclass(frozen=True)
class Change:
    """One row that differs."""

    id: str
    kinds: tuple[str, ...]
    before: Mapping[str, str | None] | None
    """text and label; None: the row was not there."""
    after: Mapping[str, str | None] | None
    """text and label; None: the row is gone."""


@dataclass
class Diff:
    """What differs, counted, and the first rows of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    relabelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(from, to) -> rows."""
    by_label: dict[str, Counter[str]] = field(default_factory=dict)
    """Label (after, or before where the row is gone) -> kind -> rows."""
    by: str | None = None
    """A column by whose values rows are counted as well; None: by none."""
    by_value: dict[str, Counter[str]] = field(default_factory=dict)
    """Value of that column (after, or before where the row is gone; empty: it has none) -> kind -> rows."""
    rows: list[Change] = field(default_factory=list)
    differing: int = 0
    """Rows that differ, each counted once."""
    labels_before: Counter[str] = field(default_factory=Counter)
    labels_after: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    """before and after -> characters of the shortest, the middle, the 95th of 100 and the longest text."""

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def totals(self) -> dict[str, int]:
        """Rows of each kind."""
        return {kind: self.counts[kind] for kind in KINDS}

    def count(self, kinds: Sequence[str], before: str | None, after: str | None) -> bool:
        """Count one row with these labels; whether it is among the first of one of its kinds."""
        self.differing += 1
        of_label = self.by_label.setdefault(str(after if after is not None else before), Counter())
        for kind in kinds:
            self.counts[kind] += 1
            of_label[kind] += 1
        if "relabelled" in kinds:
            self.relabelled[str(before), str(after)] += 1
        return any(self.counts[kind] <= LISTED for kind in kinds)

    def count_value(self, kinds: Sequence[str], text: str | None) -> None:
        """Count one row that has ``text`` in the column :attr:`by`."""
        of_value = self.by_value.setdefault("" if text is None else text, Counter())
        for kind in kinds:
            of_value[kind] += 1

    def sentence(self) -> str:
        """The change in words, as a commit message has it."""
        parts = [f"{self.counts[kind]:,} {VERBS[kind]}" for kind in KINDS if self.counts[kind]]
        if not parts:
            return "no row differs"
        first, *rest = parts
        number, _, verb = first.partition(" ")
        return ", ".join([f"{counted(int(number.replace(',', '')), 'row')} {verb}", *rest])

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.totals(),
            "relabellings": [{"from": old, "to": new, "rows": count} for (old, new), count in self.relabelled.most_common()],
            "by_label": _counted(self.by_label),
            **({} if self.by is None else {"by": self.by, "by_value": _counted(self.by_value)}),
            "labels": {"before": dict(sorted(self.labels_before.items())), "after": dict(sorted(self.labels_after.items()))},
            "lengths": self.lengths,
            "rows": [asdict(change) for change in self.rows],
        }


def _counted(groups: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {name: {kind: counts[kind] for kind in KINDS} for name, counts in sorted(groups.items())}


@dataclass(frozen=True)
class Compared:
    """How each of some rows relates to those that are known; -1: its id is new."""

    position: Ints
    numbers: Numbers
    edited: Bools
    relabelled: Bools
    other: Bools

    @property
    def added(self) -> Bools:
        return np.asarray(self.position < 0)

    def kinds(self, index: int) -> tuple[str, ...]:
        """How one row differs; nothing: it does not."""
        if self.position[index] < 0:
            return ("added",)
        return tuple(
            kind for kind, mask in (("edited", self.edited), ("relabelled", self.relabelled), ("other", self.other)) if mask[index]
        )


def compared(values: Sequence[dict[str, str | None]], known: Known) -> Compared:
    """Rows, given as their values, beside those that are ``known``."""
    task, now = known.task, numbers(values, known.task, known.labels)
    position = np.array([known.position.get(key, -1) if (key := row.get(task.id_column)) is not None else -1 for row in values], np.int64)
    there, at = position >= 0, np.maximum(position, 0)
    if not len(known):
        no = np.zeros(len(values), np.bool_)
        return Compared(position, now, no, no, no)
    before = known.numbers
    return Compared(
        position,
        now,
        there & (before.text[at] != now.text),
        there & (before.label[at] != now.label),
        there & (before.rest[at] != now.rest),
    )


def diff(before: Callable[[], Iterable[Row]], after: Callable[[], Iterable[Row]], task: TaskOptions, by: str | None = None) -> Diff:
    """What differs between two sets of rows; ``before`` is read twice.

    :param by: a column by whose values changed rows are counted besides.
    :raises ConfigError: no row has that column.
    """
    column = _Column(by)
    known = Known.of(column.noted(before()), task)
    result, seen = Diff(labels_before=known.by_label(), by=by), np.zeros(len(known), np.bool_)
    lengths = [np.empty(0, np.int64)]
    listed: dict[str, tuple[tuple[str, ...], dict[str, str | None]]] = {}
    for piece in in_pieces(column.looked_for(after())):
        relation = compared([row.values for row in piece], known)
        seen[relation.position[relation.position >= 0]] = True
        lengths.append(relation.numbers.length)
        for code, count in zip(*map(np.ndarray.tolist, np.unique(relation.numbers.label, return_counts=True)), strict=True):
            if (name := known.labels.name(code)) is not None:
                result.labels_after[name] += count
        changed = relation.added | relation.edited | relation.relabelled | relation.other
        for index in np.flatnonzero(changed).tolist():
            values, place = piece[index].values, int(relation.position[index])
            key, kinds = values.get(task.id_column), relation.kinds(index)
            old = known.labels.name(int(known.numbers.label[place])) if place >= 0 else None
            if result.count(kinds, old, values.get(task.label)) and key is not None:
                listed[key] = (kinds, shown(values, task))
            if by is not None:
                result.count_value(kinds, values.get(by))
    gone = [known.ids[place] for place in np.flatnonzero(~seen).tolist() if known.position.get(known.ids[place] or "") == place]
    for key in gone:
        place = known.position[str(key)]
        if result.count(("removed",), known.labels.name(int(known.numbers.label[place])), None):
            listed[str(key)] = (("removed",), {})
        if by is not None:
            result.count_value(("removed",), column.values[place])
    column.require_there()
    result.lengths = {"before": quantiles(known.numbers.length), "after": quantiles(np.concatenate(lengths))}
    result.rows = list(_with_before(listed, before(), task))
    return result


class _Column:
    """What rows have in one column; with no name nothing is kept of it."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.values: list[str | None] = []
        """By row, of those that were there before."""
        self._names: dict[str, None] = {}

    def noted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """``rows``, whose values are kept as they pass."""
        for row in self.looked_for(rows):
            if self.name is not None:
                self.values.append(row.values.get(self.name))
            yield row

    def looked_for(self, rows: Iterable[Row]) -> Iterator[Row]:
        """``rows``, whose columns are known once they have passed."""
        for row in rows:
            if self.name is not None and self.name not in self._names:
                self._names |= dict.fromkeys(row.values)
            yield row

    def require_there(self) -> None:
        """ConfigError where no row had it."""
        if self.name is not None and self.name not in self._names:
            raise ConfigError(f"--by {self.name}: {unknown('column', self.name, self._names)}", fix="--by one of these")


def quantiles(lengths: Ints) -> list[int]:
    """Characters of the shortest, the middle, the 95th of 100 and the longest text; nothing of none."""
    return [int(value) for value in np.quantile(lengths, [0, 0.5, 0.95, 1], method="lower")] if len(lengths) else []


def _with_before(
    listed: Mapping[str, tuple[tuple[str, ...], dict[str, str | None]]], rows: Iterable[Row], task: TaskOptions
) -> Iterator[Change]:
    """The listed rows as changes, by kind and id; what they were is looked up in ``rows``."""
    old: dict[str, dict[str, str | None]] = {}
    for row in rows:
        if (key := row.values.get(task.id_column)) in listed and key is not None:
            old.setdefault(key, shown(row.values, task))
    for key, (kinds, now) in sorted(listed.items(), key=lambda item: (KINDS.index(item[1][0][0]), item[0])):
        yield Change(key, kinds, old.get(key), now or None)


def shown(values: Mapping[str, str | None], task: TaskOptions) -> dict[str, str | None]:
    """Of a row, what people look at."""
    text = text_of(dict(values), task)
    return {"text": None if text is None else text.replace("\x1f", " \u241e "), "label": values.get(task.label)}


def markdown(result: Diff, before: str, after: str) -> str:
    """For a pull request."""
    lines = [f"### Rows: {before} → {after}", "", result.sentence() + ".", ""]
    if not result:
        return "\n".join(lines)
    lines += _groups("label", result.by_label)
    if result.by is not None:
        lines += ["", *_groups(result.by, result.by_value)]
    if result.relabelled:
        lines += ["", "| from | to | rows |", "|---|---|--:|"]
        lines += [f"| {_cell(old)} | {_cell(new)} | {count:,} |" for (old, new), count in result.relabelled.most_common()]
    lines += ["", "| id | change | before | after |", "|---|---|---|---|"]
    for change in result.rows[:50]:
        sides = [f"{_cell(side['text'])} `{_cell(side['label'])}`" if side else "" for side in (change.before, change.after)]
        lines.append(f"| {_cell(change.id)} | {', '.join(change.kinds)} | {sides[0]} | {sides[1]} |")
    if len(result.rows) > 50:
        lines.append(f"\nand {len(result.rows) - 50:,} more")
    return "\n".join(lines) + "\n"


def _groups(name: str, groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    head = [f"| {_cell(name)} | added | removed | edited | relabelled | other |", "|---|--:|--:|--:|--:|--:|"]
    rows = (f"| {_cell(value)} | " + " | ".join(f"{counts[kind]:,}" for kind in KINDS) + " |" for value, counts in sorted(groups.items()))
    return [*head, *rows]


def _cell(text: str | None) -> str:
    short = written_out(" ".join((text or "").split()))
    short = short if len(short) <= 120 else short[:119] + "…"
    return short.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
