"""What the bits of a training run depend on besides its data: device, CPU capability, threads, precision, torch.

Chosen once, at a step's first start, and written beside its checkpoints. Measured: 1 and 2 threads give
different gradients, in fp32 and in bf16; two runs with the same number are identical, under load too.
"""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from regraft.core.cores import cores
from regraft.core.errors import EnvironmentFault

Facts = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """Two equal machines give equal bits."""

    device: str
    """``cpu`` or ``cuda``."""
    capability: str
    """What computes: ``AuthenticAMD AVX512 bf16``, or the name of the GPU."""
    threads: int
    precision: str
    """``bf16``: autocast, with weights and optimizer in fp32; or ``fp32``."""
    torch: str
    shards: int = 1
    """Parts that a batch is computed in, each in one thread (:mod:`regraft.training.parts`); 1: whole batches, and the bits depend on
    :attr:`threads`. A section of the resolved file says it, no machine."""

    @classmethod
    def here(cls) -> Machine:
        """The best this machine offers: CUDA if there is one, bf16 where the processor is faster in it."""
        if torch.cuda.is_available():
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            return cls("cuda", torch.cuda.get_device_name(), cores(), "bf16" if bf16 else "fp32", torch.__version__)
        # fp16 is no alternative on a CPU: 2.8 GFLOP/s against 500 in bf16 and 118-260 in fp32.
        # Intel's AVX512-BF16 without AMX is a trap too: 84 GFLOP/s a core, and 153 in fp32 (docs/log.md).
        bf16 = torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and vendor() != "GenuineIntel")
        capability = " ".join(filter(None, [vendor(), torch.backends.cpu.get_cpu_capability(), "bf16" if bf16 else ""]))
        return cls("cpu", capability, cores(), "bf16" if bf16 else "fp32", torch.__version__)

    @classmethod
    def of(cls, facts: Facts) -> Machine:
        """The inverse of :meth:`facts`."""
        return cls(**facts)

    def facts(self) -> Facts:
        """The machine as JSON holds it; :meth:`of` reads it back."""
        return asdict(self)

    def differs(self, earlier: Machine) -> str:
        """What cannot be made the same here, in words; empty if the bits can. Threads always can, and shards come from the section."""
        now, then = replace(self, threads=earlier.threads, shards=earlier.shards).facts(), earlier.facts()
        return ", ".join(f"{name} {then[name]} then, {now[name]} now" for name in now if now[name] != then[name])

    def in_shards(self, shards: int) -> Machine:
        """This machine, computing batches in so many parts of one thread each; 1: whole batches, with the threads it has."""
        return self if shards == 1 else replace(self, threads=1, shards=shards)

    def apply(self) -> None:
        """Set this process up; before the first tensor of a run."""
        torch.set_num_threads(self.threads)
        if self.device == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # else each `empty` is written once more
            torch.backends.cuda.matmul.allow_tf32 = False
        else:
            keep_memory()

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where it was chosen: 2.5-4x the fp32 step on a CPU that computes it natively."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


@dataclass(frozen=True)
class Start:
    """Where a run began, and whether it stayed on machines that give the same bits."""

    machine: Machine
    exact: bool


def resume_on(start: Start | None, *, continues: bool, pipeline: str, allow_inexact: bool) -> tuple[Machine, bool]:
    """The machine to train on, and whether the bits will be those of an uninterrupted run.

    :param continues: there is a whole checkpoint; without one a run on another kind of machine just begins anew.
    :raises EnvironmentFault: the run began on a machine this one cannot equal, and ``allow_inexact`` is off.
    """
    machine = Machine.here()
    if start is None:
        return machine, True
    difference = machine.differs(start.machine)
    if difference and not continues:
        return machine, True
    if difference and not allow_inexact:
        raise EnvironmentFault(
            f"the checkpoint cannot be continued to the same bits on this machine: {difference}",
            fix=f"regraft run {pipeline or 'PIPELINE'} --allow-inexact",
        )
    if difference:
        return machine, False  # with threads of its own: those of another kind of machine would not bring the bits back
    return replace(machine, threads=start.machine.threads), start.exact


def vendor() -> str:
    """Maker of the CPU: the maths libraries choose their kernels by it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("vendor_id"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def keep_memory() -> None:
    """Tell glibc to keep freed memory: gradients of 47 MB otherwise fault in every page at every step (10-19 % of a step)."""
    mmap_max, trim_threshold = -4, -1  # malloc.h
    with suppress(OSError, AttributeError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def release_memory() -> None:
    """Give back to the system what :func:`keep_memory` kept of what was freed so far."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
