"""What is wrong with labelled rows because it stands there again and again: then the file has to change, not a row.

- a value that a contract does not allow, in many rows: quarantining them one by one would hide a renamed class or split;
- labels that differ only by case, blanks or Unicode form: three classes would be learned as nine;
- labels that are lists or objects of JSON or Python: several answers in one cell;
- test rows without labels, which public data sets keep back: nothing, or one word that no other row has (-1, ?, unlabelled).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from regraft.core.errors import Problem
from regraft.core.quantities import counted, first_of
from regraft.data.contract import Contract
from regraft.data.options import TaskOptions
from regraft.data.spelling import SPLIT_NAMES, json_labels, told_apart, variants
from regraft.data.split import SPLITS
from regraft.data.validation import Validated, breaks, value

MANY_ROWS, MANY_SHARE = 10, 0.001
"""So many rows with one value that is not allowed, and so large a share, are no slip: ten equal ones in a million are."""
FEW_ROWS, FEW_SHARE = 3, 0.05
"""In a small file fewer are enough."""


def pattern_problems(validated: Validated, contract: Contract, task: TaskOptions, split: str | None) -> list[Problem]:
    """All of these faults; ``split`` is the column that says train, dev or test, None where there is none."""
    labels = validated.counts(task.label)
    problems = [*_not_allowed(validated, contract, split), *_json(validated, labels, task)]
    if task.normalise_labels is None:
        problems += _variants(validated, labels, task)
    if split is not None:
        problems += _hidden(validated, task, split)
    return problems


def _not_allowed(validated: Validated, contract: Contract, split: str | None) -> Iterator[Problem]:
    for column in contract.columns:
        if not column.valid_values:
            continue
        for name, count in sorted(_failing(validated, column.name).items()):
            if not is_no_slip(count, validated.read):
                continue
            message = f"{column.name} is {name!r} in {counted(count, 'row')}, and allowed are {first_of(column.valid_values, 20)}"
            fix = f"add {name!r} to the contract, or correct the rows"
            if column.name == split:
                also = ", ".join(other for other, meant in SPLIT_NAMES.items() if meant == "dev")
                fix = f"write {', '.join(SPLITS)} ({also} mean dev), or take these rows out"
            yield Problem(message=message, column=column.name, value=name, rule=f"{column.name}.always", fix=fix)


def is_no_slip(count: int, read: int) -> bool:
    """Whether ``count`` of ``read`` rows with the same wrong value are the file's fault: a renamed class or split, no typing error."""
    return count >= max(MANY_ROWS, MANY_SHARE * read) or count >= max(FEW_ROWS, FEW_SHARE * read)


def _failing(validated: Validated, column: str) -> Counter[str]:
    """Value of ``column`` that is not allowed -> rows."""
    failing: Counter[str] = Counter()
    for table in validated.store.tables:
        broken = table[value(column)].filter(pa.array(table[breaks(f"{column}.valid_values")].to_numpy()))
        for item in pc.value_counts(broken).to_pylist():
            failing[item["values"]] += item["counts"]
    return failing


def _json(validated: Validated, labels: Counter[str], task: TaskOptions) -> Iterator[Problem]:
    if not (several := json_labels(labels)):
        return
    file, row = validated.first(task.label, several)[several[0]]
    count = sum(labels[label] for label in several)
    holds = f"{counted(count, 'label')} {'holds' if count == 1 else 'hold'}"
    message = f"{holds} a list or an object, such as {several[0][:60]}, where a row has one label"
    fix = "export one choice a row, or decide on one; rows with several answers are no classification"
    yield Problem(message=message, file=file, row=row, column=task.label, value=several[0][:80], rule=f"{task.label}.json", fix=fix)


def _variants(validated: Validated, labels: Counter[str], task: TaskOptions) -> Iterator[Problem]:
    for several in variants(labels).values():
        file, row = validated.first(task.label, several[1:2])[several[1]]
        spellings = ", ".join(f"{shown} {labels[label]:,}" for label, shown in zip(several, told_apart(several), strict=True))
        message = f"{len(several)} labels differ only by case, blanks or Unicode form: {spellings}"
        fix = "make them one with `task: {normalise_labels: true}` in the pipeline file; `false` keeps them apart"
        yield Problem(message=message, file=file, row=row, column=task.label, value=several[1], rule=f"{task.label}.variants", fix=fix)


def _hidden(validated: Validated, task: TaskOptions, split: str) -> Iterator[Problem]:
    """Most test rows have no label, or all labels that they have are -1."""
    labels: dict[str, Counter[str | None]] = {name: Counter() for name in SPLITS}
    for table in validated.store.tables:
        splits, of_rows = table[value(split)].to_numpy(zero_copy_only=False), table[value(task.label)]
        for name, counts in labels.items():
            for item in pc.value_counts(of_rows.filter(pa.array(np.equal(splits, name).astype(bool)))).to_pylist():
                counts[item["values"]] += item["counts"]
    test = labels["test"]
    commonest = next((label for label, _ in test.most_common(2) if label is not None), None)
    elsewhere = labels["train"] | labels["dev"]
    stands_in = commonest is not None and commonest not in elsewhere and len(elsewhere) > 1
    hidden = test[None] + (test[commonest] if stands_in else 0)
    if 2 * hidden > test.total():
        written = "no label" if test[None] == hidden else f"the label {commonest}"
        message = f"{hidden:,} of {counted(test.total(), 'test row')} have {written}: public data sets keep those of the test split back"
        instead = f"or leave data.split out: then a hash of {task.id or 'the text'} decides"
        fix = f"take these rows out and call the labelled rows of another split test, {instead}"
        yield Problem(message=message, column=task.label, value=written, rule=f"{task.label}.hidden", fix=fix)
