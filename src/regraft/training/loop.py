"""The training loop: phases of steps, each a pure function of its number, so that a run can be cut anywhere.

A phase gives ``loss(step)``; batch, masks and dropout seed follow from the step alone, and so does the rate.
What is left as state is weights, optimizer and the step counter, which a checkpoint holds whole.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from regraft.core import limits
from regraft.core.cores import workers
from regraft.core.errors import ConfigError, Interrupted
from regraft.core.progress import STOP, current, emit, progress, running
from regraft.core.randomness import seed_of
from regraft.models.machine import Machine, resume_on
from regraft.training import trouble
from regraft.training.checkpoint import Checkpoint, Checkpoints, exclusive
from regraft.training.divided import Divided
from regraft.training.dropout import quarter_draws
from regraft.training.optimizers import ADAMW, Optimizer
from regraft.training.phase import Phase
from regraft.training.ranks import ALONE, Ranks
from regraft.training.schedules import rise
from regraft.training.workers import Team

CLIP = 1.0
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
    kind: Optimizer = ADAMW
    """What makes the optimizer of a phase."""
    accumulation: int = 1
    """Parts that a batch is computed in one after the other, where no workers share it."""
    ranks: Ranks = ALONE
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

    def optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        """A new optimizer for ``phase``; what it does not train is frozen."""
        trained = {id(p) for group in phase.groups for p in group.parameters}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in trained)
            parameter.grad = None
        return self.kind.of([{"params": list(group.parameters), "lr": group.rate} for group in phase.groups])

    def _run(self, phase: Phase, optimizer: torch.optim.Optimizer, before: int, first: int) -> None:
        with contextlib.closing(self._taker(phase, optimizer)) as taker:
            for step in range(first, phase.steps):
                self._stop_or_save(phase, optimizer, before + step)
                if not self._may_go_on(phase, step):
                    return
                factor = phase.factor(step) if phase.factor else schedule(step, phase.steps)
                try:
                    value, norm = taker.step(step, factor, CLIP)
                except (RuntimeError, MemoryError) as error:
                    if not limits.out_of_memory(error):
                        raise
                    refused = str(error).partition("\n")[0]
                    break
                if not (math.isfinite(value) and math.isfinite(norm)):
                    saved = trouble.finite(self.model) and self._save(phase, optimizer, before + step)
                    raise trouble.diverged(self, phase, step, before + step, value, saved)
                rate = factor * phase.groups[0].rate
                self._tell(before + step + 1, {f"{self.name}/loss": value, f"{self.name}/learning_rate": rate}, phase.tokens)
                self._look(phase, step + 1, before)
            else:
                self._stop_or_save(phase, optimizer, before + phase.steps)
                self._may_go_on(phase, phase.steps)
                return
        raise trouble.out_of_memory(self, phase, step, optimizer, refused)  # out of `except`: its frames held tensors

    def _look(self, phase: Phase, done: int, before: int) -> None:
        """Tell what the phase's look measures, if it is time to. The other ranks wait for the first one at their next step."""
        if phase.look is None or done % phase.look.every or not self.ranks.first:
            return
        measured = phase.look.measure()
        progress(before + done, self.total, "steps", {f"{self.name}/{key}": value for key, value in measured.items()}, phase.tokens)

    def _taker(self, phase: Phase, optimizer: torch.optim.Optimizer) -> Team | Divided | Whole:
        """What takes the steps of ``phase``."""
        if self.machine.shards == 1 or not phase.steps:
            return Whole(self, phase, optimizer)
        if self.machine.device == "cuda":
            return Divided(phase, self.model, optimizer, self.machine, self.seed, self.ranks)
        count = workers(self.machine.shards // self.ranks.count)
        return Team(phase, self.model, optimizer, self.kind, self.machine, self.seed, count, self.ranks)

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

    def _tell(self, done: int, metrics: dict[str, float], tokens: float | None) -> None:
        now = time.monotonic()
        if done == self.total or now - self._told >= REPORT_SECONDS:
            self._told = now
            progress(done, self.total, "steps", metrics, tokens)

    def _stop_or_save(self, phase: Phase, optimizer: torch.optim.Optimizer, done: int) -> None:
        stopping = any(self.ranks.gather(STOP.is_set()))
        if not stopping and time.monotonic() - self._saved < self.checkpoint_seconds:
            return
        saved = self._save(phase, optimizer, done)
        if stopping:
            outcome = "which its checkpoint holds" if saved else "without a checkpoint of this step"
            raise Interrupted(f"{self.name} stopped at step {done} of {self.total}, {outcome}", fix=f"regraft run {_pipeline()}")

    def _save(self, phase: Phase, optimizer: torch.optim.Optimizer, done: int) -> bool:
        state: dict[str, Any] = {"model": self.model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"allowed": self._allowed} if self._allowed is not None else {}
        saved = self.checkpoints.save(done, phase.name, self.notes, state, time.monotonic() - self._began)
        self._saved = time.monotonic()
        return saved


@dataclass
class Whole:
    """Takes steps in one process: with all rows of a batch at once, or with a part of them after the other."""

    training: Training
    phase: Phase
    optimizer: torch.optim.Optimizer

    def step(self, step: int, factor: float, clip: float) -> tuple[float, float]:
        """One step at ``factor`` of the peak rates: its loss and gradient norm; no weight changes where one is not finite."""
        phase, optimizer = self.phase, self.optimizer
        self.training.model.train(phase.dropout)
        for group, options in zip(phase.groups, optimizer.param_groups, strict=True):
            options["lr"] = group.rate * factor
        value = self._at_once(step) if self.training.accumulation == 1 else self._in_parts(step, self.training.accumulation)
        norm = nn.utils.clip_grad_norm_([p for group in phase.groups for p in group.parameters], clip).item()
        if math.isfinite(value) and math.isfinite(norm):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return value, norm

    def _at_once(self, step: int) -> float:
        """Leave the gradient of the whole batch; returns its loss."""
        phase = self.phase
        torch.manual_seed(seed_of(self.training.seed, "dropout", phase.name, step))
        with self.training.machine.autocast():
            loss, _ = phase.loss(step)
            loss = loss if phase.penalty is None else loss + phase.penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _in_parts(self, step: int, parts: int) -> float:
        """The same, with the activations of one part at a time in memory. Dropout is drawn for each part, as workers draw it."""
        phase, total, weight = self.phase, 0.0, 0
        assert phase.part is not None
        for number in range(parts):
            torch.manual_seed(seed_of(self.training.seed, "dropout", phase.name, step, number))
            with self.training.machine.autocast():
                own = phase.part(step, number, parts)
            if own is not None and own[1]:
                (own[0] * own[1]).backward()  # type: ignore[no-untyped-call]
                total, weight = total + own[0].item() * own[1], weight + own[1]
        for parameter in (p for group in phase.groups for p in group.parameters):
            if parameter.grad is not None:
                parameter.grad.div_(max(1, weight))
        mean = total / max(1, weight)
        if phase.penalty is None:
            return mean
        with self.training.machine.autocast():
            penalty = phase.penalty()
        penalty.backward()  # type: ignore[no-untyped-call]
        return mean + penalty.item()

    def close(self) -> None:
        """Nothing is held."""


def train(
    name: str,
    model: nn.Module,
    phases: Callable[[nn.Module, Machine], Sequence[Phase]],
    *,
    seed: int,
    checkpoint_seconds: float,
    shards: int = 1,
    optimizer: Optimizer = ADAMW,
    accumulation: int = 1,
) -> dict[str, float]:
    """Put ``model`` on this machine and take it through ``phases``, resuming exactly; returns what the phases measured.

    Alone on its checkpoint folder; device, threads, precision and exactness go into the record. Under ``torchrun`` the ranks share it, and
    all return the same (:mod:`regraft.training.ranks`).

    :param shards: parts that each batch is computed in on a CPU, and where ranks share it, so that no bit depends on the number of cores
        or ranks; 1: whole batches.
    :param accumulation: parts of which no more than one is in memory in each process, a power of two. Where cores share a batch in fewer
        parts, they share it in these.
    :raises EnvironmentFault: a checkpoint of another kind of machine, without ``--allow-inexact``.
    :raises ConfigError: there is a phase that cannot be computed in ``shards``.
    """
    context = current()
    given = (name, model, phases, seed, checkpoint_seconds, shards, optimizer, accumulation)
    ranks = Ranks.here()
    if not ranks.first:
        context = replace(context, checkpoints=None, report=False)
    with running(context):
        if context.checkpoints is None:
            return _train(*given, ranks)
        with exclusive(context.checkpoints):
            return _train(*given, ranks)


def _train(
    name: str,
    model: nn.Module,
    phases: Callable[[nn.Module, Machine], Sequence[Phase]],
    seed: int,
    checkpoint_seconds: float,
    shards: int,
    optimizer: Optimizer,
    accumulation: int,
    ranks: Ranks,
) -> dict[str, float]:
    context = current()
    checkpoints = Checkpoints(context.checkpoints)
    checkpoint, start = ranks.of_first((checkpoints.newest(), checkpoints.start()))
    machine, exact = resume_on(start, continues=checkpoint is not None, pipeline=context.pipeline, allow_inexact=context.allow_inexact)
    parts = max(shards, accumulation) if shards > 1 else 1
    if machine.device == "cpu":
        machine = machine.in_shards(parts)
    elif ranks.count > 1 or (checkpoint and start and start.machine.shards > 1):  # one GPU goes on with what several began
        machine = replace(machine, shards=parts)
    ranks.require(machine)
    context.facts |= {"device": machine.device, "threads": machine.threads, "precision": machine.precision, "exact": exact}
    if machine.shards > 1:
        own = workers(machine.shards // ranks.count) if machine.device == "cpu" else 1
        context.facts |= {"shards": machine.shards, "workers": ranks.count * own}
    if checkpoint:
        context.facts["earlier_seconds"] = checkpoint.seconds
    checkpoints.begin(machine, exact)
    machine.apply()
    model.to(machine.device)
    planned = phases(model, machine)
    if machine.shards > 1 or accumulation > 1:
        _require_parts(name, model, planned)
    training = Training(name, model, planned, seed, machine, checkpoints, checkpoint_seconds, optimizer, accumulation, ranks)
    with quarter_draws():
        return training.run(checkpoint)


def _require_parts(name: str, model: nn.Module, phases: Sequence[Phase]) -> None:
    """Refuse what gives another gradient when its batches are cut. ConfigError naming it."""
    whole = [f"the phase {phase.name!r}" for phase in phases if phase.part is None]
    whole += [f"the model's {key}" for key, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if whole:
        raise ConfigError(
            f"{name}: {whole[0]} needs whole batches and cannot be trained in parts", fix="shards: 1, and no gradient_accumulation"
        )


def schedule(step: int, steps: int) -> float:
    """Share of the peak rate: linear warm-up over the first 6 % of steps, then linear decay to 0."""
    warmup = rise(steps)
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


def _pipeline() -> str:
    return current().pipeline or "PIPELINE"
