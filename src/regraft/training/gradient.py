"""What methods share that train by gradient descent: an encoder with a new head, through the loop, into a plain folder.

The pooler starts anew with the head: the one that came with the encoder was trained for something else, and masked-language
modelling drops it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.models.machine import Machine
    from regraft.training.fitting import Fitting
    from regraft.training.phase import Group, Phase


class Gradient:
    """A method is a subclass with a name, options, a version and a rank; whatever else it changes, it overrides."""

    kind = "sequence_classification"
    starts: tuple[Start, ...] = ("base", "adapted")
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def prepare(self, model: PreTrainedModel, family: ModelFamily, seed: int, options: Any) -> None:
        """Change ``model``, whose head is new already, into what is trained."""

    def groups(self, model: PreTrainedModel, family: ModelFamily, options: Any) -> list[Group]:
        """What is trained of the model that :meth:`prepare` left, and at which peak rates; the rest stays as it is."""
        raise NotImplementedError(type(self).__name__)

    def penalty(self, model: PreTrainedModel, options: Any) -> Callable[[], Tensor] | None:
        """What the weights themselves cost, added to the loss once a step; None: nothing.

        Called when the weights are those that training begins with, also where it goes on from a checkpoint.
        """
        return None

    def phases(self, fitting: Fitting, options: Any) -> list[Phase]:
        """What is trained one after the other: all epochs with :meth:`groups` and :meth:`penalty`, unless a method has its own way.

        Called as :meth:`penalty` is.
        """
        groups, penalty = self.groups(fitting.model, fitting.family, options), self.penalty(fitting.model, options)
        return [fitting.phase("all", options.epochs, groups, penalty=penalty)]

    def finish(self, model: PreTrainedModel) -> None:
        """Change the trained ``model`` into what is saved: plain transformers, without what :meth:`prepare` put in."""

    def describe(self, options: Any) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length}

    def train(self, learning: Learning, options: Any) -> dict[str, float]:
        """Train, and write a folder that plain transformers can load; returns tokens, steps and what the phases measured.

        :raises ConfigError: the encoder has fewer positions than ``options.max_length``.
        """
        from regraft.core.randomness import order, seed_of
        from regraft.models import encoder, tokenizer
        from regraft.models.families import family
        from regraft.models.task_types import task_type
        from regraft.training.fitting import Fitting, balanced
        from regraft.training.loop import train
        from regraft.training.recompute import recomputed
        from regraft.training.rows import Rows

        source, task = learning.source, task_type(learning.task)
        assert source is not None
        encoder.check_length(source, options.max_length, "finetune.max_length")
        model = task.model(source, learning.labels)
        fresh_head(model, learning.seed)
        self.prepare(model, family(model), learning.seed, options)
        pad = tokenizer.load(source).pad_token_id or 0

        def encoded(table: pd.DataFrame) -> Rows:
            ids, truth = task.encode(source, table, options.max_length), task.truth(table, learning.labels)
            return Rows(ids, truth, options.batch_size, pad, learning.seed, table["id"].tolist())

        rows = encoded(learning.training)
        curve = learning.dev.iloc[order(len(learning.dev), seed_of(learning.seed, "dev curve"), 0)[: options.dev_curve]]
        dev = encoded(curve) if len(curve) else None

        def phases(_: nn.Module, machine: Machine) -> list[Phase]:  # on the machine already, and with the weights it begins with
            weights = balanced(rows.labels, len(learning.labels)) if options.class_weights else None
            fitting = Fitting(model, family(model), rows, learning, machine, options.label_smoothing, options.schedule, weights, dev)
            return self.phases(fitting, options)

        taken = {"optimizer": options.made_by, "accumulation": options.gradient_accumulation, "shards": options.shards}
        with recomputed(family(model).layers(model).children(), wanted=options.gradient_checkpointing):
            measured = train(learning.name, model, phases, seed=learning.seed, checkpoint_seconds=options.checkpoint_seconds, **taken)
        self.finish(model)
        encoder.save(model, source, learning.out)
        return {"tokens": sum(map(len, rows.ids)) * options.epochs, "steps": rows.steps * options.epochs, **measured}


def fresh_head(model: PreTrainedModel, seed: int) -> None:
    """Initialise pooler and head anew, from the seed alone (normal, ``initializer_range``; biases 0)."""
    import torch

    from regraft.core.randomness import seed_of
    from regraft.models.families import family

    generator = torch.Generator().manual_seed(seed_of(seed, "head"))
    spread = getattr(model.config, "initializer_range", 0.02)
    for module in (part for top in family(model).head(model) for part in top.modules()):
        if isinstance(module, torch.nn.Linear):
            with torch.no_grad():
                module.weight.normal_(0.0, spread, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
