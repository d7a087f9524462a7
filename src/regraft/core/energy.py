"""What a step's computing took in energy: an estimate, with the assumption beside the number.

CPU: 12 W for every second of processor time, what Green Algorithms takes for a core of an unknown processor (Lannelongue,
Grealey & Inouye 2021, "Green Algorithms: Quantifying the Carbon Footprint of Computation", Advanced Science 8; its
``TDP_cpu`` table, "Any"). Processor time is measured, so a core that waits costs nothing. GPU: the power limit that
``nvidia-smi`` names for every second of the step, as if it were busy throughout, which errs upwards. Memory, cooling and
what else a data centre takes are not in it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

WATTS_A_CORE = 12.0


def estimate(cpu_seconds: float, seconds: float, device: str) -> dict[str, Any]:
    """``{wh, basis}`` of a step; on a GPU whose limit nobody tells, that of the processor alone."""
    joules, basis = WATTS_A_CORE * cpu_seconds, f"{WATTS_A_CORE:g} W x {cpu_seconds:.1f} s of processor time"
    if device == "cuda":
        watts = gpu_watts()
        joules += (watts or 0.0) * seconds
        basis += f" + {watts:g} W (limit of the GPU) x {seconds:.1f} s" if watts else "; the GPU's power is not known and left out"
    return {"wh": round(joules / 3600, 4), "basis": basis}


def gpu_watts() -> float | None:
    """Power limit of the first GPU; None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    with suppress(OSError, ValueError, IndexError, subprocess.SubprocessError):
        return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()[0])
    return None


def spent(record: Mapping[str, Any]) -> dict[str, float]:
    """``seconds`` and ``energy_wh`` of a step's record, for MLflow; records of earlier versions name no energy."""
    energy = record.get("energy")
    return {"seconds": record["seconds"], **({"energy_wh": energy["wh"]} if energy else {})}
