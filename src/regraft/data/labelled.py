"""What labelled data must hold beyond clean rows: every class has something to learn from and something to be tested on."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.config import TaskOptions
from regraft.data.contract import Contract
from regraft.data.quarantine import Judged
from regraft.data.sources import reject
from regraft.data.split import split_of
from regraft.errors import Problem

if TYPE_CHECKING:
    import pandas as pd


def whole_problems(judged: Judged, contract: Contract, task: TaskOptions, seed: int, test: float, dev: float, most: float) -> list[Problem]:
    """What is wrong with the rows taken together; empty: a model can be trained and tested on them.

    ``test`` and ``dev`` are the shares held out, ``most`` the largest share of rows that may be quarantined.
    """
    problems = []
    if not judged.accepted:
        fix = "mend the rows, or the contract"
        problems.append(Problem(message=f"none of the {judged.read} rows keeps the contract", rule="rows.accepted", fix=fix))
    elif len(judged.quarantined) > most * judged.read:
        share = f"{len(judged.quarantined)} of {judged.read} rows ({len(judged.quarantined) / judged.read:.0%}) are quarantined"
        message = f"{share}; above {most:.0%} the data, not a row, is what is wrong"
        problems.append(Problem(message=message, rule="rows.quarantined", fix="mend the rows, or the contract"))
    if judged.accepted:
        ids: dict[str, list[str]] = {label: [] for label in contract.column(task.label).valid_values or ()}
        for row in judged.accepted:
            ids.setdefault(row.values[task.label] or "", []).append(row.values[task.id] or "")
        dealt = {label: [split_of(seed, key, test, dev) for key in keys] for label, keys in ids.items()}
        problems += class_problems(dealt, task.label, rows_for_every_split(test, dev))
    return problems


def rows_for_every_split(test: float, dev: float) -> int:
    """Rows with which a class lands in test, and in train, with 99 % probability each."""
    return math.ceil(math.log(0.01) / math.log(1 - min(test, 1 - test - dev)))


def class_problems(dealt: Mapping[str, Sequence[str]], column: str, enough: int) -> list[Problem]:
    """Classes without a train or without a test row; ``dealt`` is ``{label: splits of its rows}``."""
    problems = []
    for label, splits in sorted(dealt.items()):
        absent = [split for split in ("train", "test") if split not in splits]
        if absent:
            rows = f"{len(splits)} row{'s' * (len(splits) != 1)}"
            missing = " and no ".join(absent)
            message = f"class {label!r} has {rows} and no {missing} row ({_dealt(splits)}); a row's split is a hash of its id"
            fix = f"add rows of class {label!r} (with {enough} it has train and test rows almost surely), or take the class out"
            problems.append(Problem(message=message, column=column, value=label, rule=f"{column}.classes", fix=fix))
    if len(dealt) == 1:
        fix = "add rows of a second class"
        message = f"every row has the label {next(iter(dealt))!r}: there is nothing to tell apart"
        problems.append(Problem(message=message, column=column, value=next(iter(dealt)), rule=f"{column}.classes", fix=fix))
    return problems


def _dealt(splits: Iterable[str]) -> str:
    counts = Counter(splits)
    return ", ".join(f"{counts[split]} {split}" for split in ("train", "dev", "test"))


def labelled_splits(rows: Path, splits: Path) -> pd.DataFrame:
    """Accepted rows that deduplication kept, with their split: columns id, text, label, split, sorted by id.

    Raises :class:`DataRejected` when a class has no train or no test row left.
    """
    import pandas as pd

    accepted = pd.read_parquet(rows, columns=["id", "text", "label"])
    table = accepted.merge(pd.read_parquet(splits, columns=["id", "split"]), on="id").sort_values("id", ignore_index=True)
    dealt: defaultdict[str, list[str]] = defaultdict(list, {label: [] for label in accepted["label"].unique()})
    for label, split in zip(table["label"], table["split"], strict=True):
        dealt[label].append(split)
    # The shares are not known here; 20 rows are enough for the default quarter in test.
    if problems := class_problems(dealt, "label", 20):
        reject("after near-duplicates were dropped the labelled rows cannot carry the task", problems)
    return table
