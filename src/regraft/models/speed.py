"""How fast this machine is, measured in two seconds: what a first run is estimated by, before any record tells.

    python -m regraft.models.speed '{"width": 384, "inner": 1536, "heads": 12, "layers": 6}' 2

trains one layer of that shape in so many processes at once, each in one thread as :mod:`regraft.training.workers` has it, or on the GPU,
and times a piece of plain Python. Neighbours slow both down, as they will the run.
Importing this loads no torch: it is loaded by the process that measures.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regraft.core import files

ROWS, LENGTH = 16, 32
"""Texts of a batch, and tokens of each: between those of a fine-tuning and those of a pretraining."""
UNCOUNTED = 3
SECONDS = 1.2
"""How long layers are trained."""
WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
INNER = ("intermediate_size", "d_ff", "ffn_dim", "n_inner", "hidden_dim")
HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads")
LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
"""What configurations call these numbers."""


@dataclass(frozen=True)
class Shape:
    """What the time of a token grows with."""

    width: int
    inner: int
    heads: int
    layers: int

    @classmethod
    def of(cls, folder: Path) -> Shape | None:
        """That of the model in ``folder``; None where its config.json does not say it in known words."""
        config = files.read_json(folder / "config.json")
        config = config.get("encoder", config.get("text_config", config))
        width, layers = _first(config, WIDTHS), _first(config, LAYERS)
        if width is None or layers is None:
            return None
        heads = _first(config, HEADS) or max(1, width // 64)
        return cls(width, _first(config, INNER) or 4 * width, heads if width % heads == 0 else 1, layers)


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    tokens: float
    """Tokens a second that all layers of the model are trained on, by all processes; what stands before and behind them is left out."""
    python: float
    """Seconds that :func:`plain_python` took."""

    def document(self) -> dict[str, float]:
        """As JSON holds it."""
        return asdict(self)


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def measure(shape: Shape, processes: int) -> Speed:
    """Train layers of ``shape`` in ``processes`` at once, for :data:`SECONDS`; before this process has computed anything with torch."""
    python = min(plain_python() for _ in range(3))
    from regraft.models.machine import Machine

    machine = Machine.here()
    if machine.device != "cpu":
        return Speed(_layer_rate(shape, machine) / shape.layers, python)
    pipes = [_forked(lambda: _layer_rate(shape, machine)) for _ in range(processes)]
    return Speed(sum(read() for read in pipes) / shape.layers, python)


def _forked(compute: Callable[[], float]) -> Callable[[], float]:
    """Start ``compute`` in a process of its own; what returns its result, or 0 where it failed."""
    here, there = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.write(there, json.dumps(compute()).encode())
        finally:
            os._exit(0)
    os.close(there)

    def result() -> float:
        with open(here, "rb") as pipe:
            told = pipe.read()
        os.waitpid(process, 0)
        return float(json.loads(told or b"0"))

    return result


def _layer_rate(shape: Shape, machine: Any) -> float:
    """Tokens a second of one layer, forwards, backwards and the optimizer's step: the median of the steps."""
    import torch

    torch.set_num_threads(1)
    layer = torch.nn.TransformerEncoderLayer(shape.width, shape.heads, shape.inner, activation="gelu", batch_first=True)
    layer.to(machine.device).train()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-5)
    batch = torch.ones(ROWS, LENGTH, shape.width, device=machine.device)

    def steps() -> Iterator[float]:
        until = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < until:
            with machine.autocast():
                loss = layer(batch).float().square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            yield time.perf_counter() - began

    times = list(steps())
    return ROWS * LENGTH / statistics.median(times[min(UNCOUNTED, len(times) - 1) :])


def plain_python() -> float:
    """Seconds for a fixed piece of work of the interpreter: words are cut, counted and sorted."""
    text = " ".join(str(number * 7919 % 1000) for number in range(20_000))
    began = time.perf_counter()
    counts: dict[str, int] = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    sorted(counts.items(), key=lambda item: (item[1], item[0]))
    json.loads(json.dumps(text.split()))
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Shape(**json.loads(sys.argv[1])), int(sys.argv[2])).document()) + "\n")
