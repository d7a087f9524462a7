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
from regraft.data.options import GeneralText
from regraft.data.packing import Packed
from regraft.models import encoder
from regraft.models.machine import Machine
from regraft.training.general_text import UNKNOWN_TEXT, pack_general
from regraft.training.loop import train
from regraft.training.objectives.masking import IGNORED
from regraft.training.objectives.mlm import MaskedLoss, MlmOptions, masking, start_from_frequencies
from regraft.training.options import ObjectiveOptions
from regraft.training.phase import Group, Phase
from regraft.training.pretraining import Corpus

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARMUP_TOKENS = 50_000
"""How much general text warms a head up: 25 steps of 16 x 128."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def measure(
    stages: Mapping[str, Path], base: Path, text: GeneralText, options: ObjectiveOptions, sequences: int, seed: int, scratch: Path
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
    name: str, source: Path, base: Path, shards: dict[str, Packed], options: ObjectiveOptions, sequences: int, seed: int
) -> tuple[Ints, Floats]:
    """One encoder under a head of its own."""
    from transformers import AutoModelForMaskedLM

    model, _ = encoder.load(AutoModelForMaskedLM, source)
    fresh_head(model, seed)
    start_from_frequencies(model, shards["train"])
    corpus = Corpus(shards, masking(base, _probability(options), model.config.vocab_size), options.batch_size, seed)
    losses: list[tuple[Ints, Floats]] = []

    def phases(_: object, machine: Machine) -> list[Phase]:
        loss = MaskedLoss(model)
        per_step = options.batch_size * options.sequence_length
        steps = math.ceil(WARMUP_TOKENS / per_step)

        def after() -> dict[str, float]:
            losses[:] = [per_sequence(loss, corpus, machine, sequences)]
            return {"loss": float(losses[0][1].sum() / max(1, losses[0][0].sum()))}

        def whole(step: int) -> tuple[torch.Tensor, int]:
            return loss.batch(corpus.batch(step))

        def part(step: int, part: int, parts: int) -> tuple[torch.Tensor, int] | None:
            batch = corpus.part(step, part, parts)
            return None if batch is None else loss.batch(batch)

        head = Group(head_parameters(model), options.head_learning_rate, "pretrain.head_learning_rate")
        return [Phase("head", steps, whole, [head], dropout=False, after=after, part=part, tokens=per_step)]

    train(name, model, phases, seed=seed, checkpoint_seconds=options.checkpoint_seconds, shards=options.shards)
    return losses[0]


def _probability(options: ObjectiveOptions) -> float:
    """The share of tokens that is masked: adaptation's own where it masks too."""
    share: float = getattr(options, "mask_probability", MlmOptions.model_fields["mask_probability"].default)
    return share


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
