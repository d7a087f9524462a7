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
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.gates import budgets, words
from regraft.gates.budgets import Held, finding, side
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions, at_least_one
from regraft.gates.protocol import Gate
from regraft.gates.section import Cell, Results, Section, SectionTable
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budgets(Strict):
    """Budgets for what serving the candidate takes, measured once per model and kind of machine; at least one."""

    p50_ms_batch_1: float | None = Field(None, gt=0)
    """Median milliseconds for one text."""
    p95_ms_batch_1: float | None = Field(None, gt=0)
    """Milliseconds that 95 of 100 single texts stay within."""
    p50_ms_batch_32: float | None = Field(None, gt=0)
    """Median milliseconds for 32 texts at once."""
    p95_ms_batch_32: float | None = Field(None, gt=0)
    """Milliseconds that 95 of 100 batches of 32 texts stay within."""
    peak_mb: float | None = Field(None, gt=0)
    """Most memory of the process that loads the model and answers, in MB of 10^6 bytes; on a GPU, of its memory as well."""
    size_mb: float | None = Field(None, gt=0)
    """Size of the model's files, in MB of 10^6 bytes."""

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        return at_least_one(self)


class Cost(GateOptions):
    """Limits to what serving may take."""

    gate: ClassVar[str] = "cost"
    cost: Budgets
    """What serving the candidate takes."""
    confidence: Confidence = CONFIDENCE

    @model_validator(mode="after")
    def _timings_are_enough(self) -> Self:
        if self.confidence > 0.99:
            raise ValueError("`cost` times a model often enough for a confidence of 0.99, not more")
        return self


def _load(path: Any) -> dict[str, Any]:
    from regraft.gates.evidence.served import load

    return load(path)


TABLE = Table("cost", "cost.json", step=None, path="", load=_load, optional=True)
"""What serving the candidate takes, as :mod:`regraft.evaluation.serving_cost` measured it, or why it could not be measured."""


QUANTILES = {"p50": 0.5, "p95": 0.95}
BATCHES = (1, 32)
MB = 1_000_000


def ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Ranks (from 1) of the two of ``n`` sorted timings that enclose the q-quantile; 0 or n + 1: there are too few timings.

    The outer mass of the binomial is at most half of 1 - confidence at either end.
    """
    import numpy as np
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


def judge(gate: Cost, comparison: Comparison) -> Finding:
    """Every budget of the gate; open where serving this candidate was not measured."""
    serving, digest = comparison.case.found(TABLE), comparison.case.digests[comparison.candidate]
    if serving is None:
        return _open("not_measured")
    if problem := serving.get("problem"):
        return _open("failed", problem=problem)
    if serving["model"] != digest:
        return _open("other_model", measured=serving["model"], candidate=digest)
    machine = {key: serving["machine"][key] for key in ("device", "capability", "threads")}
    held = [_held(name, budget, serving, gate.confidence) for name, budget in gate.cost if budget is not None]
    return finding("cost", held, model=comparison.candidate, machine=machine)


def _open(code: str, **facts: Any) -> Finding:
    return Finding.without_number("cost", 0, "inconclusive", code, **facts)


def _held(name: str, budget: float, serving: Mapping[str, Any], confidence: float) -> Held:
    """One number of the gate."""
    if name in ("peak_mb", "size_mb"):
        size = rounded(serving[name.replace("_mb", "_bytes")] / MB)
        return Held(name, Measured(size, size, size, rounded(budget), confidence), 1)
    label, _, batch = name.partition("_ms_batch_")
    timings = serving["milliseconds"][batch]
    return Held(name, quantile(timings, QUANTILES[label], confidence, budget), len(timings))


def sentence(f: words.Document) -> str:
    """The finding in words: every number of the gate, and where it was measured."""
    facts = f["facts"]
    match f["code"]:
        case "not_measured":
            return "what serving takes was not measured."
        case "failed":
            return f"what serving takes could not be measured: {facts['problem']}."
        case "other_model":
            return f"what was measured is another model ({facts['measured'][:12]}) than the candidate ({facts['candidate'][:12]})."
    machine = facts["machine"]
    place = f"{machine['device']} ({machine['capability']}, {words.counted(machine['threads'], 'thread')})"
    return f"serving {words.model(facts['model'])} on {place}: {'; '.join(map(_part, facts['parts']))}."


def _part(part: words.Document) -> str:
    name = part["metric"]
    if name in ("peak_mb", "size_mb"):
        subject = "the process takes" if name == "peak_mb" else "the files take"
        return f"{subject} {part['value']:,.1f} MB{side(part, lambda budget: f'{budget:,g} MB')}"
    label, _, batch = name.partition("_ms_batch_")
    texts = "one text" if batch == "1" else f"{batch} texts"
    text = f"{label} of {texts} is {words.milliseconds(part['value'])} ms ({words.spread(part, words.milliseconds)}, {part['n']:,} timings)"
    return f"{text}{side(part, lambda budget: f'{budget:g} ms')}"


def measured(comparison: Comparison) -> dict[str, Any]:
    """``{"cost": ...}`` for ``measurements.json``; nothing where nothing was measured."""
    serving = comparison.case.found(TABLE)
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


def _section(results: Results) -> Section | None:
    """What was measured, and on what machine."""
    if (cost := results.measurements.get("cost")) is None:
        return None
    machine = cost["machine"]
    place = f"{machine['device']} ({machine['capability']}, {words.counted(machine['threads'], 'thread')}, torch {machine['torch']}; "
    note = f"Measured once on {place}load {cost['load']:.1f} before). Milliseconds, with {100 * cost['confidence']:g} % intervals."
    summary = f"{cost['peak_mb']:,.0f} MB of memory, {cost['size_mb']:.1f} MB of files."
    head = ("texts at once", "median", "interval", "95 of 100 within", "interval", "timings")
    table = SectionTable(head, tuple(map(_row, cost["latency_ms"])), words=0, optional=(5,))
    return Section("What serving takes", "Serving", note, (summary,), tables=(table,))


def _row(latency: Mapping[str, Any]) -> tuple[Cell, ...]:
    quantiles = [cell for name in QUANTILES for cell in _cells(latency[name])]
    return Cell(str(latency["batch"])), *quantiles, Cell(f"{latency['timings']:,}", "muted")


def _cells(quantile: Mapping[str, float]) -> tuple[Cell, Cell]:
    value, low, high = (words.milliseconds(quantile[key]) for key in ("value", "low", "high"))
    return Cell(value), Cell(f"{low} to {high}", "muted")


COST = Gate(
    Cost,
    judge,
    sentence,
    evidence=(TABLE,),
    measured=measured,
    change=lambda f: budgets.change_of(f"cost ({f['metric']})", f, words.number),
    remedy="the candidate measured",
    failed=lambda _: "serving it takes more than it may",
    unsettled="what serving the new model takes is not known well enough",
    section=_section,
)
