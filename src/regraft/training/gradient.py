"""What methods share that train by gradient descent: an encoder with a new head, through the loop, into a plain folder.

The pooler starts anew with the head: the one that came with the encoder was trained for something else, and masked-language
modelling drops it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from regraft.models.families import ModelFamily
    from regraft.models.machine import Machine
    from regraft.training.phase import Group, Phase
    from regraft.training.rows import Rows


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

    def finish(self, model: PreTrainedModel) -> None:
        """Change the trained ``model`` into what is saved: plain transformers, without what :meth:`prepare` put in."""

    def describe(self, options: Any) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length}

    def train(self, learning: Learning, options: Any) -> dict[str, float]:
        """Train, and write a folder that plain transformers can load; returns tokens and steps.

        :raises ConfigError: the encoder has fewer positions than ``options.max_length``.
        """
        from regraft.models import encoder, tokenizer
        from regraft.models.families import family
        from regraft.models.task_types import task_type
        from regraft.training.loop import train
        from regraft.training.rows import Rows

        source, task = learning.source, task_type(learning.task)
        assert source is not None
        encoder.check_length(source, options.max_length, "finetune.max_length")
        model = task.model(source, learning.labels)
        fresh_head(model, learning.seed)
        self.prepare(model, family(model), learning.seed, options)
        ids, truth = task.encode(source, learning.training, options.max_length), task.truth(learning.training, learning.labels)
        pad = tokenizer.load(source).pad_token_id or 0
        rows = Rows(ids, truth, options.batch_size, pad, learning.seed, learning.training["id"].tolist())

        def phases(_: nn.Module, machine: Machine) -> list[Phase]:  # on the machine already, and with the weights it begins with
            groups, penalty = self.groups(model, family(model), options), self.penalty(model, options)
            return [_phase(model, machine, rows, options, learning.task, groups, penalty)]

        kept, shards = options.checkpoint_seconds, options.shards or 1
        train(learning.name, model, phases, seed=learning.seed, checkpoint_seconds=kept, shards=shards)
        self.finish(model)
        encoder.save(model, source, learning.out)
        return {"tokens": sum(map(len, rows.ids)) * options.epochs, "steps": rows.steps * options.epochs}


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


def _phase(
    model: nn.Module,
    machine: Machine,
    rows: Rows,
    options: Any,
    task: str,
    groups: list[Group],
    penalty: Callable[[], Tensor] | None,
) -> Phase:
    from regraft.models.task_types import task_type
    from regraft.training.phase import Batches, Phase

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        ids, mask, truth = (part.to(machine.device) for part in batch)
        return task_type(task).loss(model, ids, mask, truth, options.label_smoothing)

    batches = Batches(
        "finetune.batch_size",
        rows=lambda step: [rows.names[i] for i in rows.chosen(step)],
        length=lambda step: max(len(rows.ids[i]) for i in rows.chosen(step)),
        largest=lambda count: loss(rows.padded(rows.longest(count))),
    )

    def part(step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
        batch = rows.part(step, part, parts)
        return None if batch is None else loss(batch)

    tokens = sum(map(len, rows.ids)) / rows.steps
    steps = rows.steps * options.epochs
    return Phase("all", steps, lambda step: loss(rows.batch(step)), groups, batches=batches, penalty=penalty, part=part, tokens=tokens)
