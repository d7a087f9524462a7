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
from typing import Any, NoReturn

import psutil

Side = Callable[[argparse.Namespace], Iterator[None]]
OURS = "regraft"
"""What the names of our sides begin with."""
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


def several(steps: Iterator[None], each: int) -> Iterator[None]:
    """``each`` of ``steps`` a piece, and on a GPU its end is waited for: a step returns there before it is computed."""
    import torch

    yield next(steps)
    while True:
        for _ in range(each):
            next(steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        yield


def trainer_in_turns(model: Any, collator: Any, examples: Any, rows: int, steps: int, **more: Any) -> Iterator[None]:
    """The first ``steps`` of ``transformers.Trainer`` on batches of ``rows``, on the GPU where there is one; ``more`` of its arguments."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    def begin(turn: Callable[[], Any]) -> Callable[[], Any]:
        class Turn(TrainerCallback):
            def on_step_begin(self, *_arguments: Any, **_more: Any) -> None:
                turn()

        made = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=rows,
            max_steps=steps + 1,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **more,
        )
        return Trainer(model, made, collator, examples, callbacks=[Turn()]).train

    return in_turns(begin)


@dataclass(frozen=True)
class Limit:
    """What a machine could do."""

    speed: float
    """Units a second."""
    operations: float
    """Floating-point operations of the matrix products of a unit."""


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


def compare(
    sides: Mapping[str, Side],
    arguments: argparse.Namespace,
    unit: str,
    amount: float,
    *,
    limit: Callable[[], Limit] | None = None,
    others: Mapping[str, float] | None = None,
) -> None:
    """Print a table of ``sides``, whose pieces of work have ``amount`` of ``unit``, or what ``others`` says of a side.

    Those whose name does not begin with :data:`OURS` are peers, and the first of them is one as it comes. Each side is compared with that
    one and with the fastest peer, piece by piece: a ratio is the median of those of neighbouring pieces.

    :param limit: measures what this machine could do, before any side begins; FLOP/s of a side are those that this says of its units,
        whatever the side computes beside them.
    """
    if arguments.side:
        _be(sides[arguments.side], arguments)
    reach = None if limit is None else limit()
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
        _table(processes, unit, dict.fromkeys(sides, amount) | dict(others or {}), reach)
    finally:
        for process in processes:
            process.popen.communicate()


def _be(side: Side, arguments: argparse.Namespace) -> NoReturn:
    work = side(arguments)
    next(work)
    print("done", flush=True)
    while sys.stdin.readline():
        next(work)
        print("done", flush=True)
    os._exit(0)  # generators of half-done trainings are not ended in order


def _table(processes: list[_Process], unit: str, amounts: Mapping[str, float], limit: Limit | None) -> None:
    speeds = {process.name: [amounts[process.name] / seconds for seconds in process.seconds[UNCOUNTED:]] for process in processes}
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    first = processes[0].name
    best = max((name for name in speeds if not name.startswith(OURS)), key=medians.__getitem__, default=first)
    head = [
        f"{unit}/s, median (range)",
        "times the first",
        "times the best peer",
        "TFLOP/s",
        "of the limit",
        "processor s",
        "neighbours",
        "peak MB",
    ]
    print(f"\n| | {' | '.join(head)} |\n|{'---|' * (len(head) + 1)}")
    for process in processes:
        each = speeds[process.name]
        rest = [statistics.median(values[UNCOUNTED:]) for values in (process.processor, process.neighbours)]
        cells = [
            f"{_short(medians[process.name])} ({_short(min(each))} to {_short(max(each))})",
            *(f"{statistics.median(a / b for a, b in zip(each, speeds[peer], strict=True)):.2f}" for peer in (first, best)),
            f"{medians[process.name] * limit.operations / 1e12:.3g}" if limit else "",
            f"{medians[process.name] / limit.speed:.0%}" if limit else "",
            *(f"{value:.2f}" for value in rest),
            f"{process.peak():,}",
        ]
        print(f"| {process.name} | {' | '.join(cells)} |", flush=True)


def _short(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def parser(description: str | None, pieces: int = 5) -> argparse.ArgumentParser:
    """The arguments that every comparison has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pieces", type=int, default=pieces, help="pieces of work a side that count")
    made.add_argument("--side", help=argparse.SUPPRESS)
    return made


def roofline(work: Callable[[], Any], matrices: list[tuple[int, int, int]], precision: str, unit: str, amount: float) -> Limit:
    """What this machine, its GPU where it has one, could do: the matrix products of ``work``, counted, at the speed of bare ones.

    :param work: one piece of work without padding, which has ``amount`` of ``unit``.
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
    on_gpu = torch.cuda.is_available()
    for rows, inner, columns in matrices:
        kind, place = torch.bfloat16 if precision == "bf16" else torch.float32, "cuda" if on_gpu else "cpu"
        a, b = torch.randn(rows, inner).to(place, kind), torch.randn(inner, columns).to(place, kind)
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(5):
                a @ b
            if on_gpu:
                torch.cuda.synchronize()
            best = max(best, 10 * rows * inner * columns / (time.perf_counter() - began))
    what = torch.cuda.get_device_name() if on_gpu else f"{cores()} threads"
    print(f"matrix products alone, {precision}, {what}: {best / 1e9:,.0f} GFLOP/s at best; {each / 1e6:,.1f} MFLOP a unit")
    print(f"the machine's limit: {best / each:,.0f} {unit} a second")
    return Limit(best / each, each)


def layers(config: Any, rows: int) -> list[tuple[int, int, int]]:
    """The matrix products of a layer for so many ``rows``, for :func:`roofline`."""
    width, inner = config.hidden_size, config.intermediate_size
    return [(rows, width, width), (rows, width, inner), (rows, inner, width)]
