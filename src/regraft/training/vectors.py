"""What methods share that leave the encoder as it is: the vectors of the rows, and a linear layer written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save

from regraft.core import files
from regraft.core.progress import current
from regraft.evaluation.embeddings import EmbeddingStore, Encoder
from regraft.models import encoder
from regraft.models.machine import Machine
from regraft.models.task_types import task_type

if TYPE_CHECKING:
    from regraft.training.plugins import Learning

Floats = NDArray[np.float64]
ABSENT = 20.0
"""Nats by which a class that no training row has lies below the rarest: 2e-9 of its probability."""


@dataclass(frozen=True)
class Vectors:
    """Rows as a frozen encoder sees them."""

    frozen: Encoder
    parts: tuple[Floats, ...]
    """Of each table that was asked for: ``[rows, width]``."""
    tokens: tuple[int, ...]
    """Tokens of each."""
    computed: int
    """How many texts had to be embedded; the others were kept from before."""


def of_rows(learning: Learning, options: Any, tables: Sequence[pd.DataFrame]) -> Vectors:
    """The vectors of ``tables``, whose columns are those of labelled rows.

    :param options: with ``max_length``, a number, and ``pooling``.
    :raises ConfigError: the encoder has fewer positions than ``max_length``.
    """
    source, task, machine = learning.source, task_type(learning.task), Machine.here()
    assert source is not None
    encoder.check_length(source, options.max_length, "finetune.max_length")
    current().facts.update(device=machine.device, threads=machine.threads, precision="fp32")
    frozen, store = Encoder(source, options.pooling), EmbeddingStore(current().embeddings)
    ids = [task.encode(source, rows, options.max_length) if len(rows) else [] for rows in tables]
    read, computed = store.vectors(frozen, [row for part in ids for row in part])
    ends = np.cumsum([len(part) for part in ids])[:-1]
    return Vectors(frozen, tuple(np.split(read.astype(np.float64), ends)), tuple(sum(map(len, part)) for part in ids), computed)


def directions(vectors: Floats) -> Floats:
    """``vectors`` at length 1; one of length 0 stays."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def write(body: Any, source: Path, out: Path, weight: Floats, bias: Floats) -> None:
    """Write encoder and layer, ``[classes, width]`` and ``[classes]``: the kind ``embedding_head``."""
    encoder.save(body, source, out)
    files.write_bytes(out / "head.safetensors", save({"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}))
