"""What it takes to serve a model: ``python -m regraft.evaluation.serving_cost MODEL_DIR TEXTS_JSON OUT_JSON`` measures it once.

A latency is no function of a model's bytes, so measuring it is no step: it is done once per model and kind of machine,
and :class:`ServingStore` keeps what came out. The process loads what production loads (json, numpy, torch,
transformers and :mod:`regraft.models.kinds`) and nothing else, so its memory is that of a server of this model,
without the web framework round it. Every timing is kept; quantiles and their intervals are the gate's business
(:mod:`regraft.gates.cost`).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.cores import cores, device
from regraft.core.key_values import KeyValues
from regraft.evaluation import in_a_process
from regraft.evaluation.loading import loaded

SCHEMA = 1
TIMINGS = {1: 200, 32: 120}
"""Texts at once -> timings. 104 are the fewest whose largest bounds a 95 % quantile with a confidence of 0.99."""
WARM_UP = 10
"""Untimed calls before: the first ones allocate and choose kernels."""
Json = dict[str, Any]


def hardware() -> Json:
    """What a latency depends on besides the model, told without torch: processor, cores, GPU, and who computes."""
    names = {"processor": ("/proc/cpuinfo", r"model name\s*: (.+)"), "gpu": ("/proc/driver/nvidia/gpus/*/information", r"Model:\s*(.+)")}
    facts: Json = {"cores": cores(), "device": device(), **{library: version(library) for library in ("torch", "transformers")}}
    for name, (pattern, regex) in names.items():
        for path in sorted(Path("/").glob(pattern.removeprefix("/"))):
            with suppress(OSError):
                if match := re.search(regex, path.read_text()):
                    facts[name] = match[1].strip()
    return facts


@dataclass(frozen=True)
class ServingStore:
    """Measurements by model and kind of machine: ``serving/<model digest>/<digest of hardware()>.json``."""

    values: KeyValues

    def get(self, model: str) -> Path | None:
        """The measurement of ``model`` on this kind of machine, or None where there is none that can be believed."""
        path = self.values.file(_key(model))
        with suppress(OSError, ValueError, KeyError, TypeError):
            measurement = files.read_json(path) if path else {}
            return path if (measurement["schema"], measurement["model"]) == (SCHEMA, model) else None
        return None

    def put(self, model: str, measured: Path) -> Path:
        """Keep the measurement in the file ``measured``; the file to read it from, from now on."""
        self.values.put(_key(model), measured.read_bytes())
        return self.values.file(_key(model)) or measured


def _key(model: str) -> str:
    return f"serving/{model}/{files.sha256_text(files.canonical(hardware()))}.json"


def measure(folder: Path, texts: Sequence[str]) -> Json:
    """Load the model in ``folder``, let it answer ``texts``, and say what that took. Call it in a fresh process."""
    from regraft.models.machine import vendor

    before = os.getloadavg()[0]
    with loaded(folder) as (model, machine):
        milliseconds = {str(size): [round(ms, 3) for ms in _timed(model, texts, size, times)] for size, times in TIMINGS.items()}
    facts = hardware()
    name = machine.capability if machine.device == "cuda" else facts.get("processor", vendor())
    return {
        "schema": SCHEMA,
        "model": files.digest(folder),
        "machine": {"device": machine.device, "capability": name, "threads": machine.threads, "torch": facts["torch"]},
        "load": round(before, 2),
        "milliseconds": milliseconds,
        "peak_bytes": peak_bytes() + _gpu_bytes(machine.device),
        "size_bytes": sum(path.stat().st_size for path in files.walk(folder)),
    }


def _timed(model: Any, texts: Sequence[str], size: int, times: int) -> Iterator[float]:
    """Milliseconds of ``times`` calls with ``size`` texts, which run through all of ``texts`` evenly and begin anew at their end."""
    for call in range(-WARM_UP, times):
        start = max(call, 0) * max(1, len(texts) // times)
        chosen = [texts[(start + i) % len(texts)] for i in range(size)]
        began = time.perf_counter()
        model.predict(chosen)
        if call >= 0:
            yield (time.perf_counter() - began) * 1000


def peak_bytes() -> int:
    """Most memory this process ever had resident."""
    with suppress(OSError, ValueError, IndexError):
        # Not ru_maxrss: Linux hands the parent's on through fork and exec, so a small child of a large process looks large.
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _gpu_bytes(device: str) -> int:
    import torch

    return int(torch.cuda.max_memory_reserved()) if device == "cuda" else 0


if __name__ == "__main__":
    sys.exit(in_a_process.main("regraft.evaluation.serving_cost", measure))
