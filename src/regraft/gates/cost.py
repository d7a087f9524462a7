"""What serving a model takes, held against budgets: time, memory, disk. Pure: it reads a measurement that was stored.

A quantile of a latency has an interval by order statistics: of n timings the number below the true q-quantile is
binomial (n, q), whatever the distribution, so two of the sorted timings enclose it with the asked confidence (David &
Nagaraja 2003, "Order Statistics", section 7.1). The timings are taken to be independent; a machine that is busy now and
then widens the interval, and a machine that was busy all the time is told by ``load``. Memory and disk are counted
once, so their intervals are the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from regraft.evaluation.stats.measured import Measured, rounded
from regraft.gates import words
from regraft.gates.budgets import Held, finding
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

QUANTILES = {"p50": 0.5, "p95": 0.95}
BATCHES = (1, 32)
MB = 1_000_000
CONFIDENCE = 0.95
"""Confidence of what is reported beside the gate's own."""


def ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Ranks (from 1) of the two of ``n`` sorted timings that enclose the q-quantile; 0 or n + 1: there are too few timings.

    The outer mass of the binomial is at most half of 1 - confidence at either end.
    """
    from scipy.special import bdtr

    half, below = (1 - confidence) / 2, bdtr(np.arange(n), n, q)  # [k] the probability that at most k timings lie below the quantile
    return int((below <= half).sum()), int((below < 1 - half).sum()) + 1


def quantile(timings: Sequence[float], q: float, confidence: float, budget: float = 0.0) -> Measured:
    """The ceil(q n)-th of the sorted timings, and its interval. ValueError with too few timings for one."""
    ordered, n = sorted(timings), len(timings)
    low, high = ranks(n, q, confidence)
    if low < 1 or high > n:
        raise ValueError(f"{n} timings enclose no {q:g}-quantile with confidence {confidence:g}")
    value, least, most = (rounded(ordered[rank - 1]) for rank in (ceil(q * n), low, high))
    return Measured(value, least, most, rounded(budget), confidence)


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """Every budget of the gate; open where serving this candidate was not measured."""
    serving, digest = comparison.case.cost, comparison.case.digests[comparison.candidate]
    if serving is None or gate.cost is None:
        return _open("what serving takes was not measured.")
    if problem := serving.get("problem"):
        return _open(f"what serving takes could not be measured: {problem}.")
    if serving["model"] != digest:
        return _open(f"what was measured is another model ({serving['model'][:12]}) than the candidate ({digest[:12]}).")
    machine = serving["machine"]
    place = f"{machine['device']} ({machine['capability']}, {_threads(machine)})"
    opening = f"serving {words.MODELS[comparison.candidate]} on {place}: "
    budgets = {name: value for name, value in gate.cost if value is not None}
    return finding("cost", opening, [_held(name, value, serving, gate.confidence) for name, value in budgets.items()])


def _open(sentence: str) -> Finding:
    return Finding.in_words("cost", 0, "inconclusive", sentence)


def _threads(machine: Mapping[str, Any]) -> str:
    return f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"


def _held(name: str, budget: float, serving: Mapping[str, Any], confidence: float) -> tuple[Held, str]:
    """One number of the gate, and its budget in words."""
    if name in ("peak_mb", "size_mb"):
        counted = rounded(serving[name.replace("_mb", "_bytes")] / MB)
        subject = "the process takes" if name == "peak_mb" else "the files take"
        megabytes = Measured(counted, counted, counted, rounded(budget), confidence)
        return Held(name, megabytes, 1, f"{subject} {counted:,.1f} MB"), f"{budget:,g} MB"
    label, _, batch = name.partition("_ms_batch_")
    timings = serving["milliseconds"][batch]
    latency = quantile(timings, QUANTILES[label], confidence, budget)
    texts = "one text" if batch == "1" else f"{batch} texts"
    sentence = f"{label} of {texts} is {milliseconds(latency.value)} ms "
    interval = f"{confidence * 100:.4g} % interval {milliseconds(latency.low)} to {milliseconds(latency.high)}"
    return Held(name, latency, len(timings), f"{sentence}({interval}, {len(timings):,} timings)"), f"{budget:g} ms"


def milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def measured(comparison: Comparison) -> dict[str, Any]:
    """``{"cost": ...}`` for ``measurements.json``; nothing where nothing was measured."""
    serving = comparison.case.cost
    if not serving or "problem" in serving:
        return {}
    latency = list(_latency(serving["milliseconds"]))
    sizes = {name: rounded(serving[f"{name}_bytes"] / MB) for name in ("peak", "size")}
    origin = {key: serving[key] for key in ("model", "machine", "load")}
    return {"cost": {**origin, "peak_mb": sizes["peak"], "size_mb": sizes["size"], "confidence": CONFIDENCE, "latency_ms": latency}}


def _latency(milliseconds: Mapping[str, Sequence[float]]) -> Iterator[dict[str, Any]]:
    for batch in BATCHES:
        timings = milliseconds[str(batch)]
        quantiles = {name: quantile(timings, q, CONFIDENCE) for name, q in QUANTILES.items()}
        numbers = {name: {"value": latency.value, "low": latency.low, "high": latency.high} for name, latency in quantiles.items()}
        yield {"batch": batch, "timings": len(timings), **numbers}
