"""What general text costs an encoder, measured so that encoders can be compared.

Adaptation leaves an encoder with the head it was trained under, fine-tuning with none, and many a base model comes
without. So every encoder gets a new masked-language-modelling head: the same weights to start from, then the same
steps, rows, masks and rates, with the encoder frozen, on general text. What its loss is then on text held out from
that tells what the encoder still offers, not what its own head was used to (a probe: Alain & Bengio 2016,
"Understanding intermediate layers using linear classifier probes"). A head's output embedding that is tied to the encoder's
input embedding belongs to the encoder, and stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from regraft.core.errors import DataRejected
from regraft.core.progress import current, running
from regraft.core.randomness import seed_of
from regraft.data.general import general_documents
from regraft.data.options import GeneralText
from regraft.data.packing import Packed, pack, read
from regraft.models import encoder
from regraft.models.machine import Machine
from regraft.training.loop import train
from regraft.training.objectives.masking import IGNORED
from regraft.training.objectives.mlm import UNKNOWN_TEXT, Corpus, MaskedLoss, masking, start_from_frequencies
from regraft.training.options import PretrainOptions
from regraft.training.phase import Group, Phase

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARMUP_TOKENS = 50_000
"""How much general text warms a head up: 25 steps of 16 x 128."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pack_general(text: GeneralText, base: Path, length: int, folder: Path) -> dict[str, Packed]:
    """The general text as token sequences below ``folder``, memory-mapped: ``train`` to warm up on, ``heldout`` to measure on.

    :raises DataRejected: a file cannot be read, or a shard has no whole sequence, or no word that the tokenizer knows.
    """
    try:
        pack(general_documents(text.text, text.digest, text.column), encoder.backend(base), length, folder)
        shards = read(folder)
    except DataRejected as error:
        if error.problems:  # a file that cannot be read
            raise
        shards = {}
    if not all(len(shard) for shard in shards.values()) or not shards:
        raise DataRejected(
            f"gates.forgetting: the general text ({text.text or 'docstrings of the standard library'}) does not fill a sequence of "
            f"{length} tokens to warm up on and one to measure on",
            fix="add text to it",
        )
    special = encoder.tokenizer(base).all_special_ids
    if any(np.isin(shard.ids, special).all() for shard in shards.values()):  # its loss would be one over no token
        raise DataRejected(UNKNOWN_TEXT, fix="name text in the base model's language")
    return shards


def measure(
    stages: Mapping[str, Path], base: Path, text: GeneralText, options: PretrainOptions, sequences: int, seed: int, scratch: Path
) -> tuple[Ints, dict[str, Floats]]:
    """The masked tokens of each held-out sequence, and what they cost every encoder in ``stages``: nats, summed, both ``[sequences]``.

    Lengths, masks and the head's rate are those of ``options``. A stage that was cut resumes exactly; those before it are
    measured anew, to the same numbers.
    """
    context, measured = current(), {}
    with TemporaryDirectory(dir=scratch, prefix="general-") as folder:
        shards = pack_general(text, base, options.sequence_length, Path(folder))
        for part, (name, source) in enumerate(stages.items()):
            checkpoints = context.checkpoints / name if context.checkpoints else None
            with running(replace(context, checkpoints=checkpoints, part=part, parts=len(stages))):
                measured[name] = _measured(name, source, base, shards, options, sequences, seed)
    masked = next(iter(measured.values()))[0]
    if not (has_masks := masked > 0).any():
        raise DataRejected(UNKNOWN_TEXT, fix="name text in the base model's language")
    return masked[has_masks], {name: nats[has_masks] for name, (_, nats) in measured.items()}


def _measured(
    name: str, source: Path, base: Path, shards: dict[str, Packed], options: PretrainOptions, sequences: int, seed: int
) -> tuple[Ints, Floats]:
    """One encoder under a head of its own."""
    from transformers import AutoModelForMaskedLM

    model, _ = encoder.load(AutoModelForMaskedLM, source)
    fresh_head(model, seed)
    start_from_frequencies(model, shards["train"])
    corpus = Corpus(shards, masking(base, options, model.config.vocab_size), options.batch_size, seed)
    losses: list[tuple[Ints, Floats]] = []

    def phases(_: object, machine: Machine) -> list[Phase]:
        loss = MaskedLoss(model)
        per_step = options.batch_size * options.sequence_length
        steps = math.ceil(WARMUP_TOKENS / per_step)

        def after() -> dict[str, float]:
            losses[:] = [per_sequence(loss, corpus, machine, sequences)]
            return {"loss": float(losses[0][1].sum() / max(1, losses[0][0].sum()))}

        head = Group(head_parameters(model), options.head_learning_rate, "pretrain.head_learning_rate")
        return [Phase("head", steps, lambda step: loss(*corpus.batch(step)), [head], dropout=False, after=after, tokens=per_step)]

    train(name, model, phases, seed=seed, checkpoint_seconds=options.checkpoint_seconds)
    return losses[0]


def head_parameters(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The parameters that are not the encoder's."""
    return list(_head(model).values())


def _head(model: PreTrainedModel) -> dict[str, torch.nn.Parameter]:
    body = {id(p) for p in model.base_model.parameters()}  # tied: the output embedding belongs to it
    return {name: p for name, p in model.named_parameters() if id(p) not in body}


def fresh_head(model: PreTrainedModel, seed: int) -> None:
    """Initialise the head anew, each weight from (seed, its name) alone: matrices normal (``initializer_range``), scales 1, biases 0."""
    spread = getattr(model.config, "initializer_range", 0.02)
    for name, parameter in _head(model).items():
        generator = torch.Generator().manual_seed(seed_of(seed, "general head", name))
        with torch.no_grad():
            if parameter.dim() > 1:
                parameter.normal_(0.0, spread, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def per_sequence(loss: MaskedLoss, corpus: Corpus, machine: Machine, most: int) -> tuple[Ints, Floats]:
    """Masked tokens of each held-out sequence and their loss in nats, summed; dropout off."""
    loss.model.train(False)
    counts, sums = [], []
    with torch.no_grad(), machine.autocast():
        for ids, labels in corpus.heldout(most):
            row = np.nonzero(labels != IGNORED)[0]
            nats = loss(ids, labels, reduction="none").double().cpu().numpy()
            counts.append(np.bincount(row, minlength=len(ids)))
            sums.append(np.bincount(row, weights=nats, minlength=len(ids)))
    return np.concatenate(counts).astype(np.int64), np.concatenate(sums)
