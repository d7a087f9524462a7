"""What computes here, told without torch: the kind of device, and how many cores this process may use."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """Cores this process may use: affinity, cut by the cgroup's CPU quota, and at most one thread a core."""
    with suppress(AttributeError):  # macOS has no affinity
        return max(1, min(len(os.sched_getaffinity(0)), _quota()))
    return os.cpu_count() or 1


def workers(parts: int) -> int:
    """How many processes share so many parts of a batch here: as many as there are cores, a power of two, so that each has a subtree.

    Ranks of one machine, which torchrun counts in LOCAL_WORLD_SIZE, share its cores.
    """
    own = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return min(parts, 1 << (own.bit_length() - 1))


def _quota() -> int:
    for quota, period in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError, IndexError):
            words = Path("/sys/fs/cgroup", quota).read_text().split()
            words += Path("/sys/fs/cgroup", period).read_text().split() if period else []
            if words[0] not in {"max", "-1"}:
                return max(1, math.floor(int(words[0]) / int(words[1])))
    return sys.maxsize


def device() -> str:
    """``cuda`` where the driver shows a GPU and torch was built for it, else ``cpu``: a guess, torch itself decides at the step."""
    with suppress(PackageNotFoundError):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in {"", "-1"}
        if visible and not version("torch").endswith("+cpu") and Path("/proc/driver/nvidia/gpus").is_dir():
            return "cuda"
    return "cpu"
