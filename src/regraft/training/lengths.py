"""How many tokens texts have, how many of them a model reads, and whose ends it never sees.

Importing this loads neither numpy nor torch: ``plan`` tells what the last training measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.models import base_model

if TYPE_CHECKING:
    import pandas as pd

    from regraft.models.task_types import TaskType
    from regraft.training.options import MethodOptions

LEAST, MOST, STEP = 16, 512, 8
"""Bounds of a length that the data choose, and what it is a multiple of: matrix units take eights (NVIDIA, "Deep Learning
Performance", tensor core requirements)."""
SPARED = 1_000
"""Of so many training rows one may be longer than the chosen length. A batch is padded to its longest row: at 1 in 100 every fourth
batch of 32 rows would be padded for one of them, at 1 in 1,000 every thirtieth."""
WARN = 0.05
"""Share of a split's rows from which on their cutting is a warning."""
SPLITS = ("train", "dev", "test")
BATCH = 10_000
"""Rows whose ids are held at a time."""
WHOLE = 2**31 - 1
"""A length at which nothing is cut."""


def token_lengths(task: TaskType, source: Path, rows: pd.DataFrame) -> list[int]:
    """How many tokens each of ``rows`` has for the model in ``source``, its special tokens included."""
    parts = (rows.iloc[start : start + BATCH] for start in range(0, len(rows), BATCH))
    return [len(ids) for part in parts for ids in task.encode(source, part, WHOLE)]


def most_readable(source: Path) -> int:
    """Most tokens that a length chosen from the data may have for the model in ``source``."""
    return min(base_model.positions(source) or MOST, MOST)


def length_for(lengths: Sequence[int], most: int) -> int:
    """The least multiple of :data:`STEP` that cuts at most one in :data:`SPARED` of ``lengths``, between :data:`LEAST` and ``most``."""
    ordered = sorted(lengths)
    needed = ordered[len(ordered) - 1 - len(ordered) // SPARED]
    return min(max(-(-needed // STEP) * STEP, LEAST), most)


def cut_share(lengths: Sequence[int], length: int) -> float:
    """Share of ``lengths`` beyond ``length``."""
    return sum(one > length for one in lengths) / len(lengths)


def measured(options: MethodOptions, task: TaskType, source: Path, splits: Mapping[str, pd.DataFrame]) -> tuple[Any, dict[str, float]]:
    """``options`` with a length, chosen from the training rows where nobody named one, and what it does to the rows.

    :param splits: split -> its rows, ``train`` among them and not empty. Of the others the choice knows nothing.
    :returns: the numbers are ``max_length``, ``cut_<split>`` for every split with rows, and ``max_length_for_train`` and
        ``cut_train_there``: the length that the data would choose, and what it cuts. Empty for a method that reads words.
    """
    if not hasattr(options, "max_length"):
        return options, {}
    lengths = {split: token_lengths(task, source, rows) for split, rows in splits.items() if len(rows)}
    chosen = length_for(lengths["train"], most_readable(source))
    length = options.max_length or chosen
    cut = {f"cut_{split}": cut_share(each, length) for split, each in lengths.items()}
    there = {"max_length_for_train": chosen, "cut_train_there": cut_share(lengths["train"], chosen)}
    return options.model_copy(update={"max_length": length}), {"max_length": length, **cut, **there}


def shares(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Split -> share of its rows that are cut, from the numbers of :func:`measured`; empty where they were not measured."""
    return {split: metrics[f"cut_{split}"] for split in SPLITS if f"cut_{split}" in metrics}


def sentence(metrics: Mapping[str, Any]) -> str | None:
    """How many rows are cut, in words; None where it was not measured."""
    if not (cut := shares(metrics)):
        return None
    if not any(cut.values()):
        return f"no text is longer than the {metrics['max_length']:g} tokens that are read"
    told = [f"{percent(share)} of the {split} rows" for split, share in cut.items()]
    listed = ", ".join(told[:-1]) + (" and " if told[1:] else "") + told[-1]
    return f"{listed} are longer than the {metrics['max_length']:g} tokens that are read, and cut there"


def warning(metrics: Mapping[str, Any]) -> str | None:
    """What is said where a split loses the ends of :data:`WARN` of its rows or more, and what helps; None where none does."""
    if not (cut := shares(metrics)) or max(cut.values()) < WARN:
        return None
    length, better = metrics["max_length"], metrics["max_length_for_train"]
    if better > length:
        rest = percent(metrics["cut_train_there"])
        return f"{sentence(metrics)}; finetune.max_length: {better:g} would cut {rest} of the train rows, left out it is chosen so"
    return f"{sentence(metrics)}; no more than {length:g} can be read: put first what matters, or make several rows of a long text"


def percent(share: float) -> str:
    """``12 %``, and never ``0 %`` of something."""
    return "less than 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def by_step(records: Iterable[Mapping[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Steps that measured the same, with their numbers: ``([finetune-base, finetune-adapted], {max_length: 64, cut_train: ...})``."""
    groups: list[tuple[list[str], dict[str, Any]]] = []
    for record in records:
        numbers = {name: value for name, value in record["metrics"].items() if name.startswith(("max_length", "cut_"))}
        if not shares(numbers):
            continue
        same = next((steps for steps, known in groups if known == numbers), None)
        if same is None:
            groups.append(([record["step"]], numbers))
        else:
            same.append(record["step"])
    return groups
