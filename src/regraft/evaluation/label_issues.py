"""Labels that are probably wrong: confident learning on out-of-fold probabilities.

Each labelled row is judged by a baseline (:mod:`regraft.models.tfidf`) that was not trained on it. A class's threshold is the
average probability that its own rows get; a row is confidently of a class whose threshold it reaches, of several of
the most probable one; and its label is suspect if that is another class than the one given (Northcutt, Jiang, Chuang
2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", section 3.1: the off-diagonals of the confident
joint). Thresholds make up for classes that a model is surer of than of others, which a plain disagreement does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regraft.core.progress import watched
from regraft.data.split import uniform
from regraft.models.tfidf import Tfidf

FOLDS = 5
"""Each row is judged by a model of four fifths of the others; a class with fewer rows is not judged."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """How the models that judge are trained: as the step ``tfidf`` trains its one."""

    max_ngram: int
    inverse_regularization: float


def find_suspects(
    ids: Sequence[str], texts: Sequence[str], labels: Sequence[str], baseline: Baseline, seed: int
) -> tuple[dict[int, Suspect], int]:
    """``{row: suspicion}``, the surest first, and how many rows were judged. The order of the rows does not matter."""
    from threadpoolctl import threadpool_limits

    members = _members(ids, labels, seed)
    classes = sorted(label for label, rows in members.items() if len(rows) >= FOLDS)
    if len(classes) < 2:
        return {}, 0
    judged = np.array(sorted(row for label in classes for row in members[label]), dtype=np.int64)
    fold = np.zeros(len(ids), dtype=np.int64)
    for label in classes:
        fold[members[label]] = np.arange(len(members[label])) % FOLDS
    given = np.array([classes.index(labels[row]) for row in judged.tolist()], dtype=np.int64)
    with threadpool_limits(1):
        p = _out_of_fold([texts[row] for row in judged.tolist()], given, classes, fold[judged], baseline)
    suggested = off_diagonal(given, p)
    suspects = {
        int(judged[at]): Suspect(classes[suggested[at]], round(float(p[at, given[at]]), 6), round(float(p[at, suggested[at]]), 6))
        for at in np.flatnonzero(suggested >= 0).tolist()
    }
    surest = sorted(suspects, key=lambda row: (suspects[row].p_label - suspects[row].p_suggested, ids[row]))
    return {row: suspects[row] for row in surest}, len(judged)


def off_diagonal(given: ArrayLike, p: ArrayLike) -> Ints:
    """[n] the class that a row is confidently of, where that is not its own; -1 elsewhere.

    ``given``: [n] class of each label, every class at least once; ``p``: [n, K] out-of-fold probabilities.
    """
    labels, probabilities = np.asarray(given, dtype=np.int64), np.asarray(p, dtype=np.float64)
    rows = np.arange(len(labels))
    own = np.bincount(labels, weights=probabilities[rows, labels], minlength=probabilities.shape[1])
    confident = probabilities >= own / np.bincount(labels, minlength=probabilities.shape[1])
    best = np.where(confident, probabilities, -1.0).argmax(axis=1)
    return np.where(confident.any(axis=1) & (best != labels), best, -1).astype(np.int64)


def _members(ids: Sequence[str], labels: Sequence[str], seed: int) -> dict[str, list[int]]:
    """The rows of each label, in the order of a hash of their id."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row in sorted(range(len(ids)), key=lambda row: (uniform(seed, ids[row]), ids[row])):
        members[labels[row]].append(row)
    return dict(members)


def _out_of_fold(texts: Sequence[str], given: Ints, classes: Sequence[str], fold: Ints, baseline: Baseline) -> Floats:
    """[n, K] what a model of the other folds says of each row."""
    p = np.empty((len(texts), len(classes)))
    for number in watched(range(FOLDS), "folds", FOLDS):
        train, held_out = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        model = Tfidf.train(
            [texts[row] for row in train],
            [classes[given[row]] for row in train],
            classes,
            max_ngram=baseline.max_ngram,
            inverse_regularization=baseline.inverse_regularization,
        )
        p[held_out] = model.predict([texts[row] for row in held_out])
    return p


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong (:mod:`regraft.evaluation.label_issues`)."""

    suggested: str
    p_label: float
    """Probability that a model which did not see the row gives to its label."""
    p_suggested: float
