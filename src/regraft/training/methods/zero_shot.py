"""``zero_shot``: a text is of the class whose description it is nearest to. No label is read, but for the temperature.

Yin et al. 2019, "Benchmarking Zero-shot Text Classification" (section 3: labels by what they mean), with the cosine of sentence vectors
(Reimers & Gurevych 2019, "Sentence-BERT") in the place of entailment. It takes an encoder that was made for sentences.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from regraft.training.methods.prototype import SCALE, PrototypeOptions
from regraft.training.plugins import Learning, Start


class ZeroShotOptions(PrototypeOptions):
    """The nearest description under a frozen encoder (Yin et al. 2019)."""

    method: Literal["zero_shot"]  # type: ignore[assignment]
    """A description stands for a class."""
    descriptions: dict[str, str] = Field(default={})
    """Label -> what a text of it is about, in a sentence, in the words that its texts use: `{refund: "The customer wants money back."}`."""

    @model_validator(mode="after")
    def _classes_are_described(self) -> Self:
        if not self.descriptions:
            raise ValueError(
                '`method: zero_shot` needs `descriptions`, label by label: `descriptions: {refund: "..."}`; or name another method'
            )
        if empty := [label for label, text in self.descriptions.items() if not text.strip()]:
            raise ValueError(f"`descriptions` says nothing about {', '.join(empty)}")
        return self


class ZeroShot:
    """Embed the descriptions."""

    name = "zero_shot"
    version = 2
    rank = 12
    kind = "embedding_head"
    options = ZeroShotOptions
    families = frozenset({"encoder", "decoder"})
    """Whose vectors are read without anything else."""
    starts: tuple[Start, ...] = ("base", "adapted")
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: ZeroShotOptions) -> dict[str, float]:
        """Write encoder and descriptions.

        :raises ConfigError: a label has no description, or a description is of none.
        """
        import numpy as np
        import pandas as pd

        from regraft.training import vectors

        require_descriptions(options.descriptions, learning.labels)
        table = pd.DataFrame({"text": [options.descriptions[label] for label in learning.labels]})
        described = vectors.of_rows(learning, options, [table])
        assert learning.source is not None
        weight = SCALE * vectors.directions(described.parts[0])
        vectors.write(described.frozen.body, learning.source, learning.out, weight, np.zeros(len(weight)))
        return {"tokens": learning.words, "embedded": described.computed}

    def describe(self, options: ZeroShotOptions) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length, "pooling": options.pooling, "length": 1}


def require_descriptions(descriptions: dict[str, str], labels: Any) -> None:
    """Refuse descriptions of other classes than ``labels``. ConfigError naming them."""
    from regraft.core.errors import ConfigError
    from regraft.core.suggest import guess

    missing, more = [label for label in labels if label not in descriptions], [label for label in descriptions if label not in labels]
    if missing:
        raise ConfigError(
            f"finetune.descriptions says nothing about {', '.join(missing)}", fix=f"describe {missing[0]!r} in the pipeline file"
        )
    if more:
        otherwise = f"; labels are {', '.join(labels)}"
        raise ConfigError(f"finetune.descriptions: no row has the label {more[0]!r}{guess(more[0], labels, otherwise)}", fix="take it out")


ZERO_SHOT = ZeroShot()
