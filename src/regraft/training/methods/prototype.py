"""``prototype``: the mean of each class's vectors stands for it, and a text is of the class whose mean is nearest. Nothing is trained.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning", section 2.3, on vectors of length 1: squared distances to means are a
linear layer. One row a class is enough, and another row changes one mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from regraft.training.options import MethodOptions
from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SCALE = 20.0
"""Logits of a difference of 1 between two cosines (that of sentence-transformers' losses); dev rows choose a temperature besides."""


class PrototypeOptions(MethodOptions):
    """The nearest class mean under a frozen encoder (Snell et al. 2017, "Prototypical Networks")."""

    method: Literal["prototype"]
    """The mean of its rows stands for a class."""
    pooling: Literal["mean", "cls"] = "mean"
    """What stands for a text: the mean of its tokens' vectors (Reimers & Gurevych 2019, "Sentence-BERT", section 3), or the first's. Left
    out, a folder of sentence-transformers says it, and elsewhere it is the mean."""
    max_length: int | None = Field(None, ge=8, le=512)
    """Tokens of a text that the model reads; the rest is cut. By default the data choose: as many as all but one in 1,000 training rows
    have, in steps of 8, and at most 512 or what the base model reads."""

    @property
    def most_tokens(self) -> int | None:
        return self.max_length


class Prototype:
    """Embed, and take means."""

    name = "prototype"
    version = 2
    rank = 14
    kind = "embedding_head"
    options = PrototypeOptions
    families = frozenset({"encoder", "decoder"})
    """Whose vectors are read without anything else."""
    starts: tuple[Start, ...] = ("base", "adapted")
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: PrototypeOptions) -> dict[str, float]:
        """Write encoder and means; returns tokens, and how many texts had to be embedded."""
        from regraft.models.task_types import task_type
        from regraft.training import vectors

        rows = vectors.of_rows(learning, options, [learning.training])
        truth = task_type(learning.task).truth(learning.training, learning.labels)
        weight, bias = nearest(vectors.directions(rows.parts[0]), truth, len(learning.labels))
        assert learning.source is not None
        vectors.write(rows.frozen.body, learning.source, learning.out, weight, bias)
        return {"tokens": rows.tokens[0], "embedded": rows.computed}

    def describe(self, options: PrototypeOptions) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length, "pooling": options.pooling, "length": 1}


def nearest(x: Floats, truth: Ints, classes: int) -> tuple[Floats, Floats]:
    """Weight ``[classes, width]`` and bias ``[classes]`` whose logits are squared distances to the means, but for what all have in common.

    A class without a row is never the answer: it is put behind the mean of all means, which is never nearer than the nearest.
    """
    import numpy as np

    from regraft.training.vectors import ABSENT

    there = np.unique(truth)
    means = np.stack([x[truth == label].mean(axis=0) for label in there])
    weight, bias = np.zeros((classes, x.shape[1])), np.zeros(classes)
    weight[:], bias[:] = SCALE * means.mean(axis=0), -SCALE / 2 * np.square(means).sum(axis=1).mean() - ABSENT
    weight[there], bias[there] = SCALE * means, -SCALE / 2 * np.square(means).sum(axis=1)
    return weight, bias


PROTOTYPE = Prototype()
