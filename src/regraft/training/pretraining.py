"""Domain-adaptive pretraining: text in, an encoder that has read it, and the head it was trained under.

Gururangan et al. 2020, "Don't Stop Pretraining", section 3. What is learned from the text is the objective's to say. A prediction
head the base model does not bring is trained first, with the encoder frozen: its random gradients would otherwise damage the
encoder. Before and after are compared on held-out documents with that same warmed-up head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regraft.core.errors import DataRejected
from regraft.core.progress import emit, progress
from regraft.core.randomness import visits
from regraft.data.packing import Packed, read
from regraft.models import encoder
from regraft.models.families import family
from regraft.models.machine import Machine
from regraft.training.general_text import UNKNOWN_TEXT
from regraft.training.loop import train
from regraft.training.options import ObjectiveOptions
from regraft.training.parts import share
from regraft.training.phase import Batches, Group, Phase, Watch
from regraft.training.plugins import OBJECTIVES, Corruption
from regraft.training.schedules import factor_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ints = NDArray[np.int64]
LossOf = Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]
"""(ids, labels) of a batch -> (mean loss in nats, number of guesses)."""

HELDOUT_SEQUENCES = 128  # 16k tokens: 2 s on 2 cores
LOOKS = 8
LOOK_SEQUENCES = 32  # each with its fixed mask, so that looks differ by the weights alone


@dataclass(frozen=True)
class Corpus:
    """The packed tokens, and which of them a step sees how they are corrupted."""

    shards: dict[str, Packed]
    corruption: Corruption
    batch_size: int
    seed: int

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """Ids and labels of one training step, ``[batch_size, length]``: a function of (seed, epoch, index)."""
        return self._corrupted(self.places(step))

    def part(self, step: int, part: int, parts: int) -> tuple[Ints, Ints] | None:
        """:meth:`batch` of one part of the step's sequences; None: it has none."""
        places = share(self.places(step), part, parts)
        return self._corrupted(list(places)) if places else None

    def places(self, step: int) -> list[tuple[int, int]]:
        """``(epoch, index)`` of the sequences of one training step."""
        return visits(step, self.batch_size, len(self.shards["train"]), self.seed)

    def any(self, count: int) -> tuple[Ints, Ints]:
        """A batch of ``count`` sequences; all are of one length."""
        return self._corrupted([(0, index % len(self.shards["train"])) for index in range(count)])

    def _corrupted(self, places: list[tuple[int, int]]) -> tuple[Ints, Ints]:
        return self.corruption.batch(self.shards["train"].rows(index for _, index in places), self.seed, places)

    def heldout(self, most: int = HELDOUT_SEQUENCES) -> Iterator[tuple[Ints, Ints]]:
        """Batches of at most so many held-out sequences, spread over the shard, each with its one fixed corruption."""
        shard = self.shards["heldout"]
        chosen = np.unique(np.linspace(0, len(shard) - 1, min(most, len(shard)), dtype=np.int64))
        for start in range(0, len(chosen), self.batch_size):
            indices = [int(i) for i in chosen[start : start + self.batch_size]]
            yield self.corruption.batch(shard.rows(indices), self.seed, [(-1, index) for index in indices])


@dataclass(frozen=True)
class Budget:
    """How much general language adaptation may cost."""

    general: dict[str, Packed]
    """General text, packed like the corpus."""
    max_loss_increase: float
    """How many nats a masked token may cost more than before."""

    def watch(self, model: PreTrainedModel, loss: LossOf, corpus: Corpus, machine: Machine, warmup: int, steps: int) -> Watch:
        """Look at the loss on general text :data:`LOOKS` times in ``steps``, with the head as it stands."""
        text = replace(corpus, shards=self.general)

        def allows(step: int, notes: dict[str, float]) -> bool:
            value = heldout_loss(model, loss, text, machine, LOOK_SEQUENCES)
            if value is None:
                raise DataRejected(UNKNOWN_TEXT, fix="name text in the base model's language")
            progress(warmup + step, warmup + steps, "steps", {"pretrain/general_loss": value})
            rise = value - notes.setdefault("general_loss_before", value)
            if rise <= self.max_loss_increase:
                notes.update(general_loss=value, general_steps=step)
                return True
            notes["general_loss_refused"] = value
            spent = f"general text costs {rise:.3f} nats a masked token more than before, and the budget is {self.max_loss_increase:g}"
            emit("warning", message=f"adaptation ends at step {notes['general_steps']:g} of {steps}: at step {step} {spent}")
            return False

        return Watch(math.ceil(steps / LOOKS), allows)


def pretrain(base: Path, tokens: Path, options: ObjectiveOptions, seed: int, out: Path, budget: Budget | None = None) -> dict[str, float]:
    """Adapt the encoder in ``base`` to the packed ``tokens`` and write encoder, head and tokenizer to ``out``.

    Returns ``steps``, ``tokens`` and, where documents were held out, their loss in nats a masked token before and after.
    With a ``budget`` that would be exceeded the weights are those of the last look at which it was not, ``steps`` and
    ``tokens`` count up to there, ``stopped_early`` is 1, and ``general_loss_before``, ``general_loss`` and
    ``general_loss_refused`` say why.
    """
    objective = OBJECTIVES[options.objective]
    torch.manual_seed(seed)  # a missing head is initialised from it
    model, missing = objective.load(base)
    shards = read(tokens)
    if missing:
        objective.begin(model, shards["train"])
    corpus = Corpus(
        shards, objective.corruption(base, options, model.config.get_text_config(decoder=True).vocab_size), options.batch_size, seed
    )
    per_step = options.batch_size * options.sequence_length
    warmup = math.ceil(options.head_warmup_tokens / per_step) if missing else 0
    steps = math.ceil(options.budget_tokens / per_step)
    notes = train(
        "pretrain",
        model,
        partial(phases, loss=objective.loss(model), corpus=corpus, options=options, warmup=warmup, steps=steps, budget=budget),
        seed=seed,
        checkpoint_seconds=options.checkpoint_seconds,
        shards=options.shards,
    )
    encoder.save(model, base, out)
    return {"steps": steps, "head_steps": warmup, "tokens": steps * per_step, **_spent(notes, per_step)}


def _spent(notes: dict[str, float], per_step: int) -> dict[str, float]:
    """The notes, with the steps and tokens that the weights have seen where a budget ended the training."""
    steps = notes.pop("general_steps", None)
    if steps is None or "general_loss_refused" not in notes:
        return notes
    return {**notes, "steps": steps, "tokens": steps * per_step, "stopped_early": 1}


def phases(
    model: PreTrainedModel,
    machine: Machine,
    *,
    loss: LossOf,
    corpus: Corpus,
    options: ObjectiveOptions,
    warmup: int,
    steps: int,
    budget: Budget | None = None,
) -> list[Phase]:
    """Head with the encoder frozen, then everything, as far as the budget goes."""
    body = {id(p) for p in family(model).body(model).parameters()}  # tied: the output embedding belongs to it
    everything = list(model.parameters())
    head = [p for p in everything if id(p) not in body]

    per_step = options.batch_size * options.sequence_length

    def measure(name: str) -> dict[str, float]:
        value = heldout_loss(model, loss, corpus, machine)
        return {} if value is None else {name: value}

    def batches(offset: int) -> Batches:
        return Batches(
            "pretrain.batch_size",
            rows=lambda step: [f"sequence {index} of train.bin" for _, index in corpus.places(offset + step)],
            length=lambda _: options.sequence_length,
            largest=lambda count: loss(corpus.any(count)),
        )

    return [
        Phase(
            "head",
            warmup,
            lambda step: loss(corpus.batch(step)),
            [Group(head, options.head_learning_rate, "pretrain.head_learning_rate")],
            dropout=False,
            after=partial(measure, "heldout_loss_before"),
            batches=batches(0),
            part=partial(_part, loss, corpus, 0),
            tokens=per_step,
            factor=factor_of(options.schedule, warmup),
        ),
        Phase(
            "all",
            steps,
            lambda step: loss(corpus.batch(warmup + step)),
            [Group(everything, options.learning_rate, "pretrain.learning_rate")],
            dropout=options.dropout,
            after=partial(measure, "heldout_loss"),
            batches=batches(warmup),
            part=partial(_part, loss, corpus, warmup),
            tokens=per_step,
            factor=factor_of(options.schedule, steps),
            watch=budget.watch(model, loss, corpus, machine, warmup, steps) if budget else None,
        ),
    ]


def _part(loss: LossOf, corpus: Corpus, offset: int, step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
    """One of ``parts`` of the batch of ``step``, steps counted from ``offset``; None where it has no row."""
    batch = corpus.part(offset + step, part, parts)
    return None if batch is None else loss(batch)


def heldout_loss(model: PreTrainedModel, loss: LossOf, corpus: Corpus, machine: Machine, most: int = HELDOUT_SEQUENCES) -> float | None:
    """Mean loss of a guess on the text held out, dropout off; None where nothing was."""
    model.train(False)
    total, count = 0.0, 0
    with torch.no_grad(), machine.autocast():
        for batch in corpus.heldout(most):
            mean, guesses = loss(batch)
            total += mean.item() * guesses
            count += guesses
    return total / count if count else None
