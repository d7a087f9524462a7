"""Batches that cannot be trained on: which rows they held, and what to change.

Both troubles end the step, because a run that skipped the batch would be another run. A loss that is not finite is
a matter of the rates or of the rows; want of memory one of the batch's size, and the size that is proposed instead is
one that was tried here, backward pass and optimizer included, on the longest rows there are.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from regraft.core import limits
from regraft.core.cores import workers
from regraft.core.errors import ConfigError, EnvironmentFault, Problem
from regraft.core.progress import current
from regraft.core.quantities import first_of
from regraft.models.machine import Machine
from regraft.training.checkpoint import Checkpoints
from regraft.training.phase import Phase

NAMED = 32
"""Rows that a message names; the default batch of fine-tuning."""
LOWER = 3.0
"""By what a peak rate is divided in the proposal: half a decade, the usual grid of a learning-rate search."""


class Training(Protocol):
    """What is asked of the training that a batch belongs to (:class:`regraft.training.loop.Training`)."""

    name: str
    model: nn.Module
    phases: Sequence[Phase]
    machine: Machine
    checkpoints: Checkpoints
    accumulation: int
    """Parts of a batch, where no workers share it."""

    @property
    def total(self) -> int:
        """Steps of all phases."""

    def optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        """A new optimizer for ``phase``."""


def finite(model: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(p).all()) for p in model.parameters())


def diverged(training: Training, phase: Phase, step: int, done: int, loss: float, kept: bool) -> ConfigError:
    """The loss of ``step`` of ``phase``, or its gradient, is not finite; ``done`` steps were before it.

    :param kept: the weights from before the step are in a checkpoint.
    """
    fault = f"the loss of step {done + 1} of {training.total} is {loss}"
    if loss == loss and abs(loss) != float("inf"):
        fault = f"the gradient of step {done + 1} of {training.total} is not finite (its loss is {loss:.4g})"
    rows = list(phase.batches.rows(step)) if phase.batches else []
    sentences = [f"{training.name}: {fault}", *([f"its batch: {first_of(rows, NAMED)}"] if rows else []), _kept(training, done, kept)]
    if done == 0:  # no rate has had a say yet
        fix = "correct these rows in the data, or name another base_model in the pipeline file"
        sentences.append("nothing was learned before it, so the base model or these rows are at fault, not a learning rate")
    else:
        fix = _run(*(f"{group.option}={group.rate / LOWER:.1g}" for group in phase.groups if group.option))
    rates = ", ".join(f"{group.option}={group.rate:g}" for group in phase.groups if group.option)
    column = phase.groups[0].option or None
    problem = Problem(message="; ".join(sentences), column=column, value=rates or None, rule="finite loss", fix=fix)
    return ConfigError("; ".join(sentences), fix=fix, problems=[problem])


def _kept(training: Training, done: int, kept: bool) -> str:
    folder = training.checkpoints.folder
    if folder is None:
        return "no checkpoints are kept here"
    if kept:
        place = _shown(folder / f"{done:08d}")
        return f"the weights from before it are kept in {place}"
    newest = training.checkpoints.numbers()[-1:]
    if not newest:
        return "no checkpoint was written before it"
    place = _shown(folder / f"{newest[0]:08d}")
    return f"the newest checkpoint is kept in {place}"


def _shown(path: Path) -> str:
    cwd = Path.cwd()
    return path.relative_to(cwd).as_posix() if path.is_relative_to(cwd) else str(path)


def out_of_memory(training: Training, phase: Phase, step: int, optimizer: torch.optim.Optimizer, refusal: str) -> EnvironmentFault:
    """The fault of a batch of ``phase`` that does not fit into memory, and the parts of it that do, or the size of one that does: as tried.

    Spoils model and optimizer. Call it when no frame of the failed step is left: they hold its tensors.
    """
    if phase.batches is None:
        return EnvironmentFault(f"{training.name}: out of memory ({refusal})", fix=_run())
    rows, length = len(phase.batches.rows(step)), phase.batches.length(step)
    optimizer.state.clear()
    remaining = training.phases[list(training.phases).index(phase) :]
    message = f"{training.name}: out of memory at a batch of {rows} x {length} tokens ({refusal})"
    current_parts = max(training.machine.shards, training.accumulation)
    key, most = phase.batches.accumulated or ("", 0)
    parts = 2 * current_parts
    while parts <= min(most, rows):
        if all(_fits(training, later, rows, parts) for later in remaining):
            told = f"in {parts} parts, one after the other on each core, it was tried here on the longest rows and fits, for the same model"
            return EnvironmentFault(f"{message}; {told} but for rounding and dropout's draws", fix=_run(f"{key}={parts}"))
        parts *= 2
    fits = rows // 2
    while fits and not all(_fits(training, later, fits, current_parts) for later in remaining):
        fits //= 2
    if not fits:
        return EnvironmentFault(
            f"{message}; tried here, not even one row fitted beside the model and its optimizer",
            fix="name a smaller base_model in the pipeline file, or run it on a machine with more memory",
        )
    return EnvironmentFault(f"{message}; {fits} rows of the longest were tried here and fit", fix=_run(f"{phase.batches.option}={fits}"))


def _fits(training: Training, phase: Phase, rows: int, parts: int) -> bool:
    """Whether one whole step of ``phase`` on ``rows`` rows in so many ``parts`` can be taken."""
    gc.collect()
    if training.machine.device == "cuda":
        torch.cuda.empty_cache()
    assert phase.batches is not None
    at_once = min(rows, -(-rows // parts) * (workers(parts) if training.machine.shards > 1 else 1))
    try:
        optimizer = training.optimizer(phase)
        training.model.train(phase.dropout)
        with training.machine.autocast():
            loss, _ = phase.batches.largest(at_once)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    except (RuntimeError, MemoryError) as error:
        if not limits.out_of_memory(error):
            raise
        return False
    return True


def _run(*sets: str) -> str:
    return " ".join(["regraft run", current().pipeline or "PIPELINE", *(f"--set {assignment}" for assignment in sets)])
