"""Which rows flipped between two models: what one got right that the other did not."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.evaluation.stats.metrics import mcnemar
from regraft.evaluation.stats.paired import Paired


@dataclass(frozen=True)
class Flips:
    """Row by row: what a model got right or wrong that another one did not."""

    against: str
    """The other model."""
    gained: int
    """Wrong there, right here."""
    lost: int
    """Right there, wrong here."""
    both_right: int
    both_wrong: int
    p: float
    """Exact two-sided McNemar p-value: how often a fair coin would split gained and lost as unevenly."""

    @classmethod
    def of(cls, paired: Paired, model: str, against: str) -> Flips:
        """What ``model`` gained and lost beside ``against``."""
        gained, lost = int(paired.gained(model, against).sum()), int(paired.lost(model, against).sum())
        right = int(paired.right(model).sum())
        return Flips(against, gained, lost, right - gained, len(paired.ids) - right - lost, mcnemar(gained, lost))
