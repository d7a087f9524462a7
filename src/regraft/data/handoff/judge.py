"""A drop, judged: which of its rows are taken in, which are set aside and why, and what changes.

The order is: the contract row by row, then rows that repeat one another or what is there, then the drop as a whole. A row that is set
aside changes nothing: the row of that id stays as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from regraft.core.errors import ConfigError, Problem
from regraft.core.quantities import counted, first_of
from regraft.data.contract import Contract
from regraft.data.contract_file import DropQuality, DropRule
from regraft.data.expectations import Tokens, quote
from regraft.data.handoff import twins
from regraft.data.handoff.changes import Bools, Compared, Diff, compared, quantiles
from regraft.data.handoff.known import Ints, Known
from regraft.data.handoff.similar import SplitOf
from regraft.data.handoff.twins import Fresh
from regraft.data.options import TaskOptions
from regraft.data.rows import Row
from regraft.data.split import Split
from regraft.data.validation import SHAPE, Validated, validate, value

Mode = Literal["auto", "add", "replace"]
BUDGET = 0.1
"""A larger share of rows set aside refuses the drop: then an export is broken, not a row."""
WHOLE, PART = 0.9, 0.1
"""A drop that has so many of the rows that are there is the whole anew; one that has fewer than the second adds to them."""
SHIFT = 0.1
"""A label whose share changes by more is worth a word."""


def percent(share: float) -> str:
    """``20 %``."""
    return f"{100 * share:.0f} %"


@dataclass
class Judged:
    """What becomes of a drop."""

    validated: Validated
    whole: bool
    """Whether the drop is the whole data anew: rows that it lacks go."""
    changed: list[Bools]
    """Rows that are taken in and change something, a mask for every chunk of the store."""
    relations: list[Compared]
    gone: Ints
    """Known rows that go."""
    replaced: dict[int, int]
    """Known row -> the row of the drop that takes its place."""
    diff: Diff
    blocks: list[Problem] = field(default_factory=list)
    """Why the drop is refused as a whole."""
    warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """read = accepted + quarantined."""
        return {"read": self.validated.read, "accepted": self.validated.kept, "quarantined": self.validated.quarantined}

    def new_rows(self, task: TaskOptions) -> Iterator[dict[str, str | None]]:
        """The rows that are added, in the order of reading."""
        for number, (mask, relation) in enumerate(zip(self.changed, self.relations, strict=True)):
            yield from self.rows_at(number, np.flatnonzero(mask & relation.added))

    def rows_at(self, chunk: int, indexes: Ints) -> Iterator[dict[str, str | None]]:
        """Rows of one chunk of the store, as their values."""
        return rows_at(self.validated, chunk, indexes)


def judge(
    again: Callable[[], Iterable[Row]],
    known: Known,
    contract: Contract,
    quality: Sequence[DropQuality],
    folder: Path,
    *,
    mode: Mode = "auto",
    budget: float | None = None,
    split_of: SplitOf = lambda _: None,
    split_there: Callable[[int], Split | None] = lambda _: None,
    twins_too: bool = True,
    tokens: Tokens | None = None,
    now: datetime | None = None,
) -> Judged:
    """Judge the rows that ``again`` reads beside those that are ``known``.

    :param folder: for the store, which the result reads from.
    :param split_of: the split of a row of the drop, by its values.
    :param split_there: the split of the n-th known row.
    :param twins_too: whether rows that repeat a text are set aside.
    :param tokens: counts those of the base model, for a contract that asks about them.
    :param budget: the largest share of rows that may be set aside; None: as the contract says, else :data:`BUDGET`.
    :raises ConfigError: the drop has some of the rows that are there, and nothing says whether the others go.
    """
    task = known.task
    validated = validate(again, contract, folder, warned=True, tokens=tokens)
    relations, seen = [], np.zeros(len(known), np.bool_)
    for chunk in range(len(validated.store.tables)):
        relation = compared(list(rows_at(validated, chunk, None)), known)
        seen[relation.position[relation.position >= 0]] = True
        relations.append(relation)
    whole = _is_whole(mode, known, int(seen.sum()))
    gone = (
        np.array([place for place in np.flatnonzero(~seen).tolist() if known.ids[place] is not None], np.int64)
        if whole
        else np.empty(0, np.int64)
    )
    warnings = []
    unread = sum(int((~table["#whole"].to_numpy()).sum()) for table in validated.store.tables)
    if unread and len(gone):
        warnings.append(
            f"{counted(len(gone), 'row')} that the drop lacks {'stays' if len(gone) == 1 else 'stay'}, because "
            f"{counted(unread, 'row')} of it could not be read: correct {'it' if unread == 1 else 'them'} and hand the drop in again"
        )
        gone = np.empty(0, np.int64)
    if twins_too:
        warnings += _set_twins_aside(validated, relations, known, gone, split_of, split_there)
    changed = [mask & _differs(relation) for mask, relation in zip(validated.accepted, relations, strict=True)]
    judged = Judged(validated, whole, changed, relations, gone, _replaced(validated, changed, relations), Diff(), warnings=warnings)
    _count(judged, known)
    _breaches(judged, contract)
    _drop_rules(judged, quality, budget, len(known), task, now or datetime.now(UTC))
    return judged


def rows_at(validated: Validated, chunk: int, indexes: Ints | None) -> Iterator[dict[str, str | None]]:
    """Rows of one chunk of the store, as their values; None: all of them."""
    table, shapes = validated.store.tables[chunk], {number: shape for shape, number in validated.shapes.items()}
    part = table if indexes is None else table.take(indexes)
    names = [name for name in part.column_names if name.startswith("v:")]
    columns = {name[2:]: part[name].to_pylist() for name in names}
    for at, shape in enumerate(part[SHAPE].to_pylist()):
        yield {name: columns[name][at] for name in shapes[shape] if value(name) in names}


def _is_whole(mode: Mode, known: Known, overlap: int) -> bool:
    """Whether a drop that has ``overlap`` of the known rows is the whole data anew."""
    if mode != "auto":
        return mode == "replace"
    share = overlap / len(known.position) if known.position else 0.0
    if PART < share < WHOLE:
        has = f"the drop has {overlap:,} of the {len(known.position):,} rows that are there ({percent(share)})"
        message = f"{has}, and nothing says whether the others go"
        raise ConfigError(message, fix="say --add: they stay, or --replace: the drop is the whole data anew")
    return share >= WHOLE


def _differs(relation: Compared) -> Bools:
    return np.asarray(relation.added | relation.edited | relation.relabelled | relation.other)


def _set_twins_aside(
    validated: Validated,
    relations: Sequence[Compared],
    known: Known,
    gone: Ints,
    split_of: SplitOf,
    split_there: Callable[[int], Split | None],
) -> Iterator[str]:
    task, rows, ids, new_text = known.task, list[Ints](), list[str](), list[Bools]()
    remain = np.ones(len(known), np.bool_)
    remain[gone] = False
    alike, label = [], []
    for start, table, mask, relation in zip(validated.store.starts, validated.store.tables, validated.accepted, relations, strict=True):
        fresh = relation.added | relation.edited
        chosen = np.flatnonzero(mask & (fresh | relation.relabelled))
        remain[relation.position[chosen][relation.position[chosen] >= 0]] = False
        rows.append(start + chosen)
        ids += table[value(task.id_column)].take(chosen).to_pylist() if len(chosen) else []
        new_text.append(fresh[chosen])
        alike.append(relation.numbers.alike[chosen])
        label.append(relation.numbers.label[chosen])
    if not ids:
        return
    fresh_rows = Fresh(np.concatenate(rows), ids, np.concatenate(alike), np.concatenate(label), np.concatenate(new_text))
    found = twins.find(
        fresh_rows, known, remain, lambda index: split_of(_values(validated, int(fresh_rows.row[index]))), split_there, task.text
    )
    validated.set_aside(
        {row: tuple(replace(fault, value=_text(validated, task, row)) for fault in of_row) for row, of_row in found.faults.items()}
    )
    if found.winning:
        pairs = first_of([f"{new} ({old})" for new, old in found.winning])
        repeat = "repeats a training row" if len(found.winning) == 1 else "repeat training rows"
        yield f"{counted(len(found.winning), 'held-out row')} {repeat}, which runs leave out from now on: {pairs}"


def _values(validated: Validated, row: int) -> dict[str, str | None]:
    """One row of the store, by columns."""
    table, index = validated.store.place(row)
    (cells,) = table.slice(index, 1).to_pylist()
    return {name[2:]: cell for name, cell in cells.items() if name.startswith("v:")}


def _text(validated: Validated, task: TaskOptions, row: int) -> str | None:
    table, index = validated.store.place(row)
    text: str | None = table[value(task.text)][index].as_py()
    return text


def _replaced(validated: Validated, changed: Sequence[Bools], relations: Sequence[Compared]) -> dict[int, int]:
    return {
        int(relation.position[index]): start + index
        for start, mask, relation in zip(validated.store.starts, changed, relations, strict=True)
        for index in np.flatnonzero(mask & ~relation.added).tolist()
    }


def _count(judged: Judged, known: Known) -> None:
    """Fill in the diff, without its rows."""
    diff, labels = judged.diff, known.labels
    diff.labels_before = known.by_label()
    diff.labels_after = Counter(diff.labels_before)
    for mask, relation in zip(judged.changed, judged.relations, strict=True):
        for index in np.flatnonzero(mask).tolist():
            place = int(relation.position[index])
            old = labels.name(int(known.numbers.label[place])) if place >= 0 else None
            new = labels.name(int(relation.numbers.label[index]))
            diff.count(relation.kinds(index), old, new)
            diff.labels_after.subtract([old] if old is not None else [])
            diff.labels_after.update([new] if new is not None else [])
    for place in judged.gone.tolist():
        old = labels.name(int(known.numbers.label[place]))
        diff.count(("removed",), old, None)
        diff.labels_after.subtract([old] if old is not None else [])
    diff.labels_after = +diff.labels_after
    stay = np.ones(len(known), np.bool_)
    stay[judged.gone] = stay[list(judged.replaced)] = False
    fresh = [relation.numbers.length[mask] for mask, relation in zip(judged.changed, judged.relations, strict=True)]
    after = np.concatenate([known.numbers.length[stay], *fresh])
    diff.lengths = {"before": quantiles(known.numbers.length), "after": quantiles(after)}


def _breaches(judged: Judged, contract: Contract) -> None:
    """Rules whose breach refuses the drop, or is only said."""
    severity = {f"{column.name}.{rule}": how for column in contract.columns for rule, how in (column.severities or {}).items()}
    for rule in judged.validated.rules:
        how = severity.get(rule.id, "quarantine")
        if how == "quarantine" or not (rows := list(judged.validated.broken_by(rule))):
            continue
        file, number = judged.validated.place(rows[0])
        breach = f"{counted(len(rows), 'row')} {'breaks' if len(rows) == 1 else 'break'} {rule.id}, where every value {rule.requirement}"
        if how == "warn":
            judged.warnings.append(f"{breach}; first {file}:{number}")
        else:
            fix = "correct the rows and hand the drop in again"
            judged.blocks.append(
                Problem(message=f"{breach}, and the contract blocks that", file=file, row=number, column=rule.column, rule=rule.id, fix=fix)
            )


def _drop_rules(
    judged: Judged, quality: Sequence[DropQuality], budget: float | None, before: int, task: TaskOptions, now: datetime
) -> None:
    """Rules about the drop as a whole."""
    share = judged.validated.quarantined / judged.validated.read if judged.validated.read else 0.0
    limits = [item.implementation.at_most for item in quality if item.implementation.rule == "quarantined"]
    most = budget if budget is not None else next((limit for limit in limits if limit is not None), BUDGET)
    fix = "correct the rows that quarantine.csv lists, and hand the drop in again"
    if not judged.validated.read:
        judged.blocks.append(Problem(message="the drop holds no row", rule="drop.rows", fix="hand in rows"))
    elif share > most:
        counts = f"{judged.validated.quarantined:,} of {counted(judged.validated.read, 'row')} ({percent(share)}) are set aside"
        message = f"{counts}; above {percent(most)} the drop, not a row, is what is wrong"
        judged.blocks.append(Problem(message=message, rule="drop.quarantined", fix=fix))
    measured = {"volume": _volume, "label_shares": _label_shift, "source_share": _source_share, "freshness": _age}
    asked = [item for item in quality if item.implementation.rule != "quarantined"]
    for item in asked:
        rule = item.implementation
        number, words = measured[rule.rule](judged, rule, before, task, now)
        if number is None or _within(number, rule):
            continue
        if item.severity == "block":
            judged.blocks.append(
                Problem(message=words, rule=f"drop.{rule.rule}", column=rule.column, fix="correct the drop, or the contract")
            )
        else:
            judged.warnings.append(words)
    if before and not any(item.implementation.rule == "label_shares" for item in asked):
        number, words = _label_shift(judged, DropRule(rule="label_shares", at_most=SHIFT), before, task, now)
        judged.warnings += [words] if number is not None and number > SHIFT else []


def _within(number: float, rule: DropRule) -> bool:
    """Whether a rule is kept; by a number that is none it never is."""
    return (rule.at_least is None or number >= rule.at_least) and (rule.at_most is None or number <= rule.at_most)


Measured = tuple[float | None, str]


def _volume(judged: Judged, rule: DropRule, before: int, task: TaskOptions, now: datetime) -> Measured:
    counts = judged.diff.counts
    after = before + counts["added"] - counts["removed"]
    return (after / before, f"{before:,} rows become {after:,}") if before else (None, "")


def _label_shift(judged: Judged, rule: DropRule, before: int, task: TaskOptions, now: datetime) -> Measured:
    old, new = judged.diff.labels_before, judged.diff.labels_after
    if not old or not new:
        return None, ""
    shifts = {label: new[label] / new.total() - old[label] / old.total() for label in {*old, *new}}
    label = max(sorted(shifts), key=lambda name: abs(shifts[name]))
    shares = f"{percent(old[label] / old.total())} to {percent(new[label] / new.total())}"
    return abs(shifts[label]), f"the share of {label!r} goes from {shares}"


def _source_share(judged: Judged, rule: DropRule, before: int, task: TaskOptions, now: datetime) -> Measured:
    values = Counter(row.get(str(rule.column)) for row in judged.new_rows(task))
    if not values:
        return None, ""
    name, count = values.most_common(1)[0]
    share = count / values.total()
    return share, f"{percent(share)} of the new rows have {rule.column} {name!r}"


def _age(judged: Judged, rule: DropRule, before: int, task: TaskOptions, now: datetime) -> Measured:
    """Days since the newest date of the new rows; no number where that cannot be told, which keeps no rule."""
    column, unknown = str(rule.column), "how fresh the drop is cannot be told"
    newest, there = None, False
    for row in judged.new_rows(task):
        there = True
        if (text := row.get(column)) is None:
            continue
        try:
            newest = max(newest or date.min, date.fromisoformat(text[:10]))
        except ValueError:
            return math.nan, f"{unknown}: {column} holds {quote(text)}, which does not begin with a date such as 2026-01-31"
    if newest is None:
        return (math.nan, f"{unknown}: no new row has a value in {column}") if there else (None, "")
    age = (now.date() - newest).days
    if age < -1:  # somewhere it is tomorrow already
        return math.nan, f"{unknown}: the newest {column} is {newest}, and that day has not come yet"
    return float(age), f"the newest {column} is {newest}, {counted(max(0, age), 'day')} ago"
