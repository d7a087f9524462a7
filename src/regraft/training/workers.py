"""Processes of one thread each that share the steps of a phase; weights come out the same for any number of them.

Weights, the optimizer's moments and one sum of gradients a worker lie in anonymous memory that forks share (``share_memory_`` would take
/dev/shm: 64 MB in stock containers, and a SIGBUS beyond). The process that trains computes no gradient itself: it sends numbers
through pipes, and reads every worker's answer before it sends the next.

    gradients   each worker adds up its subtree of the step's parts (:mod:`regraft.training.parts`)
    reduce      each worker adds the workers' sums over its chunks, and the penalty's; returns their norms
    update      each worker scales its chunks to the clipped mean, and takes the optimizer's step on them

A worker that fails sends what it raised, which is raised here; one that dies closes its pipe. No worker outlives this process.
"""

from __future__ import annotations

import contextlib
import gc
import math
import mmap
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from regraft.core.child import be_called, end_with_parent
from regraft.core.errors import EnvironmentFault
from regraft.core.progress import current
from regraft.core.randomness import seed_of
from regraft.models.machine import Machine, release_memory
from regraft.training.accumulate import Accumulator, low
from regraft.training.optimizers import Optimizer
from regraft.training.parts import Chunk, chunks, places, summed
from regraft.training.phase import Phase
from regraft.training.ranks import ALONE, Ranks


def shared(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Zeros of the shape of ``like``, and of its type if none is named, in memory that a fork shares."""
    dtype = dtype or like.dtype
    size = max(1, like.numel()) * dtype.itemsize
    try:
        memory = mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(f"{size:,} bytes of shared memory: {error.strerror}") from None
    return torch.frombuffer(memory, dtype=dtype, count=max(1, like.numel()))[: like.numel()].view(like.shape)


@dataclass(frozen=True)
class _Shared:
    """What all processes of a phase see."""

    phase: Phase
    model: nn.Module
    machine: Machine
    ranks: Ranks
    seed: int
    parameters: Sequence[nn.Parameter]
    group: Sequence[int]
    """Of each parameter: its group."""
    optimizer: Optimizer
    moments: Mapping[str, Sequence[Tensor]]
    """What the optimizer keeps, by the names it gives it: a tensor of each parameter."""
    steps: Tensor
    """Optimizer steps of each chunk, fp32 ``[chunks]``."""
    sums: Sequence[Sequence[Tensor]]
    """Of each worker: its sum of gradients, one of each parameter."""
    low: Mapping[Tensor, Tensor]
    """bf16 copies of weights, as they are between two steps."""


class Team:
    """The workers of one phase, from its first step here to its last."""

    def __init__(
        self,
        phase: Phase,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        kind: Optimizer,
        machine: Machine,
        seed: int,
        count: int,
        ranks: Ranks = ALONE,
    ) -> None:
        """Move what is trained into shared memory, and fork.

        :param kind: what ``optimizer`` was made by.
        :param count: workers of this rank, as many as of any other of ``ranks``.
        """
        parameters = [p for group in phase.groups for p in group.parameters]
        group = [number for number, group in enumerate(phase.groups) for _ in group.parameters]
        try:
            for parameter in parameters:
                parameter.data = shared(parameter).copy_(parameter.detach())
            moments, steps = _adopt(optimizer, kind, parameters)
            sums = [[shared(parameter) for parameter in parameters] for _ in range(count)]
            copies = {weight: shared(weight, torch.bfloat16).copy_(weight.detach()) for weight in low(model, machine)}
        except MemoryError as error:
            fix = "name a smaller base_model in the pipeline file, or run it on a machine with more memory"
            raise EnvironmentFault(f"{count} processes cannot share this training: {error}", fix=fix) from None
        self._shared = _Shared(phase, model, machine, ranks, seed, parameters, group, kind, moments, steps, sums, copies)
        release_memory()  # what the weights and moments took before they were moved
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
        added = self._shared.ranks.count > 1
        if added:
            parts, present = self._of_all_ranks(parts, present)
        weight = sum(count for _, count in parts.values())
        weight = max(1, weight)
        answers = self._ask("reduce", weight, [any(has) for has in zip(*present, strict=True)], added)
        value = math.fsum(loss for loss, _ in parts.values()) / weight + answers[0][1]
        norm = math.sqrt(math.fsum(square for squares, _ in answers for square in squares)) / weight if _finite(answers) else math.nan
        if math.isfinite(value) and math.isfinite(norm):
            self._ask("update", min(1.0, clip / (norm + 1e-6)) / weight, factor)
        return value, norm

    def _of_all_ranks(self, parts: dict[int, tuple[float, int]], present: list[list[bool]]) -> tuple[dict[int, tuple[float, int]], Any]:
        """Leave the sum of all ranks where the first worker's was: the losses of all, and which parameters have a gradient anywhere."""
        ranks, sums = self._shared.ranks, self._shared.sums
        ranks.add(summed(0, len(sums), lambda worker, _: sums[worker]))
        told = ranks.gather((parts, [any(has) for has in zip(*present, strict=True)]))
        return {part: loss for losses, _ in told for part, loss in losses.items()}, [has for _, has in told]

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
        own = self._shared
        kept = [own.parameters, own.low.values(), *own.moments.values(), *own.sums]
        seen_here = _line("self/status", "RssShmem:")  # in this process's own peak already
        return sum(_line(f"{process}/smaps_rollup", "Private_Dirty:") for process in self._processes) + max(
            0, sum(tensor.nbytes for tensors in kept for tensor in tensors) // 2**20 - seen_here
        )


def _line(file: str, name: str) -> int:
    """MB that a line of a file below ``/proc`` tells of a process; 0 where the kernel does not."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc", file).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024
    return 0


def _finite(answers: Sequence[tuple[Sequence[float], float]]) -> bool:
    return all(math.isfinite(square) for squares, _ in answers for square in squares)


def _adopt(optimizer: torch.optim.Optimizer, kind: Optimizer, parameters: Sequence[nn.Parameter]) -> tuple[dict[str, list[Tensor]], Tensor]:
    """Move the optimizer's state, or the zeros of a new one, into shared memory: the moments of each parameter, the steps of each chunk."""
    cut = chunks(parameters)
    steps = shared(torch.zeros(len(cut)))
    moments: dict[str, list[Tensor]] = {name: [] for name in kind.moments}
    for place, parameter in enumerate(parameters):
        own = [number for number, chunk in enumerate(cut) if chunk.parameter == place]
        earlier = optimizer.state.get(parameter, {})
        state = {name: shared(parameter) for name in kind.moments}
        if earlier:
            for name, moment in state.items():
                moment.copy_(earlier[name])
        if earlier and kind.counts:
            steps[own] = float(earlier["step"])
        for name, moment in state.items():
            moments[name].append(moment)
        step = {"step": steps[own[0]] if own else torch.tensor(0.0)} if kind.counts else {}
        optimizer.state[parameter] = step | state
    return moments, steps


def _become(pipe: Connection, parent: int) -> None:
    """Be a worker: die with ``parent``, leave signals to it, and hold none of its files but the streams and ``pipe``."""
    end_with_parent(signal.SIGKILL, parent)
    be_called("regraft worker")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, pipe.fileno())
    os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    gc.freeze()  # a collection would write to every object, and so copy the pages that the processes share
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
        self._weights = [nn.Parameter(chunk.of([p.detach() for p in shared.parameters])) for chunk in self._cut]
        low = [shared.low.get(parameter) for parameter in shared.parameters]
        self._copies = [
            (copy.view(-1)[chunk.start : chunk.stop], weight.detach())
            for chunk, weight in zip(self._cut, self._weights, strict=True)
            if (copy := low[chunk.parameter]) is not None
        ]
        more = places(shared.machine.shards // (self.count * shared.ranks.count)) - 1
        self._sums = [shared.sums[self.rank], *([torch.empty_like(p) for p in shared.parameters] for _ in range(more))]
        self._accumulator = Accumulator(shared.model, shared.parameters, shared.low)
        groups = [
            {"params": [w for w, chunk in zip(self._weights, self._cut, strict=True) if shared.group[chunk.parameter] == number]}
            for number in range(len(shared.phase.groups))
        ]
        self._rates = [(number, group) for number, group in enumerate(groups) if group["params"]]
        own = [group for _, group in self._rates]
        self._optimizer = shared.optimizer.of(own) if own else None
        for number, chunk, weight in zip(self._numbers, self._cut, self._weights, strict=True):
            if self._optimizer:
                state = {name: chunk.of(moments) for name, moments in shared.moments.items()}
                self._optimizer.state[weight] = state | ({"step": shared.steps[number]} if shared.optimizer.counts else {})

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
        present = [False] * len(shared.parameters)

        def leaf(part: int, place: int) -> Sequence[Tensor]:
            torch.manual_seed(seed_of(shared.seed, "dropout", shared.phase.name, step, part))
            assert shared.phase.part is not None
            self._accumulator.begin(self._sums[place])
            own = shared.phase.part(step, part, parts)
            if own is not None and own[1]:
                mean, weight = own
                loss = mean * weight
                losses[part] = loss.item(), weight
                loss.backward()  # type: ignore[no-untyped-call]
            self._accumulator.end()
            present[:] = map(any, zip(present, self._accumulator.present, strict=True))
            return self._sums[place]

        share = parts // (self.count * shared.ranks.count)
        first = (shared.ranks.number * self.count + self.rank) * share
        with shared.machine.autocast():
            summed(first, first + share, leaf)
        return losses, present

    def reduce(self, weight: int, present: Sequence[bool], added: bool) -> tuple[list[float], float]:
        """The gradient over this worker's chunks, times ``weight``: the square of each one's norm; and the value of the penalty.

        :param added: the workers' sums were added before, and stand where the first one's was.
        """
        penalty, of_penalty = self._penalty()
        squares = []
        for chunk, weights in zip(self._cut, self._weights, strict=True):
            extra = of_penalty[chunk.parameter]
            if not present[chunk.parameter] and extra is None:
                continue
            total = chunk.of(self.shared.sums[0]) if added else self._total(chunk)
            if extra is not None:
                total.add_(extra.reshape(-1)[chunk.start : chunk.stop], alpha=weight)
            weights.grad = total
            squares.append(float(torch.linalg.vector_norm(total)) ** 2)
        return squares, penalty

    def _total(self, chunk: Chunk) -> Tensor:
        """The sum of all workers over ``chunk``, where the first one's was."""
        [total] = summed(0, self.count, lambda worker, _: [chunk.of(self.shared.sums[worker])])
        return total

    def _penalty(self) -> tuple[float, Sequence[Tensor | None]]:
        """What the weights cost, and its gradient; None: nothing depends on the parameter."""
        shared = self.shared
        if shared.phase.penalty is None:
            return 0.0, [None] * len(shared.parameters)
        with shared.machine.autocast():
            value = shared.phase.penalty()
            return value.item(), torch.autograd.grad(value, list(shared.parameters), allow_unused=True)

    def update(self, scale: float, factor: float) -> None:
        """Take the optimizer's step on this worker's chunks, on ``scale`` times their gradients."""
        if self._optimizer is None:
            return
        for (number, _), options in zip(self._rates, self._optimizer.param_groups, strict=True):
            options["lr"] = self.shared.phase.groups[number].rate * factor
        if gradients := [weight.grad for weight in self._weights if weight.grad is not None]:
            torch._foreach_mul_(gradients, scale)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        for copy, weight in self._copies:
            copy.copy_(weight)


def _portable(error: Exception) -> Exception:
    """``error`` as a pipe can carry it, with the lines where it was raised as a note."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
