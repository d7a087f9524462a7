"""Processes of one thread each that share the steps of a phase; weights come out the same for any number of them.

Weights, Adam's moments and one sum of gradients a worker lie in anonymous memory that forks share (``share_memory_`` would take
/dev/shm: 64 MB in stock containers, and a SIGBUS beyond). The process that trains computes no gradient itself: it sends numbers
through pipes, and reads every worker's answer before it sends the next.

    gradients   each worker adds up its subtree of the step's parts (:mod:`regraft.training.parts`)
    reduce      each worker adds the workers' sums over its chunks, divides by the weight, adds the penalty; returns their norms
    update      each worker clips its chunks and takes the optimizer's step on them

A worker that fails sends what it raised, which is raised here; one that dies closes its pipe. No worker outlives this process.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from regraft.core.child import be_called, end_with_parent
from regraft.core.cores import cores
from regraft.core.errors import EnvironmentFault
from regraft.core.progress import current
from regraft.core.randomness import seed_of
from regraft.models.machine import Machine
from regraft.training.parts import Gradients, added, chunks, gradients, summed
from regraft.training.phase import Phase


def workers(parts: int) -> int:
    """How many processes share so many parts here: as many as there are cores, a power of two, so that each has a subtree."""
    return min(parts, 1 << (cores().bit_length() - 1))


def shared(like: Tensor) -> Tensor:
    """Zeros of the shape and type of ``like``, in memory that a fork shares."""
    size = max(1, like.numel()) * like.element_size()
    try:
        memory = mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(f"{size:,} bytes of shared memory: {error.strerror}") from None
    return torch.frombuffer(memory, dtype=like.dtype, count=max(1, like.numel()))[: like.numel()].view(like.shape)


@dataclass(frozen=True)
class _Shared:
    """What all processes of a phase see."""

    phase: Phase
    model: nn.Module
    machine: Machine
    seed: int
    parameters: Sequence[nn.Parameter]
    group: Sequence[int]
    """Of each parameter: its group."""
    moments: Sequence[tuple[Tensor, Tensor]]
    steps: Tensor
    """Optimizer steps of each chunk, fp32 ``[chunks]``."""
    decay: float
    """Weight decay."""
    sums: Sequence[Sequence[Tensor]]
    """Of each worker: its sum of gradients, one of each parameter."""


class Team:
    """The workers of one phase, from its first step here to its last."""

    def __init__(self, phase: Phase, model: nn.Module, optimizer: torch.optim.AdamW, machine: Machine, seed: int, count: int) -> None:
        """Move what is trained into shared memory, and fork."""
        parameters = [p for group in phase.groups for p in group.parameters]
        group = [number for number, group in enumerate(phase.groups) for _ in group.parameters]
        try:
            for parameter in parameters:
                parameter.data = shared(parameter).copy_(parameter.detach())
            moments, steps = _adopt(optimizer, parameters)
            sums = [[shared(parameter) for parameter in parameters] for _ in range(count)]
        except MemoryError as error:
            fix = "name a smaller base_model in the pipeline file, or run it on a machine with more memory"
            raise EnvironmentFault(f"{count} processes cannot share this training: {error}", fix=fix) from None
        self._shared = _Shared(phase, model, machine, seed, parameters, group, moments, steps, optimizer.defaults["weight_decay"], sums)
        self._pipes: list[Connection] = []
        self._processes: list[int] = []
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            for rank in range(count):
                self._fork(rank, count)
        except BaseException:
            self.close()
            raise

    def _fork(self, rank: int, count: int) -> None:
        ours, theirs = Pipe()
        parent = os.getpid()
        process = os.fork()
        if not process:
            try:
                _become(theirs, parent)
                _Worker(self._shared, rank, count, theirs).serve()
            finally:
                os._exit(1)
        theirs.close()
        self._pipes.append(ours)
        self._processes.append(process)

    def step(self, step: int, factor: float, clip: float) -> tuple[float, float]:
        """One step at ``factor`` of the peak rates: its loss, and the norm of its gradient; no weight changes where one is not finite."""
        parts: dict[int, tuple[float, int]] = {}
        present = []
        for losses, has in self._ask("gradients", step):
            parts |= losses
            present.append(has)
        weight = sum(count for _, count in parts.values())
        answers = self._ask("reduce", max(1, weight), present)
        value = math.fsum(loss for loss, _ in parts.values()) / max(1, weight) + answers[0][1]
        norm = math.sqrt(math.fsum(square for squares, _ in answers for square in squares)) if _finite(answers) else math.nan
        if math.isfinite(value) and math.isfinite(norm):
            self._ask("update", min(1.0, clip / (norm + 1e-6)), factor)
        return value, norm

    def _ask(self, *message: Any) -> list[Any]:
        """Every worker's answer to ``message``, in their order. Raises what a worker raised."""
        for rank, pipe in enumerate(self._pipes):
            try:
                pipe.send(message)
            except OSError:
                self._died(rank)
        answers = []
        for rank, pipe in enumerate(self._pipes):
            try:
                failed, answer = pipe.recv()
            except (EOFError, OSError):
                self._died(rank)
            if failed:
                raise answer
            answers.append(answer)
        return answers

    def _died(self, rank: int) -> NoReturn:
        """Raise how the worker with this number ended."""
        process = self._processes.pop(rank)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        reason = "; the kernel does that for want of memory" if -status == signal.SIGKILL else ""
        raise EnvironmentFault(
            f"one of the {len(self._pipes)} processes that share a training was {how}{reason}; its checkpoints are kept",
            fix=f"regraft run {current().pipeline or 'PIPELINE'}",
        )

    def close(self) -> None:
        """End the workers; what they trained is in the model and in the optimizer."""
        facts = current().facts
        facts["workers_mb"] = max(facts.get("workers_mb", 0), self._megabytes())
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            os.kill(process, signal.SIGKILL)  # nothing of theirs is lost: what counts is in shared memory
            os.waitpid(process, 0)
        self._pipes, self._processes = [], []

    def _megabytes(self) -> int:
        """What the workers take beside this process's memory; what they freed counts too, as it is kept (:func:`keep_memory`)."""
        sums = sum(tensor.nbytes for tensors in self._shared.sums for tensor in tensors)
        return sum(map(_private, self._processes)) + sums // 2**20


def _private(process: int) -> int:
    """MB that are the process's own; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) // 1024
    return 0


def _finite(answers: Sequence[tuple[Sequence[float], float]]) -> bool:
    return all(math.isfinite(square) for squares, _ in answers for square in squares)


def _adopt(optimizer: torch.optim.AdamW, parameters: Sequence[nn.Parameter]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Move the optimizer's state, or the zeros of a new one, into shared memory: the moments of each parameter, the steps of each chunk."""
    cut = chunks(parameters)
    steps = shared(torch.zeros(len(cut)))
    moments = []
    for place, parameter in enumerate(parameters):
        own = [number for number, chunk in enumerate(cut) if chunk.parameter == place]
        earlier = optimizer.state.get(parameter, {})
        first, second = shared(parameter), shared(parameter)
        if earlier:
            first.copy_(earlier["exp_avg"])
            second.copy_(earlier["exp_avg_sq"])
            steps[own] = float(earlier["step"])
        moments.append((first, second))
        step = steps[own[0]] if own else torch.tensor(0.0)
        optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    return moments, steps


def _become(pipe: Connection, parent: int) -> None:
    """Be a worker: die with ``parent``, leave signals to it, and hold none of its files but the streams and ``pipe``."""
    end_with_parent(signal.SIGKILL, parent)
    be_called("regraft worker")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, pipe.fileno())
    os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    torch.set_num_threads(1)


@dataclass
class _Worker:
    """One process's share: a subtree of the parts, and every ``count``-th chunk."""

    shared: _Shared
    rank: int
    count: int
    pipe: Connection

    def __post_init__(self) -> None:
        shared = self.shared
        cut = chunks(shared.parameters)
        self._numbers = range(self.rank, len(cut), self.count)
        self._cut = [cut[number] for number in self._numbers]
        firsts, seconds = [first for first, _ in shared.moments], [second for _, second in shared.moments]
        self._weights = [nn.Parameter(chunk.of([p.detach() for p in shared.parameters])) for chunk in self._cut]
        groups = [
            {"params": [w for w, chunk in zip(self._weights, self._cut, strict=True) if shared.group[chunk.parameter] == number]}
            for number in range(len(shared.phase.groups))
        ]
        self._rates = [(number, group) for number, group in enumerate(groups) if group["params"]]
        own = [group for _, group in self._rates]
        self._optimizer = torch.optim.AdamW(own, weight_decay=shared.decay, fused=True) if own else None
        for number, chunk, weight in zip(self._numbers, self._cut, self._weights, strict=True):
            if self._optimizer:
                state = {"step": shared.steps[number], "exp_avg": chunk.of(firsts), "exp_avg_sq": chunk.of(seconds)}
                self._optimizer.state[weight] = state

    def serve(self) -> NoReturn:
        """Answer until the pipe is closed."""
        self.shared.model.train(self.shared.phase.dropout)
        while True:
            try:
                name, *arguments = self.pipe.recv()
            except (EOFError, OSError):
                os._exit(0)
            try:
                answer = (False, getattr(self, name)(*arguments))
            except Exception as error:
                answer = (True, _portable(error))
            self.pipe.send(answer)

    def gradients(self, step: int) -> tuple[dict[int, tuple[float, int]], list[bool]]:
        """Leave the subtree's sum in shared memory: the loss of each part, summed, and its weight; and which parameters have a gradient."""
        shared, parts = self.shared, self.shared.machine.shards
        losses: dict[int, tuple[float, int]] = {}

        def leaf(part: int) -> Gradients:
            torch.manual_seed(seed_of(shared.seed, "dropout", shared.phase.name, step, part))
            assert shared.phase.part is not None
            own = shared.phase.part(step, part, parts)
            if own is None or not own[1]:
                return [None] * len(shared.parameters)
            mean, weight = own
            loss = mean * weight
            losses[part] = loss.item(), weight
            return gradients(loss, shared.parameters)

        share = parts // self.count
        with shared.machine.autocast():
            total = summed(self.rank * share, (self.rank + 1) * share, leaf)
        for place, gradient in zip(shared.sums[self.rank], total, strict=True):
            if gradient is not None:
                place.copy_(gradient)
        return losses, [gradient is not None for gradient in total]

    def reduce(self, weight: int, present: Sequence[Sequence[bool]]) -> tuple[list[float], float]:
        """The mean gradient over this worker's chunks: the square of each one's norm; and the value of the penalty."""
        shared = self.shared
        penalty = 0.0
        of_penalty: Gradients = [None] * len(shared.parameters)
        if shared.phase.penalty is not None:
            with shared.machine.autocast():
                value = shared.phase.penalty()
                penalty, of_penalty = value.item(), gradients(value, shared.parameters)
        squares = []
        for chunk, weights in zip(self._cut, self._weights, strict=True):
            leaves: list[Gradients] = [
                [chunk.of(sums) if has[chunk.parameter] else None] for sums, has in zip(shared.sums, present, strict=True)
            ]
            [mean] = summed(0, self.count, leaves.__getitem__)
            mean = None if mean is None else mean.div_(weight)
            extra = of_penalty[chunk.parameter]
            [mean] = added([mean], [None if extra is None else extra.view(-1)[chunk.start : chunk.stop]])
            weights.grad = mean
            if mean is not None:
                squares.append(float(torch.linalg.vector_norm(mean, dtype=torch.float64)) ** 2)
        return squares, penalty

    def update(self, clip: float, factor: float) -> None:
        """Take the optimizer's step on this worker's chunks."""
        if self._optimizer is None:
            return
        for (number, _), options in zip(self._rates, self._optimizer.param_groups, strict=True):
            options["lr"] = self.shared.phase.groups[number].rate * factor
        if clip < 1.0 and (gradients := [weight.grad for weight in self._weights if weight.grad is not None]):
            torch._foreach_mul_(gradients, clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def _portable(error: Exception) -> Exception:
    """``error`` as a pipe can carry it, with the lines where it was raised as a note."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
