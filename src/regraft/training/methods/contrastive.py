"""``contrastive``: the encoder learns which rows are of one class, pair by pair; then a logistic regression reads its vectors.

Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts" (SetFit), section 3. n rows make n * n pairs, so a few rows a class
go a long way; the loss is the squared difference between the cosine of two texts' vectors and 1 (one class) or 0 (two), setfit's default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from regraft.training.methods.prototype import PrototypeOptions
from regraft.training.options import Shards, rows_for_each
from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from regraft.models.machine import Machine
    from regraft.training.phase import Phase
    from regraft.training.rows import Rows

    Ints = NDArray[np.int64]


class ContrastiveOptions(PrototypeOptions):
    """Pairs of rows, then a linear layer (Tunstall et al. 2022, "SetFit")."""

    method: Literal["contrastive"]  # type: ignore[assignment]
    """The encoder learns from pairs of rows."""
    pairs: int = Field(20, ge=1, le=500)
    """How many pairs with a row of its class, and how many with one of another, each row begins (setfit's `num_iterations`)."""
    batch_size: int = Field(16, ge=2)
    """Pairs in one optimizer step."""
    learning_rate: float = Field(2e-5, gt=0, lt=1)
    """Peak rate of the encoder; linear warm-up over the first 6 % of steps, then linear decay to 0."""
    inverse_regularization: float = Field(1.0, gt=0, le=1e4)
    """scikit-learn's C of the linear layer: larger fits the training rows closer."""
    shards: Shards = 2
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Most seconds of work a crash may cost."""

    @model_validator(mode="after")
    def _every_part_has_a_pair(self) -> Self:
        rows_for_each(self.shards, self.batch_size)
        return self

    @property
    def passes(self) -> int:
        return 4 * self.pairs  # two sorts of pairs, of two texts


class Contrastive:
    """One phase of pairs; then what ``linear_probe`` does, on vectors of length 1."""

    name = "contrastive"
    version = 4
    rank = 25
    kind = "embedding_head"
    options = ContrastiveOptions
    families = frozenset({"encoder", "decoder"})
    """Whose vectors are read without anything else."""
    starts: tuple[Start, ...] = ("base", "adapted")
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: ContrastiveOptions) -> dict[str, float]:
        """Train the encoder, fit the layer, write both; returns tokens, steps and pairs.

        :raises ConfigError: the encoder has fewer positions than ``options.max_length``.
        :raises DataRejected: the training rows hold one class only.
        """
        import numpy as np

        from regraft.models import encoder, tokenizer
        from regraft.models.families import family
        from regraft.models.kinds import embedding_head
        from regraft.models.task_types import task_type
        from regraft.training import vectors
        from regraft.training.loop import train
        from regraft.training.methods.linear_probe import fitted
        from regraft.training.rows import Rows

        source, task = learning.source, task_type(learning.task)
        assert source is not None
        assert options.max_length is not None
        encoder.check_length(source, options.max_length, "finetune.max_length")
        ids, truth = task.encode(source, learning.training, options.max_length), task.truth(learning.training, learning.labels)
        _require_classes(truth)
        model, _ = encoder.load_pretrained(source)
        body: Any = family(model).body(model)
        pad = tokenizer.load(source).pad_token_id or 0
        pairs = Pairs(Rows(ids, truth, options.batch_size, pad, learning.seed, learning.training["id"].tolist()), options)

        def phases(_: nn.Module, machine: Machine) -> list[Phase]:
            return [_phase(body, machine, pairs, options)]

        kept, shards = options.checkpoint_seconds, options.shards
        train(learning.name, model, phases, seed=learning.seed, checkpoint_seconds=kept, shards=shards)
        read = embedding_head.vectors(embedding_head.swift(body).eval(), [row.tolist() for row in ids], pad, options.pooling)
        x = vectors.directions(read.astype(np.float64))
        weight, bias, _ = fitted(x, truth, x[:0], truth[:0], len(learning.labels), options.inverse_regularization)
        vectors.write(body, source, learning.out, weight, bias)
        return {"tokens": sum(map(len, ids)) * options.passes, "steps": pairs.steps, "pairs": 2 * options.pairs * len(ids)}

    def describe(self, options: ContrastiveOptions) -> dict[str, Any]:
        """What the kind reads in ``serving.json``."""
        return {"max_length": options.max_length, "pooling": options.pooling, "length": 1}


@dataclass(frozen=True)
class Pairs:
    """Which two rows stand in which pair: a function of (seed, pair)."""

    rows: Rows
    options: ContrastiveOptions

    @property
    def steps(self) -> int:
        return math.ceil(2 * self.options.pairs * len(self.rows.ids) / self.options.batch_size)

    def chosen(self, step: int) -> tuple[Ints, Ints]:
        """The rows of one step, ``[pairs, 2]``, and whether both are of one class, ``[pairs]``.

        Rows begin pairs in turn, in an order of their own each time; every second pair is one of two classes. A row that is alone in
        its class makes a pair with itself, which dropout tells apart (Gao et al. 2021, "SimCSE", section 3).
        """
        import numpy as np

        from regraft.core.randomness import visits, words

        count, size, seed, truth = len(self.rows.ids), self.options.batch_size, self.rows.seed, self.rows.labels
        first = np.array([row for _, row in visits(step, size, count, seed)])
        alike = (np.arange(step * size, (step + 1) * size) // count % 2 == 0).astype(np.int64)
        draws = words(size, seed, "pair", step)
        second = [self._other(row, same, int(draw)) for row, same, draw in zip(first, alike, draws, strict=True)]
        pairs = np.stack([first, second], axis=1)
        return pairs, (truth[pairs[:, 0]] == truth[pairs[:, 1]]).astype(np.int64)

    def _other(self, row: int, same: int, draw: int) -> int:
        import numpy as np

        truth = self.rows.labels
        fitting = np.flatnonzero((truth == truth[row]) if same else (truth != truth[row]))
        fitting = fitting[fitting != row] if same and len(fitting) > 1 else fitting
        return int(fitting[draw % len(fitting)])


def _require_classes(truth: Ints) -> None:
    import numpy as np

    from regraft.core.errors import DataRejected

    if len(np.unique(truth)) < 2:
        raise DataRejected("the training rows hold 1 label; a classifier needs at least 2", fix="label rows of another class")


def _phase(body: Any, machine: Machine, pairs: Pairs, options: ContrastiveOptions) -> Phase:
    from regraft.training.parts import share
    from regraft.training.phase import Batches, Group, Phase

    rows = pairs.rows

    def loss(chosen: Ints, alike: Ints) -> tuple[Tensor, int]:
        return pair_loss(body, machine, rows, chosen, alike, options.pooling), len(chosen)

    def part(step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
        chosen, alike = pairs.chosen(step)
        places = list(share(range(len(chosen)), part, parts))
        return loss(chosen[places], alike[places]) if places else None

    batches = Batches(
        "finetune.batch_size",
        rows=lambda step: [rows.names[row] for row in pairs.chosen(step)[0].ravel().tolist()],
        length=lambda step: max(len(rows.ids[row]) for row in pairs.chosen(step)[0].ravel().tolist()),
        largest=lambda count: loss(rows.longest(2 * count).reshape(-1, 2), rows.longest(count) * 0),
    )
    group = Group(list(body.parameters()), options.learning_rate, "finetune.learning_rate")
    tokens = 2 * options.batch_size * sum(map(len, rows.ids)) / len(rows.ids)
    return Phase("pairs", pairs.steps, lambda step: loss(*pairs.chosen(step)), [group], batches=batches, part=part, tokens=tokens)


def pair_loss(body: Any, machine: Machine, rows: Rows, chosen: Ints, alike: Ints, pooling: str) -> Tensor:
    """Mean squared difference of the cosine of pairs ``[pairs, 2]`` and what it should be."""
    import torch
    from torch import nn

    ids, mask, _ = (each.to(machine.device) for each in rows.padded(chosen.T.ravel()))
    hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    seen = mask.unsqueeze(-1)
    read = (hidden * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1) if pooling == "mean" else hidden[:, 0]
    first, second = read.chunk(2)
    truth = torch.from_numpy(alike).to(machine.device).float()
    return nn.functional.mse_loss(nn.functional.cosine_similarity(first, second), truth)


CONTRASTIVE = Contrastive()
