"""Adaptive pretraining: text in, an encoder that has read it, and the head it was trained under.

Gururangan et al. 2020, "Don't Stop Pretraining": section 3 is about a corpus of the domain, section 4 about the texts of the task, which
may follow it. What is learned from the text is the objective's to say. A prediction head the base model does not bring is trained first,
with the encoder frozen: its random gradients would otherwise damage the encoder. Before and after are compared on held-out documents
with that same warmed-up head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regraft.core.errors import ConfigError, DataRejected
from regraft.core.progress import emit, progress, warn_once
from regraft.core.randomness import seed_of, visit, visits
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
from regraft.training.recompute import recomputed
from regraft.training.schedules import factor_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ints = NDArray[np.int64]
LossOf = Callable[[tuple[Ints, Ints]], tuple[Tensor, int]]
"""(ids, labels) of a batch -> (mean loss in nats, number of guesses)."""

HELDOUT_SEQUENCES = 128  # 16k tokens: 2 s on 2 cores
LOOKS = 8
ROWS = "rows"
"""Name of the rows' texts, and of the phase that reads them after the corpus."""
LOOK_SEQUENCES = 32  # each with its fixed mask, so that looks differ by the weights alone


Place = tuple[int, int, bool]
"""(epoch, index, whether it is a replayed sequence) of a sequence."""


@dataclass(frozen=True)
class Replay:
    """General text that is read in between: of any first n sequences, the whole number of ``share * n``."""

    shard: Packed
    share: float

    def before(self, number: int) -> tuple[int, bool]:
        """How many of the ``number`` sequences before this one are replayed, and whether this one is."""
        before = int(number * self.share)
        return before, int((number + 1) * self.share) > before

    def seed(self, seed: int) -> int:
        """Of order and masks, which are others than the corpus's own."""
        return seed_of(seed, "replay")


@dataclass(frozen=True)
class Corpus:
    """The packed tokens, and which of them a step sees how they are corrupted."""

    shards: dict[str, Packed]
    corruption: Corruption
    batch_size: int
    seed: int
    replay: Replay | None = None
    """What is read in between; None: nothing."""

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """Ids and labels of one training step, ``[batch_size, length]``: a function of (seed, epoch, index)."""
        return self._corrupted(self.places(step))

    def part(self, step: int, part: int, parts: int) -> tuple[Ints, Ints] | None:
        """:meth:`batch` of one part of the step's sequences; None: it has none."""
        places = share(self.places(step), part, parts)
        return self._corrupted(list(places)) if places else None

    def places(self, step: int) -> list[Place]:
        """Where the sequences of one training step stand."""
        if self.replay is None:
            return [(*visit, False) for visit in visits(step, self.batch_size, len(self.shards["train"]), self.seed)]
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        own, general, seed = len(self.shards["train"]), len(self.replay.shard), self.replay.seed(self.seed)
        return [
            (*visit(before, general, seed), True) if chosen else (*visit(number - before, own, self.seed), False)
            for number in numbers
            for before, chosen in [self.replay.before(number)]
        ]

    def any(self, count: int) -> tuple[Ints, Ints]:
        """A batch of ``count`` sequences; all are of one length."""
        return self._corrupted([(0, index % len(self.shards["train"]), False) for index in range(count)])

    def _corrupted(self, places: Sequence[Place]) -> tuple[Ints, Ints]:
        """Sequences of the corpus before replayed ones: what rows of a batch stand beside changes none of them."""
        made = [
            self.corruption.batch(shard.rows(index for _, index in visited), seed, visited)
            for shard, seed, replayed in self._sources()
            if (visited := [(epoch, index) for epoch, index, is_replay in places if is_replay is replayed])
        ]
        return made[0] if len(made) == 1 else (np.concatenate([ids for ids, _ in made]), np.concatenate([labels for _, labels in made]))

    def _sources(self) -> Iterator[tuple[Packed, int, bool]]:
        """(sequences, seed, whether they are replayed) of what is read."""
        yield self.shards["train"], self.seed, False
        if self.replay is not None:
            yield self.replay.shard, self.replay.seed(self.seed), True

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

    def watch(self, model: PreTrainedModel, loss: LossOf, stage: Stage, machine: Machine, total: int) -> Watch:
        """Look at the loss on general text :data:`LOOKS` times in ``stage``, with the head as it stands.

        :param total: steps of the whole training.
        """
        text, taken = replace(stage.corpus, shards=self.general), f"{stage.notes}_steps"

        def allows(step: int, notes: dict[str, float]) -> bool:
            value = heldout_loss(model, loss, text, machine, LOOK_SEQUENCES)
            if value is None:
                raise DataRejected(UNKNOWN_TEXT, fix="name text in the base model's language")
            progress(stage.before + step, total, "steps", {"pretrain/general_loss": value})
            rise = value - notes.setdefault("general_loss_before", value)
            if rise <= self.max_loss_increase:
                notes.update({"general_loss": value, taken: step})
                return True
            notes["general_loss_refused"] = value
            spent = f"general text costs {rise:.3f} nats a masked token more than before, and the budget is {self.max_loss_increase:g}"
            told = f"step {notes.get(taken, 0):g} of {stage.steps}: at step {step} {spent}"
            emit("warning", message=f"adaptation{stage.told} ends at {told}")
            return False

        return Watch(math.ceil(stage.steps / LOOKS), allows)


@dataclass(frozen=True)
class Stage:
    """Some text that everything is trained on, with rates that rise anew; a training has one, or two in turn."""

    phase: str
    corpus: Corpus
    before: int
    """Steps of the training before it."""
    steps: int
    rate: float
    option: str
    """Key of the pipeline file that sets the rate."""
    measured: str
    """What the loss on the first text's held-out documents is called after it."""
    notes: str = "general"
    """How notes of a budget's looks at it begin."""
    told: str = ""
    """What a person is told of which one it is."""


def pretrain(
    base: Path,
    tokens: Path | None,
    options: ObjectiveOptions,
    seed: int,
    out: Path,
    budget: Budget | None = None,
    *,
    rows: Path | None = None,
    replay: Packed | None = None,
) -> dict[str, float]:
    """Adapt the encoder in ``base`` to packed text and write encoder, head and tokenizer to ``out``.

    Returns ``steps``, ``tokens`` and, where documents were held out, their loss in nats a masked token before and after.
    With a ``budget`` that would be exceeded the weights are those of the last look at which it was not, ``steps`` and
    ``tokens`` count up to there, ``stopped_early`` is 1, and ``general_loss_before``, ``general_loss`` and
    ``general_loss_refused`` say why.

    :param tokens: the corpus; None where the options read none.
    :param rows: the texts of the training rows, where they read those.
    :param replay: general text, where they ask for some in between.
    :raises ConfigError: a text that the options read is not handed in.
    """
    texts = _texts(options, tokens, rows, replay)
    objective = OBJECTIVES[options.objective]
    torch.manual_seed(seed)  # a missing head is initialised from it
    model, missing = objective.load(base)
    shards = [read(folder) for _, folder in texts]
    if missing:
        objective.begin(model, shards[0]["train"])
    if budget is not None and not getattr(objective, "guesses_tokens", True):
        told = "the gate `forgetting` judges the model afterwards, and nothing ends its adaptation before"
        warn_once(f"pretrain.objective {objective.name} guesses no tokens, which the budget counts: {told}")
        budget = None
    corruption = objective.corruption(base, options, model.config.get_text_config(decoder=True).vocab_size)
    between = Replay(replay, options.replay.share) if replay is not None and options.replay is not None else None
    corpora = [
        Corpus(shard, corruption, options.batch_size, seed_of(seed, name) if name == ROWS else seed, between)
        for (name, _), shard in zip(texts, shards, strict=True)
    ]
    per_step = options.batch_size * options.sequence_length
    warmup = math.ceil(options.head_warmup_tokens / per_step) if missing else 0
    stages = _stages(options, corpora, warmup, per_step)
    with recomputed(family(model).layers(model).children(), wanted=options.gradient_checkpointing):
        notes = train(
            "pretrain",
            model,
            partial(phases, loss=objective.loss(model, options), stages=stages, options=options, warmup=warmup, budget=budget),
            seed=seed,
            checkpoint_seconds=options.checkpoint_seconds,
            shards=options.shards,
            optimizer=options.made_by,
            accumulation=options.gradient_accumulation,
        )
    encoder.save(model, base, out)
    steps = sum(stage.steps for stage in stages)
    return {"steps": steps, "head_steps": warmup, "tokens": steps * per_step, **_spent(notes, stages, per_step)}


def _texts(options: ObjectiveOptions, tokens: Path | None, rows: Path | None, replay: Packed | None) -> list[tuple[str, Path]]:
    """(name, folder) of what ``options`` read, in turn.

    :raises ConfigError: something was not handed in, because the steps of an older workspace do not know it.
    """
    wanted = {"corpus": tokens} if options.reads_corpus else {}
    wanted |= {ROWS: rows} if options.reads_rows else {}
    missing = [f"pretrain.texts: {options.texts}" for folder in wanted.values() if folder is None]
    missing += ["pretrain.replay"] if options.replay is not None and replay is None else []
    if missing:
        raise ConfigError(f"{missing[0]}: the step `pretrain` of this workspace does not hand that in", fix="regraft init --upgrade .")
    return [(name, folder) for name, folder in wanted.items() if folder is not None]


def _stages(options: ObjectiveOptions, corpora: Sequence[Corpus], warmup: int, per_step: int) -> list[Stage]:
    """Everything, on the first text; then on the rows, where those follow."""
    steps = math.ceil(options.budget_tokens / per_step)
    first = Stage("all", corpora[0], warmup, steps, options.learning_rate, "pretrain.learning_rate", "heldout_loss")
    if options.rows_tokens is None:
        return [first]
    rate, key = options.rows_learning_rate, "pretrain.rows_learning_rate"
    if rate is None:
        rate, key = options.learning_rate, "pretrain.learning_rate"
    then, after = math.ceil(options.rows_tokens / per_step), "heldout_loss_after_rows"
    return [first, Stage(ROWS, corpora[1], warmup + steps, then, rate, key, after, "general_rows", " to the rows")]


def _spent(notes: dict[str, float], stages: Sequence[Stage], per_step: int) -> dict[str, float]:
    """The notes, with the steps and tokens that the weights have seen where a budget ended the training."""
    taken = [notes.pop(f"{stage.notes}_steps", None) for stage in stages]
    if "general_loss_refused" not in notes:
        return notes
    steps = sum(count or 0 for count in taken)
    return {**notes, "steps": steps, "tokens": steps * per_step, "stopped_early": 1}


def phases(
    model: PreTrainedModel,
    machine: Machine,
    *,
    loss: LossOf,
    stages: Sequence[Stage],
    options: ObjectiveOptions,
    warmup: int,
    budget: Budget | None = None,
) -> list[Phase]:
    """Head with the encoder frozen, then everything, as far as the budget goes."""
    body = {id(p) for p in family(model).body(model).parameters()}  # tied: the output embedding belongs to it
    everything = list(model.parameters())
    head = [p for p in everything if id(p) not in body]
    per_step = options.batch_size * options.sequence_length
    total = warmup + sum(stage.steps for stage in stages)
    corpus = stages[0].corpus

    def measure(name: str) -> dict[str, float]:
        value = heldout_loss(model, loss, corpus, machine)
        return {} if value is None else {name: value}

    def batches(corpus: Corpus, offset: int) -> Batches:
        return Batches(
            "pretrain.batch_size",
            rows=lambda step: [_named(place) for place in corpus.places(offset + step)],
            length=lambda _: options.sequence_length,
            largest=lambda count: loss(corpus.any(count)),
            accumulated=("pretrain.gradient_accumulation", options.most_parts),
        )

    def phase(name: str, steps: int, corpus: Corpus, offset: int, group: Group, measured: str, **more: Any) -> Phase:
        return Phase(
            name,
            steps,
            lambda step: loss(corpus.batch(offset + step)),
            [group],
            after=partial(measure, measured),
            batches=batches(corpus, offset),
            part=partial(_part, loss, corpus, offset),
            tokens=per_step,
            factor=factor_of(options.schedule, steps),
            **more,
        )

    def of_stage(stage: Stage) -> Phase:
        group, offset = Group(everything, stage.rate, stage.option), warmup if stage.corpus is corpus else 0
        watch = budget.watch(model, loss, stage, machine, total) if budget else None
        told = {"dropout": options.dropout, "watch": watch}
        return phase(stage.phase, stage.steps, stage.corpus, offset, group, stage.measured, **told)

    of_head = Group(head, options.head_learning_rate, "pretrain.head_learning_rate")
    return [phase("head", warmup, corpus, 0, of_head, "heldout_loss_before", dropout=False), *map(of_stage, stages)]


def _named(place: Place) -> str:
    """A sequence, as a person is told of it."""
    return f"sequence {place[1]} of {'the replayed text' if place[2] else 'train.bin'}"


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
