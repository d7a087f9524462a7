"""``ensemble``: other candidates answer together, each with the same weight. Nothing is trained.

Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles". The more its members
err on different rows, the more it gains, so members of different methods are worth more than one method twice. It serves as slowly as all
of them together.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from regraft.training.options import MethodOptions
from regraft.training.plugins import Learning, Start


class TogetherOptions(MethodOptions):
    """What is made of other candidates' models."""

    of: tuple[str, ...] = Field(min_length=2)
    """The candidates that it is made of; they stand above it in `candidates`."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if twice := [name for name, count in Counter(self.of).items() if count > 1]:
            raise ValueError(f"`of` names {twice[0]} more than once")
        return self


class EnsembleOptions(TogetherOptions):
    """The mean of other candidates' answers (Lakshminarayanan et al. 2017, "Deep Ensembles")."""

    method: Literal["ensemble"]
    """Other candidates answer together."""


class Ensemble:
    """Copies its members' folders."""

    name = "ensemble"
    version = 1
    rank = 60
    kind = "ensemble"
    options = EnsembleOptions
    starts: tuple[Start, ...] = ()
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: EnsembleOptions) -> dict[str, float]:
        """Put the members' folders into one; returns how many there are.

        :raises ConfigError: a member's model cannot be a part.
        """
        from regraft.core.errors import ConfigError
        from regraft.models import kinds
        from regraft.models.kinds.ensemble import MEMBERS

        for number, (name, folder) in enumerate(named_models(learning, options.of)):
            if (kind := kinds.kind_of(folder)) not in kinds.KINDS.ours or kind == self.kind:
                raise ConfigError(
                    f"finetune.of: the model of {name} is of the kind {kind!r}, which is no part of an ensemble", fix="take it out"
                )
            shutil.copytree(folder, learning.out / MEMBERS / str(number), copy_function=shutil.copyfile)
        return {"tokens": learning.words, "members": len(options.of)}

    def describe(self, options: EnsembleOptions) -> dict[str, Any]:
        """What the kind reads in ``serving.json``: nothing more."""
        return {}


def named_models(learning: Learning, names: Sequence[str]) -> list[tuple[str, Path]]:
    """The folders of other candidates' models, which know the same labels.

    :raises ConfigError: the step was not given one, as one of an older workspace is not.
    """
    from regraft.core.errors import ConfigError

    if missing := [name for name in names if name not in learning.models]:
        message = f"tasks/finetune.py hands on no model of {', '.join(missing)}, which finetune names"
        raise ConfigError(message, fix="regraft init --upgrade .")
    return [(name, learning.models[name]) for name in names]


ENSEMBLE = Ensemble()
