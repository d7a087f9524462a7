"""Which rows flipped between two models, with examples: the numbers people remember. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from regraft.evaluation.stats.flips import Flips
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.paired import Mask, Paired

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
class FlippedRows(Flips):
    """The candidate beside another model, with examples."""

    worse: tuple[Example, ...]
    """Lost rows, those the candidate is most sure about first."""
    better: tuple[Example, ...]
    """Gained rows, those the candidate is most sure about first."""


def flips(
    paired: Paired, candidate: str, against: str, answers: Mapping[str, Answers], texts: Mapping[str, str] | None, most: int = 20
) -> FlippedRows:
    """Who flipped between ``against`` and ``candidate``, with up to ``most`` examples each way."""

    def examples(flipped: Mask) -> tuple[Example, ...]:
        every = []
        for index in np.flatnonzero(flipped).tolist():
            row = paired.ids[index]
            (before, sure_before), (now, sure_now) = answers[against][row], answers[candidate][row]
            text = texts.get(row) if texts is not None else None
            label = paired.classes[paired.truth[index]]
            every.append(Example(row, text, label, before, now, rounded(sure_before), rounded(sure_now)))
        return tuple(sorted(every, key=lambda e: (-e.sure_now, e.id))[:most])

    counts = asdict(Flips.of(paired, candidate, against))
    worse, better = paired.lost(candidate, against), paired.gained(candidate, against)
    return FlippedRows(**counts, worse=examples(worse), better=examples(better))
