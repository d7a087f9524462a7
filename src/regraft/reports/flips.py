"""Which rows flipped between two models, with examples: the numbers people remember. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.metrics import mcnemar
from regraft.evaluation.stats.paired import Paired

Answers = Mapping[str, tuple[str, float]]
"""Row id -> (a model's answer, the probability it gave to it)."""


@dataclass(frozen=True)
class Example:
    """A test row on which two models differ."""

    id: str
    text: str | None
    """None where the run kept no texts."""
    label: str
    before: str
    now: str
    sure_before: float
    """Probability the model gave to its own answer."""
    sure_now: float


@dataclass(frozen=True)
class Flips:
    """Rows on which the candidate and another model are not both right or both wrong."""

    against: str
    gained: int
    """Wrong there, right here."""
    lost: int
    """Right there, wrong here."""
    both_right: int
    both_wrong: int
    p: float
    """Exact two-sided McNemar p-value."""
    worse: tuple[Example, ...]
    """Lost rows, those the candidate is most sure about first."""
    better: tuple[Example, ...]
    """Gained rows, those the candidate is most sure about first."""


def flips(
    paired: Paired, candidate: str, against: str, answers: Mapping[str, Answers], texts: Mapping[str, str] | None, most: int = 20
) -> Flips:
    """Who flipped between ``against`` and ``candidate``, with up to ``most`` examples each way."""
    now, before = paired.right(candidate), paired.right(against)

    def examples(chosen: NDArray[np.bool_]) -> tuple[Example, ...]:
        found = []
        for index in np.flatnonzero(chosen).tolist():
            row = paired.ids[index]
            (was, sure_was), (said, sure) = answers[against][row], answers[candidate][row]
            text = texts.get(row) if texts is not None else None
            found.append(Example(row, text, paired.classes[paired.truth[index]], was, said, rounded(sure_was), rounded(sure)))
        return tuple(sorted(found, key=lambda e: (-e.sure_now, e.id))[:most])

    gained, lost = int((now & ~before).sum()), int((before & ~now).sum())
    same = int((now & before).sum()), int((~now & ~before).sum())
    return Flips(against, gained, lost, *same, mcnemar(gained, lost), worse=examples(before & ~now), better=examples(now & ~before))
