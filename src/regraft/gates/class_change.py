"""Classes that came or went since the champion was trained: on which rows it is compared with, and what is said of the others.

A champion cannot answer a class that it never saw, so rows of new classes say nothing of which model is better: both are
compared on the rows of classes that both know. A candidate that takes such a row for a new class is wrong, which is what
learning the class costs, and a champion that answers a class that is none any more is wrong too. Such a wrong answer is
charged to the wrong class, of those that both know, to which the model gives most: an error that falls on no class would
cost recall and no precision, and a candidate as good as the champion would pass on macro-F1 far too often (measured in
decision 25). No probability is scaled up for what a model gives to classes that the other lacks. New classes are held to a
floor of their own (:mod:`regraft.gates.new_classes`).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from regraft.gates import words

if TYPE_CHECKING:
    from regraft.evaluation.stats.paired import Predictions
    from regraft.gates.comparison import Comparison

LEAST = 30
"""Fewer rows of shared classes decide nothing: as with slices and clean rows, intervals of fewer are too narrow."""


def share(comparison: Comparison) -> None:
    """Give ``comparison`` the rows of shared classes with the champion on them, or the problem that they are too few."""
    change, answers = comparison.case.classes, comparison.case.predictions["champion"]
    assert change is not None
    rows = frozenset(row for row, label in zip(answers.ids, answers.labels, strict=True) if label not in change.new)
    if len(rows) < LEAST:
        comparison.problem = {"code": "few_shared", "rows": len(rows), "least": LEAST, "new": words.listed(change.new)}
        return
    known = {label for label in answers.labels if label not in change.new}
    case = comparison.case
    predictions = {model: among(table, known) for model, table in case.predictions.items()}
    seeds = case.seeds and {model: [among(table, known) for table in tables] for model, tables in case.seeds.items()}
    comparison.shared = replace(comparison, case=replace(case, predictions=predictions, seeds=seeds)).on(rows, "champion")


def among(table: Predictions, known: Set[str]) -> Predictions:
    """The same answers, but those outside ``known`` charged to a wrong class in it; as they are where there are no probabilities."""
    if table.p is None:
        return table
    columns = [(position, label) for position, label in enumerate(table.columns) if label in known]
    preds = list(table.preds)
    for row, (pred, truth) in enumerate(zip(table.preds, table.labels, strict=True)):
        if pred not in known and (wrong := [(table.p[row][position], label) for position, label in columns if label != truth]):
            preds[row] = max(wrong)[1]
    return replace(table, preds=preds)


def facts(comparison: Comparison, whole: Comparison) -> dict[str, Any]:
    """What is said beside a finding on the rows of ``comparison``, of all those of ``whole``; empty where no class came or went."""
    change = comparison.case.classes
    if change is None:
        return {}
    rows = frozenset(comparison.paired.ids)
    tables = (whole.case.predictions[model] for model in (comparison.candidate, "champion"))
    candidate, champion = ([pred for row, pred in zip(table.ids, table.preds, strict=True) if row in rows] for table in tables)
    return {
        "classes": {
            "new": words.listed(change.new),
            "vanished": words.listed(change.vanished),
            "left_out": whole.n - comparison.n,
            "of": whole.n,
            "answered_new": sum(label in change.new for label in candidate),
            "answered_vanished": sum(label in change.vanished for label in champion),
        }
    }


def sentence(classes: words.Document) -> str:
    """What :func:`facts` holds, to stand at the end of a sentence."""
    new, vanished, parts = classes["new"], classes["vanished"], []
    if new["count"]:
        name = f"the new class{'es' * (new['count'] > 1)} {words.some(new)}"
        left_out = f"{words.counted(classes['left_out'], 'row')} of {name} {_are(classes['left_out'])} left out"
        parts.append(f"of {classes['of']:,} test rows {left_out}, which the champion cannot answer")
        if taken := classes["answered_new"]:
            it = "it" if new["count"] == 1 else "one of them"
            parts.append(f"{words.counted(taken, 'other row')} {_are(taken)} taken for {it}")
    if vanished["count"]:
        gone = "is no class any more" if vanished["count"] == 1 else "are no classes any more"
        rows = words.counted(classes["answered_vanished"], "row")
        parts.append(f"the champion answers {words.some(vanished)}, which {gone}, to {rows}")
    return "; ".join(parts)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
