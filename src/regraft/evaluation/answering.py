"""A registered model's answers to texts that have no label: what ``regraft predict`` shows.

The same code as in the step ``scores`` and in production (:mod:`regraft.models.kinds`), on a folder whose bytes
were verified by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.evaluation.loading import loaded

BATCH = 512
"""Texts between two reports of progress: some seconds on two cores."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one text."""

    label: str
    p: float
    """Probability of ``label``."""
    probabilities: dict[str, float]
    """label -> probability, in the order of the model's labels."""
    abstains: bool | None = None
    """Whether ``label`` is no more than a guess; None of a model that never abstains."""


def answer(folder: Path, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> list[Answer]:
    """One answer a text, in their order. EnvironmentFault when the model does not load or predict.

    :param on_progress: told how many texts are done.
    """
    answers: list[Answer] = []
    with loaded(folder) as (model, _):
        for start in range(0, len(texts), BATCH):
            p = model.predict(texts[start : start + BATCH])
            unsure = model.abstains(p)
            for row, abstains in zip(p.tolist(), unsure.tolist() if unsure is not None else [None] * len(p), strict=True):
                best = max(range(len(row)), key=row.__getitem__)
                answers.append(Answer(model.labels[best], row[best], dict(zip(model.labels, row, strict=True)), abstains))
            if on_progress:
                on_progress(len(answers))
    return answers
