"""What the comparisons share: every side in a process of its own, one piece of work at a time in turn, and what else ran meanwhile.

A script that compares defines functions ``side(arguments) -> iterator``, each a generator: what comes before its first ``yield`` is not
timed, and then every ``next`` is one piece of work. :func:`compare` starts one process a side and lets them work in turn, so that a
machine that grows slower does so for all. *Neighbours* are processor seconds a second that all other processes took meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

Side = Callable[[argparse.Namespace], Iterator[None]]
UNCOUNTED = 2
"""Pieces of work before the first that counts: kernels are chosen and pages faulted in."""


def in_turns(begin: Callable[[Callable[[], Any]], Callable[[], Any]]) -> Iterator[None]:
    """Do what ``begin`` returns, and yield at every call of the function that it is given."""
    import greenlet

    inside = greenlet.greenlet(begin(greenlet.getcurrent().switch))
    while True:
        inside.switch()
        yield


def regraft_in_turns(train: Callable[[], Any]) -> Iterator[None]:
    """The steps of regraft's loop, which ``train`` runs."""
    from regraft.training import loop

    def begin(turn: Callable[[], Any]) -> Callable[[], Any]:
        allowed = loop.Training._may_go_on
        loop.Training._may_go_on = lambda *given: turn() or allowed(*given)  # type: ignore[method-assign]
        return train

    return in_turns(begin)


def trainer_in_turns(model: Any, collator: Any, examples: Any, rows: int, pieces: int, **more: Any) -> Iterator[None]:
    """The steps of ``transformers.Trainer`` on batches of ``rows``; ``more`` of its arguments."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    def begin(turn: Callable[[], Any]) -> Callable[[], Any]:
        class Turn(TrainerCallback):
            def on_step_begin(self, *_arguments: Any, **_more: Any) -> None:
                turn()

        made = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=rows,
            max_steps=UNCOUNTED + pieces + 1,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **more,
        )
        return Trainer(model, made, collator, examples, callbacks=[Turn()]).train

    return in_turns(begin)


@dataclass
class _Process:
    """One side at work."""

    name: str
    popen: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    neighbours: list[float] = field(default_factory=list)

    def work(self) -> None:
        assert self.popen.stdin is not None
        busy, own, began = _busy(), self.spent(), time.perf_counter()
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        self.answer()
        wall, spent = time.perf_counter() - began, self.spent() - own
        self.seconds.append(wall)
        self.processor.append(spent)
        self.neighbours.append(max(0.0, _busy() - busy - spent) / wall)

    def answer(self) -> None:
        """Wait until the process says that it is done; what else it prints is its own."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line == "done\n":
                return
        sys.exit(f"{self.name}: ended with {self.popen.wait()}")

    def everyone(self) -> list[psutil.Process]:
        root = psutil.Process(self.popen.pid)
        return [root, *root.children(recursive=True)]

    def spent(self) -> float:
        """Processor seconds so far, of workers too."""
        return sum(sum(process.cpu_times()[:2]) for process in self.everyone())

    def peak(self) -> int:
        """MB: most of this process, what its workers have of their own, and what only they see of memory that all share."""
        peak, seen = (_line(f"/proc/{self.popen.pid}/status", name) for name in ("VmHWM:", "RssShmem:"))
        workers = [child.pid for child in self.everyone()[1:]]
        shared = max((_line(f"/proc/{worker}/status", "RssShmem:") for worker in workers), default=seen)
        return (peak + sum(_line(f"/proc/{worker}/smaps_rollup", "Private_Dirty:") for worker in workers) + max(0, shared - seen)) // 1024


def _line(path: str, name: str) -> int:
    with contextlib.suppress(OSError):
        return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(name))
    return 0


def _busy() -> float:
    """Processor seconds that all processes have taken."""
    user, nice, system, *_ = psutil.cpu_times()
    return user + nice + system


def compare(sides: Mapping[str, Side], arguments: argparse.Namespace, unit: str, amount: float) -> dict[str, float]:
    """Print a table of ``sides``, and return each one's median of ``unit`` a second, where a piece of work has ``amount`` of them.

    The first is what the others are compared with, piece by piece: a ratio is the median of those of neighbouring pieces.
    """
    if arguments.side:
        return _be(sides[arguments.side], arguments)
    own = [sys.executable, *sys.argv]
    processes = [
        _Process(name, subprocess.Popen([*own, "--side", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for name in sides
    ]
    try:
        for process in processes:
            process.answer()
        for _ in range(UNCOUNTED + arguments.pieces):
            for process in processes:
                process.work()
        return _table(processes, unit, amount)
    finally:
        for process in processes:
            process.popen.communicate()


def _be(side: Side, arguments: argparse.Namespace) -> dict[str, float]:
    work = side(arguments)
    next(work)
    print("done", flush=True)
    while sys.stdin.readline():
        next(work)
        print("done", flush=True)
    os._exit(0)  # generators of half-done trainings are not ended in order


def _table(processes: list[_Process], unit: str, amount: float) -> dict[str, float]:
    first = processes[0].seconds[UNCOUNTED:]
    print(f"\n| | {unit}/s, median (range) | times the first | processor s | neighbours | peak MB |\n|---|---|---|---|---|---|")
    speeds = {}
    for process in processes:
        seconds = process.seconds[UNCOUNTED:]
        ratio = statistics.median(a / b for a, b in zip(first, seconds, strict=True))
        speeds[process.name] = amount / statistics.median(seconds)
        rest = [statistics.median(values[UNCOUNTED:]) for values in (process.processor, process.neighbours)]
        span = f"{_short(amount / max(seconds))} to {_short(amount / min(seconds))}"
        cells = [process.name, f"{_short(speeds[process.name])} ({span})", f"{ratio:.2f}", f"{rest[0]:.2f}", f"{rest[1]:.2f}"]
        print(f"| {' | '.join(cells)} | {process.peak():,} |", flush=True)
    return speeds


def _short(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def parser(description: str | None, pieces: int = 5) -> argparse.ArgumentParser:
    """The arguments that every comparison has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pieces", type=int, default=pieces, help="pieces of work a side that count")
    made.add_argument("--side", help=argparse.SUPPRESS)
    return made


def roofline(
    work: Callable[[], Any], matrices: list[tuple[int, int, int]], precision: str, speeds: Mapping[str, float], amount: float
) -> None:
    """Print how near ``speeds`` come to the machine's own limit: the matrix products of ``work``, counted, at the speed of bare ones.

    :param work: one piece of work, which has ``amount`` units.
    :param matrices: (rows, inner, columns) of products as the model has them; the fastest counts.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from regraft.core.cores import cores

    with FlopCounterMode(display=False) as counter:
        work()
    each = counter.get_total_flops() / amount
    best = 0.0
    torch.set_num_threads(cores())
    for rows, inner, columns in matrices:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = torch.randn(rows, inner).to(kind), torch.randn(inner, columns).to(kind)
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(5):
                a @ b
            best = max(best, 10 * rows * inner * columns / (time.perf_counter() - began))
    limit = best / each
    print(f"\nmatrix products alone, {precision}, {cores()} threads: {best / 1e9:,.0f} GFLOP/s at best; {each / 1e6:,.1f} MFLOP a unit")
    print(f"the machine's limit: {limit:,.0f} a second; " + ", ".join(f"{name}: {speed / limit:.0%}" for name, speed in speeds.items()))
