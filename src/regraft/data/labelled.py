"""What labelled data must hold beyond clean rows: every class has something to learn from and something to be tested on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.core.errors import Problem
from regraft.data.by_order import Order, flat, order
from regraft.data.contract import Contract, unwritten
from regraft.data.options import TaskOptions
from regraft.data.patterns import pattern_problems
from regraft.data.sources import reject
from regraft.data.split import split_of
from regraft.data.validation import Validated

if TYPE_CHECKING:
    import pandas as pd


BY_ID = "a row's split is a hash of its id"
First = Callable[[Collection[str]], Mapping[str, tuple[str, int]]]
"""Labels -> ``{label: (file, line) of its first row}``."""
MANY = 1000
"""Classes that are named one by one; where more are at fault, the label column is not a label."""
FEW = 20
"""Neither is one where so many are at fault and there is a class for every third row."""


def whole_problems(validated: Validated, contract: Contract, task: TaskOptions, splitting: Splitting, most: float) -> list[Problem]:
    """What is wrong with the rows taken together; empty: a model can be trained and tested on them.

    ``most`` is the largest share of rows that may be quarantined.
    """
    problems = []
    has_contract = contract != unwritten(task, splitting.column, splitting.by)
    fix = "correct the rows, or the contract" if has_contract else "correct the rows"
    if not validated.kept:
        nothing_left = f"none of the {validated.read} rows " + ("keeps the contract" if has_contract else "can be used")
        problems.append(Problem(message=nothing_left, rule="rows.accepted", fix=fix))
    elif validated.quarantined > most * validated.read:
        share = f"{validated.quarantined} of {validated.read} rows ({validated.quarantined / validated.read:.0%}) are quarantined"
        message = f"{share}; above {most:.0%} the data, not a row, is what is wrong"
        problems.append(Problem(message=message, rule="rows.quarantined", fix=fix))
    if patterns := pattern_problems(validated, contract, task, splitting.column):
        return [*patterns, *problems]  # the pattern is why; classes are counted once they are what they should be
    if splitting.fault is not None:
        return [*problems, splitting.fault]
    if validated.kept:
        dealt = {label: Counter[str]() for label in contract.column(task.label).valid_values or ()}
        splitting.count(validated, task, dealt)
        problems += class_problems(dealt, task.label, splitting.enough, splitting.why, lambda labels: validated.first(task.label, labels))
    return problems


def refusal(contract: Contract, task: TaskOptions, splitting: Splitting) -> str:
    """What labelled data that is rejected does, in words; a contract that nobody wrote is not named."""
    known = unwritten(task, splitting.column, splitting.by)
    return f"breaks the contract {contract.id!r}" if contract != known else "cannot carry the task"


@dataclass(frozen=True)
class Splitting:
    """How rows come to their split: by a hash of their id, by a column that says so, or by one that orders them."""

    seed: int
    test: float
    dev: float
    column: str | None = None
    """That says train, dev or test."""
    by: str | None = None
    """That orders the rows."""
    order: Order | None = None
    """Its borders; None without such a column, or with a :attr:`fault`."""
    fault: Problem | None = None
    """Why its values order nothing."""
    spent: Collection[str] = ()
    """Ids of rows that test no more, where a hash decides."""

    def ordered(self, validated: Validated) -> Splitting:
        """This, with the borders that the accepted rows give."""
        if self.by is None or not validated.kept:
            return self
        found = order(flat(validated.values(self.by)), self.by, test=self.test, dev=self.dev)
        if isinstance(found, Order):
            return replace(self, order=found)
        if strange := found.get("value"):
            file, row = validated.first(self.by, [strange])[strange]
            found = Problem({**found, "file": file, "row": row})
        return replace(self, fault=found)

    @property
    def key(self) -> str | None:
        """The column that decides about a row; None: its id."""
        return self.column or self.by

    def of(self, value: str) -> str:
        """The split of a row with ``value`` in :attr:`key`, or with that id."""
        if self.column is not None:
            return value
        return self.order.split(value) if self.order else split_of(self.seed, value, self.test, self.dev, self.spent)

    @property
    def why(self) -> str:
        """What puts a row into its split, in words."""
        if self.order is not None:
            return f"{self.by} orders the rows, and those from {self.order.test_from} on test"
        return BY_ID if self.column is None else f"the column {self.column!r} says which row is held out"

    @property
    def enough(self) -> int | None:
        """Rows with which a class is almost surely in test and in train; None: that is for the column to say."""
        return rows_for_every_split(self.test, self.dev) if self.key is None else None

    def count(self, validated: Validated, task: TaskOptions, dealt: dict[str, Counter[str]]) -> None:
        """Add the accepted rows to ``{label: {split: rows}}``; a label that has train and test rows is not counted further."""
        for keys, labels in validated.values(self.key or task.id_column, task.label):
            for key, label in zip(keys, labels, strict=True):
                if (splits := dealt.get(label)) is None:
                    splits = dealt[label] = Counter()
                if not ("train" in splits and "test" in splits):  # hashing 10,000,000 ids would take 13 s
                    splits[self.of(key)] += 1


def rows_for_every_split(test: float, dev: float) -> int:
    """Rows with which a class lands in test, and in train, with 99 % probability each."""
    return math.ceil(math.log(0.01) / math.log(1 - min(test, 1 - test - dev)))


def class_problems(
    dealt: Mapping[str, Counter[str]], column: str, enough: int | None, why: str = "", first: First = lambda _: {}
) -> list[Problem]:
    """Classes without a train or without a test row; ``dealt`` is ``{label: {split: rows}}``, ``why`` how that came.

    ``first`` finds the first row of each of the labels it is given, and is asked only where a class is at fault.
    """
    problems = []
    thin = {label: splits for label, splits in sorted(dealt.items()) if not (splits["train"] and splits["test"])}
    if len(thin) > min(MANY, max(FEW, sum(splits.total() for splits in dealt.values()) / 3)):
        message = f"{len(thin)} of {len(dealt)} classes have no train or no test row; is {column!r} really the label?"
        return [Problem(message=message, column=column, rule=f"{column}.classes", fix="name the column of the labels as task.label")]
    places = first(thin) if thin else {}
    for label, splits in thin.items():
        file, row = places.get(label, (None, None))
        rows = f"{splits.total()} row{'s' * (splits.total() != 1)}"
        first_seen = ", first seen here," if file and splits.total() > 1 else ""
        missing = " and no ".join(split for split in ("train", "test") if not splits[split])
        message = f"class {label!r}{first_seen} has {rows} and no {missing} row ({_dealt(splits)})" + (f"; {why}" if why else "")
        sure = f"with {enough} it has train and test rows almost surely" if enough else "in train and in test"
        otherwise = "correct or take out those it has" if splits.total() else "take the class out"
        fix = f"add rows of class {label!r} ({sure}), or {otherwise}"
        problems.append(Problem(message=message, file=file, row=row, column=column, value=label, rule=f"{column}.classes", fix=fix))
    if len(dealt) == 1:
        fix = "add rows of a second class"
        message = f"every row has the label {next(iter(dealt))!r}: there is nothing to tell apart"
        problems.append(Problem(message=message, column=column, value=next(iter(dealt)), rule=f"{column}.classes", fix=fix))
    return problems


def _dealt(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{splits.get(split, 0)} {split}" for split in ("train", "dev", "test"))


def labelled_splits(rows: Path, splits: Path) -> pd.DataFrame:
    """Accepted rows that deduplication kept, with their split: columns id, text, label, split, sorted by id.

    Raises :class:`DataRejected` when a class has no train or no test row left.
    """
    import pandas as pd

    accepted = pd.read_parquet(rows, columns=["id", "text", "label"])
    table = accepted.merge(pd.read_parquet(splits, columns=["id", "split"]), on="id").sort_values("id", ignore_index=True)
    dealt = {label: Counter[str]() for label in accepted["label"].unique()}
    for label, split in zip(table["label"], table["split"], strict=True):
        dealt[label][split] += 1
    # The shares are not known here; 20 rows are enough for the default quarter in test.
    if problems := class_problems(dealt, "label", 20):
        ids = accepted.drop_duplicates("label").set_index("label")["id"]
        for problem in problems:
            if problem.get("value") in ids:
                problem["message"] += f"; its first id in data.labelled is {ids.at[problem['value']]!r}"
        reject("after near-duplicates were dropped the labelled rows cannot carry the task", problems)
    return table
