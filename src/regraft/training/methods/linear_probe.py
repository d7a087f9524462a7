"""``linear_probe``: the encoder stays as it is, and a multinomial logistic regression reads its vectors.

Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes". It changes nothing of what the encoder knows,
so it often does better than fine-tuning on rows unlike those it was trained on (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution"). Vectors are kept (:mod:`regraft.evaluation.embeddings`): once a text was embedded,
learning from it again takes no encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from regraft.training.options import MethodOptions
from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

GRID = (0.001, 0.01, 0.1, 1.0, 10.0)
"""What is tried where the pipeline file names no strength; on standardised vectors the best is seldom at either end."""
MOST_STEPS = 1_000


class LinearProbeOptions(MethodOptions):
    """A frozen encoder and a logistic regression on its vectors (Alain & Bengio 2016)."""

    method: Literal["linear_probe"]
    """Only a linear layer is trained."""
    pooling: Literal["mean", "cls"] = "mean"
    """What stands for a text: the mean of its tokens' vectors (Reimers & Gurevych 2019, "Sentence-BERT", section 3), or the first's. Left
    out, a folder of sentence-transformers says it, and elsewhere it is the mean."""
    inverse_regularization: float | None = Field(None, gt=0, le=1e4)
    """scikit-learn's C: larger fits the training rows closer. By default that of 0.001, 0.01 ... 10 whose loss on dev rows is least."""
    max_length: int | None = Field(None, ge=8, le=512)
    """Tokens of a text that the model reads; the rest is cut. By default the data choose: as many as all but one in 1,000 training rows
    have, in steps of 8, and at most 512 or what the base model reads."""

    @property
    def most_tokens(self) -> int | None:
        return self.max_length


class LinearProbe:
    """Embed, standardise, regress; the standardisation is folded into the layer that is saved."""

    name = "linear_probe"
    version = 2
    rank = 20
    kind = "embedding_head"
    options = LinearProbeOptions
    families = frozenset({"encoder", "decoder"})
    """Whose vectors are read without anything else."""
    starts: tuple[Start, ...] = ("base", "adapted")
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: LinearProbeOptions) -> dict[str, float]:
        """Write encoder and head; returns tokens, how many texts had to be embedded, and the C that was chosen."""
        from regraft.models.task_types import task_type
        from regraft.training import vectors

        rows = vectors.of_rows(learning, options, [learning.training, learning.dev])
        truth, dev_truth = (task_type(learning.task).truth(part, learning.labels) for part in (learning.training, learning.dev))
        features, dev = rows.parts
        weight, bias, chosen = fitted(features, truth, dev, dev_truth, len(learning.labels), options.inverse_regularization)
        assert learning.source is not None
        vectors.write(rows.frozen.body, learning.source, learning.out, weight, bias)
        return {"tokens": rows.tokens[0], "embedded": rows.computed, "inverse_regularization": chosen}

    def describe(self, options: LinearProbeOptions) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length, "pooling": options.pooling}


def fitted(x: Floats, truth: Ints, dev: Floats, dev_truth: Ints, classes: int, strength: float | None) -> tuple[Floats, Floats, float]:
    """Weight ``[classes, width]`` and bias ``[classes]`` for vectors as they come, and the C they were fitted with.

    The solver starts at 0 and runs in one thread: the same vectors give the same weights.

    :param strength: C; None: of :data:`GRID`, from its start, the last before the mean loss on ``dev`` rises; 1 without dev rows.
    :raises DataRejected: ``truth`` holds one class only.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from regraft.core.errors import DataRejected

    if len(np.unique(truth)) < 2:
        raise DataRejected("the training rows hold 1 label; a classifier needs at least 2", fix="label rows of another class")
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread == 0] = 1.0
    grid: Sequence[float] = (strength,) if strength is not None else GRID if len(dev_truth) else (1.0,)
    best: tuple[float, Floats, Floats, float] | None = None
    with threadpool_limits(1):
        for c in grid:
            weight, bias = _regression((x - mean) / spread, truth, classes, c)
            loss = _loss((dev - mean) / spread @ weight.T + bias, dev_truth) if len(dev_truth) else 0.0
            if best is not None and loss >= best[0]:
                break  # looser ones only fit the rows closer
            best = loss, weight, bias, c
    assert best is not None
    _, weight, bias, c = best
    return weight / spread, bias - weight @ (mean / spread), c


def _regression(x: Floats, truth: Ints, classes: int, c: float) -> tuple[Floats, Floats]:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from regraft.training.vectors import ABSENT

    model = LogisticRegression(C=c, max_iter=MOST_STEPS).fit(x, truth)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two classes are one logistic function: the softmax of (0, z)
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, intercepts.min() - ABSENT)
    weight[model.classes_], bias[model.classes_] = coefficients, intercepts
    return weight, bias


def _loss(logits: Floats, truth: Ints) -> float:
    """Mean cross-entropy in nats."""
    import numpy as np
    from scipy.special import logsumexp

    return float((logsumexp(logits, axis=1) - logits[np.arange(len(truth)), truth]).mean())


LINEAR_PROBE = LinearProbe()
