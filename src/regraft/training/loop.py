"""The training loop: phases of steps, each a pure function of its number, so that a run can be cut anywhere.

A phase gives ``loss(step)``; batch, masks and dropout seed follow from the step alone, and so does the rate.
What is left as state is weights, optimizer and the step counter, which a checkpoint holds whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from regraft.core import limits
from regraft.core.errors import Interrupted
from regraft.core.progress import STOP, current, emit, progress
from regraft.core.randomness import seed_of
from regraft.models.machine import Machine, resume_on
from regraft.training import trouble
from regraft.training.checkpoint import Checkpoint, Checkpoints, exclusive
from regraft.training.phase import Phase

WARMUP = 0.06  # of a phase's steps (Liu et al. 2019, "RoBERTa", table 10)
CLIP = 1.0
WEIGHT_DECAY = 0.01  # Devlin et al. 2019, "BERT", appendix A.2
REPORT_SECONDS = 0.5


@dataclass
class Training:
    """One model on its way through its phases."""

    name: str
    model: nn.Module
    phases: Sequence[Phase]
    seed: int
    machine: Machine
    checkpoints: Checkpoints
    checkpoint_seconds: float
    notes: dict[str, float] = field(default_factory=dict)
    _saved: float = field(default_factory=time.monotonic)
    _told: float = 0.0
    _allowed: dict[str, Tensor] | None = None
    """The weights at the last look of a watch that allowed them."""
    _began: float = field(default_factory=time.monotonic)
    """So long ago that the time of earlier processes is in it."""

    @property
    def total(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def run(self, checkpoint: Checkpoint | None) -> dict[str, float]:
        """Train to the end, from ``checkpoint`` if there is one; returns the notes.

        :raises Interrupted: asked to stop; the work is in a checkpoint.
        :raises ConfigError: the loss or its gradient is not finite.
        :raises EnvironmentFault: a batch does not fit into memory, or the disk fails under a checkpoint.
        """
        names = [phase.name for phase in self.phases]
        at = names.index(checkpoint.phase) if checkpoint else 0
        before = sum(phase.steps for phase in self.phases[:at])
        for phase in self.phases[at:]:
            optimizer = self.optimizer(phase)
            first = 0
            if checkpoint is not None:
                emit(
                    "resume",
                    message=f"{self.name} continues at step {checkpoint.step} of {self.total}",
                    done=checkpoint.step,
                    total=self.total,
                )
                self.model.load_state_dict(checkpoint.state["model"])
                optimizer.load_state_dict(checkpoint.state["optimizer"])
                self._began -= checkpoint.seconds
                self._allowed = checkpoint.state.get("allowed")
                self.notes, first, checkpoint = dict(checkpoint.notes), checkpoint.step - before, None
            self._run(phase, optimizer, before, first)
            before += phase.steps
            measured = phase.after()
            self.notes |= measured
            progress(before, self.total, "steps", {f"{self.name}/{key}": value for key, value in measured.items()}, phase.tokens)
        return self.notes

    def optimizer(self, phase: Phase) -> torch.optim.AdamW:
        """A new optimizer for ``phase``; what it does not train is frozen."""
        trained = {id(p) for group in phase.groups for p in group.parameters}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in trained)
            parameter.grad = None
        groups = [{"params": list(group.parameters), "lr": group.rate} for group in phase.groups]
        return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)

    def _run(self, phase: Phase, optimizer: torch.optim.AdamW, before: int, first: int) -> None:
        parameters = [p for group in phase.groups for p in group.parameters]
        for step in range(first, phase.steps):
            self._stop_or_save(phase, optimizer, before + step)
            if not self._may_go_on(phase, step):
                return
            self.model.train(phase.dropout)
            factor = schedule(step, phase.steps)
            for group, options in zip(phase.groups, optimizer.param_groups, strict=True):
                options["lr"] = group.rate * factor
            torch.manual_seed(seed_of(self.seed, "dropout", phase.name, step))
            try:
                value, norm = self._step(phase, optimizer, parameters, step)
            except (RuntimeError, MemoryError) as error:
                if not limits.out_of_memory(error):
                    raise
                refused = str(error).partition("\n")[0]
            else:
                if not (math.isfinite(value) and math.isfinite(norm)):
                    saved = trouble.finite(self.model) and self._save(phase, optimizer, before + step)
                    raise trouble.diverged(self, phase, step, before + step, value, saved)
                self._tell(before + step + 1, {f"{self.name}/loss": value, f"{self.name}/rate": factor}, phase.tokens)
                continue
            raise trouble.out_of_memory(self, phase, step, optimizer, refused)  # out of `except`: its frames held tensors
        self._stop_or_save(phase, optimizer, before + phase.steps)
        self._may_go_on(phase, phase.steps)

    def _may_go_on(self, phase: Phase, step: int) -> bool:
        """Let the phase's watch look, if it is time to; False: the model is as it was when the watch last allowed it.

        A look follows from weights and step alone, so a run that is cut between a look and the next checkpoint looks again
        and sees the same.
        """
        if phase.watch is None or (step % phase.watch.every != 0 and step < phase.steps):
            return True
        if phase.watch.allows(step, self.notes):
            self._allowed = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            return True
        if self._allowed is not None:
            self.model.load_state_dict(self._allowed)
        return False

    def _step(self, phase: Phase, optimizer: torch.optim.AdamW, parameters: Sequence[nn.Parameter], step: int) -> tuple[float, float]:
        """One step and its loss and gradient norm; the weights stay as they were if one of the two is not finite."""
        with self.machine.autocast():
            loss, _ = phase.loss(step)
            loss = loss if phase.penalty is None else loss + phase.penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, CLIP).item()
        value = loss.item()
        if math.isfinite(value) and math.isfinite(norm):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return value, norm

    def _tell(self, done: int, metrics: dict[str, float], tokens: float | None) -> None:
        now = time.monotonic()
        if done == self.total or now - self._told >= REPORT_SECONDS:
            self._told = now
            progress(done, self.total, "steps", metrics, tokens)

    def _stop_or_save(self, phase: Phase, optimizer: torch.optim.AdamW, done: int) -> None:
        stopping = STOP.is_set()
        if not stopping and time.monotonic() - self._saved < self.checkpoint_seconds:
            return
        saved = self._save(phase, optimizer, done)
        if stopping:
            outcome = "which its checkpoint holds" if saved else "without a checkpoint of this step"
            raise Interrupted(f"{self.name} stopped at step {done} of {self.total}, {outcome}", fix=f"regraft run {_pipeline()}")

    def _save(self, phase: Phase, optimizer: torch.optim.AdamW, done: int) -> bool:
        state: dict[str, Any] = {"model": self.model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"allowed": self._allowed} if self._allowed is not None else {}
        saved = self.checkpoints.save(done, phase.name, self.notes, state, time.monotonic() - self._began)
        self._saved = time.monotonic()
        return saved


def train(
    name: str, model: nn.Module, phases: Callable[[nn.Module, Machine], Sequence[Phase]], *, seed: int, checkpoint_seconds: float
) -> dict[str, float]:
    """Put ``model`` on this machine and take it through ``phases``, resuming exactly; returns what the phases measured.

    Alone on its checkpoint folder; device, threads, precision and exactness go into the record.

    :raises EnvironmentFault: a checkpoint of another kind of machine, without ``--allow-inexact``.
    """
    context = current()
    if context.checkpoints is None:
        return _train(name, model, phases, seed, checkpoint_seconds)
    with exclusive(context.checkpoints):
        return _train(name, model, phases, seed, checkpoint_seconds)


def _train(
    name: str, model: nn.Module, phases: Callable[[nn.Module, Machine], Sequence[Phase]], seed: int, checkpoint_seconds: float
) -> dict[str, float]:
    context = current()
    checkpoints = Checkpoints(context.checkpoints)
    checkpoint = checkpoints.newest()
    machine, exact = resume_on(
        checkpoints.start(), continues=checkpoint is not None, pipeline=context.pipeline, allow_inexact=context.allow_inexact
    )
    context.facts |= {"device": machine.device, "threads": machine.threads, "precision": machine.precision, "exact": exact}
    if checkpoint:
        context.facts["earlier_seconds"] = checkpoint.seconds
    checkpoints.begin(machine, exact)
    machine.apply()
    model.to(machine.device)
    return Training(name, model, phases(model, machine), seed, machine, checkpoints, checkpoint_seconds).run(checkpoint)


def schedule(step: int, steps: int) -> float:
    """Share of the peak rate: linear warm-up over the first 6 % of steps, then linear decay to 0."""
    warmup = max(1, round(WARMUP * steps))
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


def _pipeline() -> str:
    return current().pipeline or "PIPELINE"
