"""What is measured of abilities that a model had before it was trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regraft.evaluation.stats.paired import Floats, Ints


@dataclass(frozen=True)
class GeneralLosses:
    """What guessing the masked tokens of held-out general text cost, a sequence at a time."""

    masked: Ints
    """[sequences] masked tokens, at least one each."""
    nats: Mapping[str, Floats]
    """Stage of :data:`regraft.gates.stages.STAGES` -> [sequences] nats, summed over the masked tokens."""


@dataclass(frozen=True)
class EarlierAnswers:
    """What the linear probes on the encoders of every stage said of the held-out rows of one earlier task."""

    labels: Sequence[str]
    """[rows] true labels."""
    answers: Mapping[str, Sequence[str | None]]
    """Stage of :data:`regraft.gates.stages.STAGES` -> [rows] answers; None where its encoder gave no finite features."""
