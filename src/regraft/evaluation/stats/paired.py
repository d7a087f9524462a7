"""The predictions of several models on the same test rows, lined up so that every comparison is paired.

Rows are put into one order that depends on ids and on which rows share a label, but not on the order of the file
or on what the labels are called: shuffling a file or renaming every label changes no number downstream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from regraft.core.errors import EnvironmentFault

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Predictions:
    """What one model said about n test rows; the three sequences are parallel."""

    ids: Sequence[str]
    labels: Sequence[str]
    """True labels."""
    preds: Sequence[str]
    """Predicted labels."""
    unusable: tuple[str, ...] = ()
    """Ids of rows whose probabilities are not all finite."""
    p: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """[n, columns] probabilities, where the model gave any."""
    columns: Sequence[str] = ()
    """The label of each column of ``p``."""


@dataclass(frozen=True)
class Strata:
    """n rows that are resampled within groups, of which each keeps its size."""

    of: Ints
    """[n] group of each row, non-decreasing from 0; no group is empty."""

    @classmethod
    def one(cls, rows: int) -> Strata:
        """All of ``rows`` are drawn from all."""
        return cls(np.zeros(rows, dtype=np.int64))

    @cached_property
    def sizes(self) -> Ints:
        """[groups] rows of each group."""
        return np.bincount(self.of).astype(np.int64)


@dataclass(frozen=True)
class Paired:
    """n rows ordered by (class, id); the K classes are those of the true labels, in the order of their smallest id."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    truth: Ints
    """[n] class of each row, non-decreasing."""
    preds: Mapping[str, Ints]
    """Model -> [n] predicted class; K stands for any label that no row has."""
    probabilities: Mapping[str, Floats] = field(default_factory=dict, compare=False, repr=False)
    """Model -> [n, K] probability of each class, of models that gave probabilities; a class that a model lacks has 0."""

    @cached_property
    def sizes(self) -> Ints:
        """[K] rows of each class, all at least 1."""
        return np.bincount(self.truth, minlength=len(self.classes)).astype(np.int64)

    @property
    def strata(self) -> Strata:
        """Rows are resampled within their true class (:mod:`regraft.evaluation.stats.bootstrap`)."""
        return Strata(self.truth)

    def right(self, model: str) -> Mask:
        """[n] which rows the model got right."""
        return np.equal(self.preds[model], self.truth)

    def gained(self, now: str, before: str) -> Mask:
        """[n] rows that ``now`` gets right and ``before`` did not."""
        return only(self.right(now), self.right(before))

    def lost(self, now: str, before: str) -> Mask:
        """[n] rows that ``before`` got right and ``now`` does not."""
        return only(self.right(before), self.right(now))

    def ids_of(self, rows: Mask) -> list[str]:
        """The ids of ``rows``, in their order."""
        return [self.ids[row] for row in np.flatnonzero(rows).tolist()]


def only(right: Mask, other: Mask) -> Mask:
    """Rows that are in ``right`` and not in ``other``."""
    return right & ~other


def align(predictions: Mapping[str, Predictions]) -> Paired:
    """Line the models up by row id.

    Raises EnvironmentFault when there are no rows, an id occurs twice, a model lacks a row or has one too many, or
    two models disagree about a true label: such predictions were not made on the same rows, and nothing follows.
    """
    tables = {model: _by_id(model, p) for model, p in predictions.items()}
    first, reference = next(iter(tables.items()))
    if not reference:
        raise EnvironmentFault(f"the predictions of {first} hold no rows, so nothing can be compared")
    for model, table in tables.items():
        _same_rows(first, reference, model, table)
    classes: dict[str, int] = {}
    for row in sorted(reference):
        classes.setdefault(reference[row][0], len(classes))
    ids = tuple(sorted(reference, key=lambda row: (classes[reference[row][0]], row)))
    return Paired(
        ids=ids,
        classes=tuple(classes),
        truth=np.array([classes[reference[row][0]] for row in ids], dtype=np.int64),
        preds={
            model: np.array([classes.get(table[row][1], len(classes)) for row in ids], dtype=np.int64) for model, table in tables.items()
        },
        probabilities={model: _probabilities(p, ids, tuple(classes)) for model, p in predictions.items() if p.p is not None},
    )


def _probabilities(predictions: Predictions, ids: Sequence[str], classes: Sequence[str]) -> Floats:
    """[n, K] in the order of ``ids`` and ``classes``."""
    place = {row: position for position, row in enumerate(predictions.ids)}
    column = {label: position for position, label in enumerate(predictions.columns)}
    ordered = np.asarray(predictions.p, dtype=np.float64)[[place[row] for row in ids]]
    probabilities = np.zeros((len(ids), len(classes)))
    for k, label in enumerate(classes):
        if label in column:
            probabilities[:, k] = ordered[:, column[label]]
    return probabilities


def _by_id(model: str, predictions: Predictions) -> dict[str, tuple[str, str]]:
    """``{id: (label, pred)}``, each id once."""
    table = {row: (label, pred) for row, label, pred in zip(predictions.ids, predictions.labels, predictions.preds, strict=True)}
    if len(table) < len(predictions.ids):
        seen: set[str] = set()
        twice = next(row for row in predictions.ids if row in seen or seen.add(row))  # type: ignore[func-returns-value]
        raise EnvironmentFault(f"the predictions of {model} hold row {twice!r} twice")
    return table


def _same_rows(first: str, reference: Mapping[str, tuple[str, str]], model: str, table: Mapping[str, tuple[str, str]]) -> None:
    if missing := sorted(reference.keys() - table.keys()):
        raise EnvironmentFault(f"the predictions of {model} lack {len(missing)} of {first}'s rows, the first is {missing[0]!r}")
    if extra := sorted(table.keys() - reference.keys()):
        raise EnvironmentFault(f"the predictions of {model} hold {len(extra)} rows that {first} lacks, the first is {extra[0]!r}")
    for row in sorted(reference):
        if table[row][0] != reference[row][0]:
            raise EnvironmentFault(f"row {row!r} has label {reference[row][0]!r} for {first} and {table[row][0]!r} for {model}")
