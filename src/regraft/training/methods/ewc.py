"""``ewc``: every weight is trained, and the encoder's are drawn back to those it began with, each by what general text needs it for.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks", equation 3. What a weight is needed for is the diagonal of
the Fisher information: the mean square of the loss's gradient, here that of masked-language modelling on the docstrings of Python's
standard library, one sequence at a time and with the tokens that stand there (the empirical Fisher; Kunstner et al. 2019, "Limitations
of the empirical Fisher approximation", say where it differs). The head it takes is warmed up first, as :mod:`regraft.training.forgetting`
does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.methods.full import Full
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from regraft.training.fitting import Fitting
    from regraft.training.phase import Phase
    from regraft.training.pretraining import Corpus

    Ints = NDArray[np.int64]

LENGTH, BATCH = 128, 16
"""Tokens of a sequence of general text, and sequences of a step that warms the head up."""
WARMUP_STEPS = 25
"""50,000 tokens, as where forgetting is measured."""
HEAD_RATE = 3e-3
KEPT = "fisher.safetensors"


class EwcOptions(GradientOptions):
    """Full fine-tuning that spares what general text needs (Kirkpatrick et al. 2017, "EWC")."""

    method: Literal["ewc"]
    """A distance from the start costs, by the Fisher information of general text."""
    strength: float = Field(0.1, ge=0, le=1e4)
    """Half of it times the squared distance of the encoder's weights from their start, each by its Fisher information, is added to the
    loss. Their mean is brought to 1, so that a strength means what it means for `l2sp`."""
    fisher_sequences: int = Field(200, ge=8, le=100_000)
    """Sequences of 128 tokens of general text that the Fisher information is the mean of."""


class Ewc(Full):
    """The groups and rates of ``full``; the encoder is held three times: as it is, as it was, and what each weight is needed for."""

    name = "ewc"
    version = 2
    rank = 43
    options = EwcOptions
    families = frozenset({"encoder"})
    """Whose weights guesses of masked tokens weigh."""
    hides_tokens = True
    """It needs a tokenizer with a mask token."""

    def phases(self, fitting: Fitting, options: EwcOptions) -> list[Phase]:
        from regraft.training.methods.l2sp import distance, started

        began = started(fitting.model)
        fisher = kept_fisher(fitting, options)
        names = {id(p): name for name, p in fitting.model.base_model.named_parameters()}
        weights = [fisher[names[id(p)]].to(fitting.machine.device) for p, _ in began]
        bytes_more = sum(start.nbytes + weight.nbytes for (_, start), weight in zip(began, weights, strict=True))
        groups = self.groups(fitting.model, fitting.family, options)
        penalty = distance(began, options.strength, weights)
        return [fitting.phase("all", options.epochs, groups, penalty=penalty, after=lambda: {"penalty_mb": bytes_more / 1e6})]


def kept_fisher(fitting: Fitting, options: EwcOptions) -> dict[str, Tensor]:
    """:func:`fisher` of the encoder that the training begins with; beside the checkpoints, so that it is computed once."""
    import torch
    from safetensors.torch import load, save

    from regraft.core import files
    from regraft.core.progress import current, running
    from regraft.training.checkpoint import Checkpoints

    context, source = current(), fitting.learning.source
    assert source is not None
    home = context.checkpoints / "fisher" if context.checkpoints else None
    if home is not None and (home / KEPT).is_file():
        return load((home / KEPT).read_bytes())
    if home is not None and Checkpoints(home).start() is None:
        Checkpoints(home).begin(fitting.machine, exact=True)
    with running(replace(context, checkpoints=home, facts={})), torch.random.fork_rng():
        computed = fisher(source, fitting.learning.seed, options)
    fitting.machine.apply()  # a training sets threads, and those of this one are settled
    if home is not None:
        files.write_bytes(home / KEPT, save(computed))
    return computed


def fisher(source: Path, seed: int, options: EwcOptions) -> dict[str, Tensor]:
    """Name of a weight of the encoder in ``source`` -> its share of the Fisher information, the mean of all being 1.

    :raises DataRejected: the tokenizer knows no word of the general text.
    """
    from transformers import AutoModelForMaskedLM

    from regraft.core.errors import DataRejected
    from regraft.data.options import GeneralText
    from regraft.models import encoder
    from regraft.training.forgetting import fresh_head
    from regraft.training.general_text import pack_general
    from regraft.training.objectives.mlm import MlmOptions, masking, start_from_frequencies
    from regraft.training.pretraining import Corpus

    model, _ = encoder.load(AutoModelForMaskedLM, source)
    fresh_head(model, seed)
    text = GeneralText(text=None, digest=None, column="text")
    share = MlmOptions.model_fields["mask_probability"].default
    with TemporaryDirectory(prefix="regraft-general-") as folder:
        shards = pack_general(text, source, min(LENGTH, _most(source)), Path(folder))
        start_from_frequencies(model, shards["train"])
        corpus = Corpus(shards, masking(source, share, model.config.vocab_size), BATCH, seed)
        squares = _squares(model, corpus, seed, options)
    mean = sum(square.sum().item() for square in squares.values()) / max(1, sum(square.numel() for square in squares.values()))
    if not mean > 0:
        raise DataRejected("finetune.method 'ewc': the general text says nothing about the encoder's weights", fix="finetune.method: l2sp")
    return {name: (square / mean).cpu().contiguous() for name, square in squares.items()}


def _most(source: Path) -> int:
    from regraft.models import base_model

    return base_model.positions(source) or LENGTH


def _squares(model: PreTrainedModel, corpus: Corpus, seed: int, options: EwcOptions) -> dict[str, Tensor]:
    """Warm the head of ``model`` up; then the squared gradients of the encoder, summed over sequences of general text."""
    import torch

    from regraft.core.progress import progress
    from regraft.training.forgetting import head_parameters
    from regraft.training.loop import train
    from regraft.training.objectives.mlm import MaskedLoss
    from regraft.training.phase import Group, Phase

    loss = MaskedLoss(model)
    body = dict(model.base_model.named_parameters())
    squares: dict[str, Tensor] = {}

    def measure() -> dict[str, float]:
        model.train(False)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        squares.update({name: torch.zeros_like(parameter) for name, parameter in body.items()})
        for done, (ids, labels) in enumerate(_one_by_one(corpus, options.fisher_sequences), start=1):
            gradients = torch.autograd.grad(loss(ids, labels, reduction="sum"), list(body.values()), allow_unused=True)
            for square, gradient in zip(squares.values(), gradients, strict=True):
                if gradient is not None:
                    square.addcmul_(gradient, gradient)
            progress(done, options.fisher_sequences, "sequences")
        return {}

    def warm_up(step: int) -> tuple[Tensor, int]:
        return loss.batch(corpus.batch(step))

    def part(step: int, part: int, parts: int) -> tuple[Tensor, int] | None:
        batch = corpus.part(step, part, parts)
        return None if batch is None else loss.batch(batch)

    def phases(*_: object) -> list[Phase]:
        head = Group(head_parameters(model), HEAD_RATE)
        return [Phase("head", WARMUP_STEPS, warm_up, [head], dropout=False, after=measure, part=part)]

    # In shards like the training that follows: its workers are forked, which does not go after an operation in two threads.
    train("fisher", model, phases, seed=seed, checkpoint_seconds=options.checkpoint_seconds, shards=options.shards)
    return squares


def _one_by_one(corpus: Corpus, most: int) -> Iterator[tuple[Ints, Ints]]:
    """Ids and labels ``[1, length]`` of sequences spread over the text; those without a masked token are left out.

    What the gate ``forgetting`` holds out is not among them, or a model would be spared just what it is measured on.
    """
    import numpy as np

    from regraft.training.objectives.masking import IGNORED

    shard = corpus.shards["train"]
    for index in np.unique(np.linspace(0, len(shard) - 1, min(most, len(shard)), dtype=np.int64)).tolist():
        ids, labels = corpus.corruption.batch(shard.rows([index]), corpus.seed, [(-1, index)])
        if (labels != IGNORED).any():
            yield ids, labels


EWC = Ewc()
