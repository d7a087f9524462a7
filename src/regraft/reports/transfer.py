"""Predicted against actual effect of adaptation, for the page: rows, sentences and a plot. Nothing before the second run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regraft.evaluation.stats.proportions import wilson
from regraft.gates import words
from regraft.gates.transfer import CONFIDENCE, Calibration, Effect, calibration


@dataclass(frozen=True)
class Transfer:
    """The effects of a pipeline's runs up to this one, oldest first, in the metric of this run."""

    metric: str
    effects: tuple[Effect, ...]
    calibration: Calibration | None
    sentences: tuple[str, ...]


def transfer(effects: Sequence[Effect], run: str, metric: str) -> Transfer | None:
    """None where no effect was predicted yet."""
    here = tuple(effect for effect in effects if effect.metric == metric)
    found = calibration(here)
    return Transfer(metric, here, found, tuple(_sentences(here, found, run))) if found else None


def _sentences(effects: Sequence[Effect], found: Calibration, run: str) -> Iterator[str]:
    own = next((effect for effect in effects if effect.run == run), None)
    if own is None:
        yield "Its models gave the same answers to the same rows as those of an earlier run, so this one says nothing new of adaptation."
    elif own.predicted:
        yield _foreseen(own)
    one = "1 prediction was" if found.predictions == 1 else f"{found.predictions} predictions were"
    better = "better" if found.error < found.error_of_none else "no better"
    said = f"{one} off by {words.number(found.error)} on average, {better} than to expect no effect each time"
    yield f"{said}, which was off by {words.number(found.error_of_none)}."
    if found.with_interval:
        low, high = wilson(found.held, found.with_interval, CONFIDENCE)
        share = f"95 % interval of that share {words.percent(low)} to {words.percent(high)}"
        yield f"{found.held} of {found.with_interval} intervals held what was measured ({share}); {words.percent(CONFIDENCE)} should."


def _foreseen(own: Effect) -> str:
    """What was expected of the run, and what came."""
    assert own.predicted is not None
    runs = f"{own.predicted.runs} earlier run{'s' * (own.predicted.runs != 1)}"
    spread = "no interval, as one run has no spread"
    if own.predicted.low is not None and own.predicted.high is not None:
        spread = f"{CONFIDENCE * 100:g} % prediction interval {own.predicted.low:+.3f} to {own.predicted.high:+.3f}"
    said = f"From {runs} adaptation was expected to change {words.METRICS[own.metric]} by {own.predicted.value:+.3f} ({spread})"
    return f"{said}; it changed it by {own.value:+.3f} ({own.low:+.3f} to {own.high:+.3f} on {own.n:,} test rows)."
