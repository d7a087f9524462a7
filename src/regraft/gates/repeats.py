"""The models of several seeds on the same rows, and the numbers made of them (:mod:`regraft.evaluation.stats.seed_noise`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regraft.evaluation.stats.paired import Floats, Paired, align
from regraft.evaluation.stats.seed_noise import shares
from regraft.gates.case import Case
from regraft.gates.options import seeds_of
from regraft.gates.stages import MODELS


def seed_name(model: str, number: int) -> str:
    """What one of the k models is called among all models; numbers start at 1, the model that would be registered."""
    return f"{model} seed {number}"


def unusable(case: Case) -> Iterator[tuple[str, int, Sequence[str]]]:
    """(model, number of the seed, rows) of every model of a further seed whose answers cannot be used."""
    for model, tables in (case.seeds or {}).items():
        for number, table in enumerate(tables, start=2):
            if table.unusable:
                yield model, number, table.unusable


@dataclass(frozen=True)
class Repeats:
    """All models of a case, those of further seeds included, on the same rows."""

    count: int
    """How many seeds there are: k."""
    paired: Paired
    """Models ``adapted seed 1`` ... ``base seed k``, and those of one seed under their own names."""
    seed: int
    seeded: frozenset[str] = frozenset(MODELS)
    """The models that were fine-tuned more than once; TF-IDF has no seed, and of a champion there is one model."""

    @classmethod
    def of(cls, case: Case, models: Sequence[str]) -> Repeats | None:
        """All seeds of the ``models`` to compare; None where nobody asked for seeds, they were not trained or cannot be used."""
        count = seeds_of(case.policy.gates)
        if count is None or case.seeds is None or not set(case.seeds) <= set(models) or any(unusable(case)):
            return None
        tables = {seed_name(model, 1) if model in case.seeds else model: case.predictions[model] for model in models}
        tables |= {seed_name(model, n): table for model in case.seeds for n, table in enumerate(case.seeds[model], start=2)}
        return cls(count, align(tables), case.policy.seed, frozenset(case.seeds))

    def models(self, model: str) -> list[str]:
        """The names in :attr:`paired` of what the verdict calls ``model``."""
        return [seed_name(model, n) for n in range(1, self.count + 1)] if model in self.seeded else [model]

    def means(self, single: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """``single`` (model of one seed -> metric -> value) as means over the seeds, by the verdict's names."""
        means: dict[str, dict[str, float]] = {}
        for model in dict.fromkeys(name.partition(" seed ")[0] for name in single):
            parts = [single[name] for name in self.models(model)]
            means[model] = {metric: sum(part[metric] for part in parts) / len(parts) for metric in parts[0]}
        return means

    def drawn(self, rows: Mapping[str, Floats]) -> dict[str, Floats]:
        """Joint resamples by the verdict's names, from ``rows``: model of one seed -> [resamples] of rows alone."""
        joint: dict[str, Floats] = {}
        for model in dict.fromkeys(name.partition(" seed ")[0] for name in rows):
            parts = np.stack([rows[name] for name in self.models(model)], axis=-1)
            joint[model] = (parts * shares(self.count, self.seed, len(parts))).sum(axis=-1) if model in self.seeded else parts[:, 0]
        return joint
