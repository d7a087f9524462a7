"""``self_training``: another candidate labels documents of the corpus, and what it is sure of is trained on beside the labelled rows.

Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks"; Xie et al. 2020, "Self-training
with Noisy Student improves ImageNet classification", section 2, for a student that begins anew with dropout. A teacher's errors are learned
too, so the control is never left out: the teacher is a candidate itself, trained without them, and dev rows choose between the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.methods.full import Full
from regraft.training.options import GradientOptions
from regraft.training.plugins import Learning

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 1_024
"""Documents that the teacher answers at a time."""


class SelfTrainingOptions(GradientOptions):
    """Full fine-tuning on rows and on what a teacher is sure of (Lee 2013, "Pseudo-Label")."""

    method: Literal["self_training"]
    """Another candidate labels documents of the corpus."""
    teacher: str
    """The candidate that labels them, and the control: it stands above this one in `candidates`."""
    confidence: float = Field(0.9, gt=0, lt=1)
    """Least probability, at the teacher's temperature, of an answer that is trained on."""
    most_of_a_class: int = Field(200, ge=1)
    """How many documents of a class are trained on, those first that the teacher is surest of."""
    documents: int = Field(20_000, ge=1)
    """How many documents are answered, spread over the corpus."""


class SelfTraining(Full):
    """The groups and rates of ``full``, on more rows."""

    name = "self_training"
    version = 2
    rank = 50
    options = SelfTrainingOptions

    def train(self, learning: Learning, options: SelfTrainingOptions) -> dict[str, float]:
        """Train on rows and documents; returns also how many of these there were, and were sure enough.

        :raises ConfigError: the step hands on no corpus or no teacher.
        """
        from dataclasses import replace

        import pandas as pd

        from regraft.core.errors import ConfigError
        from regraft.training.methods.ensemble import named_models

        if learning.documents is None:
            raise ConfigError(
                "tasks/finetune.py hands on no documents, which finetune.method: self_training reads", fix="regraft init --upgrade ."
            )
        ((_, teacher),) = named_models(learning, [options.teacher])
        texts = some_documents(learning.documents, options.documents)
        sure = pseudo_labelled(teacher, texts, options.confidence, options.most_of_a_class)
        rows = pd.concat([learning.training, sure], ignore_index=True)
        measured = super().train(replace(learning, training=rows), options)
        return {**measured, "documents": len(texts), "pseudo_labelled": len(sure)}


def some_documents(path: Path, most: int) -> list[str]:
    """At most ``most`` texts of a corpus, spread over it."""
    import numpy as np
    import pyarrow.parquet as pq

    texts = pq.read_table(path, columns=["text"])["text"]
    chosen = np.unique(np.linspace(0, max(0, len(texts) - 1), min(most, len(texts)), dtype=np.int64))
    return [texts[place].as_py() for place in chosen.tolist()]


def pseudo_labelled(teacher: Path, texts: list[str], confidence: float, most: int) -> pd.DataFrame:
    """The texts that the model in ``teacher`` is as sure of, with its labels: columns id, text, label; of each class the surest first.

    Texts are answered one by one as far as a row's answer goes (:mod:`regraft.models.kinds`), so the same come out again after a kill.
    """
    import numpy as np
    import pandas as pd

    from regraft.core.progress import watched
    from regraft.models import kinds

    served = kinds.load(teacher, None)
    parts = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    none = [np.zeros((0, len(served.labels)), dtype=np.float32)]
    p = np.concatenate([served.predict(part) for part in watched(parts, "documents", len(texts), len)] or none)
    best, sure = p.argmax(axis=1) if len(p) else np.zeros(0, dtype=np.int64), p.max(axis=1, initial=0.0)
    chosen: list[int] = []
    for label in range(len(served.labels)):
        places = np.flatnonzero((best == label) & (sure >= confidence))
        chosen += places[np.argsort(-sure[places], kind="stable")][:most].tolist()
    rows = [(f"corpus:{place}", texts[place], served.labels[best[place]]) for place in sorted(chosen)]
    return pd.DataFrame(rows, columns=["id", "text", "label"])


SELF_TRAINING = SelfTraining()
