"""Seed noise: how far a score, or a difference of two, would move under other seeds as well as other rows.

One fine-tuning is one draw. With another seed for head, order and dropout the same recipe gives another model, and a
verdict from one model of each recipe takes the luck of a seed for its merit (Bouthillier et al. 2021, "Accounting for
variance in machine learning benchmarks"). So adapted and base are fine-tuned k times, every metric is the mean over
the k models, and a resample draws rows and seeds jointly, as in the Multi-Bootstrap (Sellam et al. 2022, "The
MultiBERTs", section 3). Number s of adapted and number s of base share their seed, so both are drawn together.

Rows and their stream are those of :mod:`regraft.gates.bootstrap`. Seeds are drawn from the same generator under another
key, seed + 2**64: number h at position r * (k - 1) + j is draw j of resample r, the seed floor(h * k / 2**32).

Few seeds make a plain bootstrap too narrow, twice over. k draws of k seeds shrink their variance by (k - 1) / k, so
k - 1 are drawn (Rao & Wu 1988, "Resampling inference with complex survey data"). And k values cannot tell their own
variance well, so the percentile interval is widened about its median by the ratio of Student's quantile to the normal
one, with the degrees of freedom of a sum of two variances (Satterthwaite 1946): those of the rows are many, those of
the seeds k - 1. Seeds that never differ widen nothing. Rows and seeds are crossed, so what a seed does to single rows
counts in both draws, which errs towards wide intervals (Owen 2007, "The pigeonhole bootstrap").
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, floor, isnan, pi, sin, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.config import seeds_of
from regraft.gates import words
from regraft.gates.bootstrap import interval
from regraft.gates.case import Case
from regraft.gates.paired import Floats, Paired, align
from regraft.gates.power import quantile
from regraft.gates.verdict import Finding, Measured, rounded

if TYPE_CHECKING:
    from regraft.gates.court import Court

SEEDED = ("adapted", "base")
"""The models that are fine-tuned more than once; TF-IDF has no seed, and of a champion there is one model."""
RANGE = {"mcc": (-1.0, 1.0), "log_loss": (0.0, float("inf"))}
"""Metrics that can leave 0 to 1."""
MANY = 1_000
"""Degrees of freedom from which Student's quantile is the normal one: 0.1 % off."""


def one(model: str, number: int) -> str:
    """What one of the k models is called among all models; numbers start at 1, the model that would be registered."""
    return f"{model} seed {number}"


@dataclass(frozen=True)
class SeededMeasured(Measured):
    """A number that seeds move as well as rows."""

    each: tuple[float, ...] = ()
    """The number for each seed, the first being that of the model that would be registered."""
    error: float = 0.0
    """Standard error, by rows and seeds together."""
    seed_error: float = 0.0
    """The part of it that more rows do not shrink."""


@dataclass(frozen=True)
class Repeats:
    """All models of a case, those of further seeds included, on the same rows."""

    count: int
    """k."""
    paired: Paired
    """Models ``adapted seed 1`` ... ``base seed k``, and those of one seed under their own names."""
    seed: int

    @classmethod
    def of(cls, case: Case, models: Sequence[str]) -> Repeats | None:
        """Of the ``models`` that can be compared; None where nobody asked for seeds, they were not trained or cannot be used."""
        count = seeds_of(case.policy.gates)
        if count is None or case.seeds is None or not set(SEEDED) <= set(models) or not_finite(case):
            return None
        found = {one(model, 1) if model in SEEDED else model: case.predictions[model] for model in models}
        found |= {one(model, n): table for model in SEEDED for n, table in enumerate(case.seeds[model], start=2)}
        return cls(count, align(found), case.policy.seed)

    def models(self, model: str) -> list[str]:
        """The names in :attr:`paired` of what the verdict calls ``model``."""
        return [one(model, n) for n in range(1, self.count + 1)] if model in SEEDED else [model]

    def means(self, single: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """``single`` (model of one seed -> metric -> value) as means over the seeds, by the verdict's names."""
        found: dict[str, dict[str, float]] = {}
        for model in dict.fromkeys(name.partition(" seed ")[0] for name in single):
            parts = [single[name] for name in self.models(model)]
            found[model] = {metric: sum(part[metric] for part in parts) / len(parts) for metric in parts[0]}
        return found

    def drawn(self, rows: Mapping[str, Floats]) -> dict[str, Floats]:
        """Joint resamples by the verdict's names, from ``rows``: model of one seed -> [resamples] of rows alone."""
        found: dict[str, Floats] = {}
        for model in dict.fromkeys(name.partition(" seed ")[0] for name in rows):
            parts = np.stack([rows[name] for name in self.models(model)], axis=-1)
            found[model] = (parts * shares(self.count, self.seed, len(parts))).sum(axis=-1) if model in SEEDED else parts[:, 0]
        return found


def shares(count: int, seed: int, resamples: int) -> Floats:
    """[resamples, k] how often each seed was drawn, as a share; the first lines do not depend on how many follow."""
    draws = count - 1
    stream = np.asarray(np.random.Philox(key=seed + (1 << 64)).random_raw((resamples * draws + 1) // 2), dtype="<u8")
    numbers = stream.view("<u4")[: resamples * draws].astype(np.uint64)
    drawn = (numbers * np.uint64(count) >> np.uint64(32)).astype(np.int64).reshape(resamples, draws)
    flat = drawn + count * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * count).reshape(resamples, count) / draws


def measured(value: float, resampled: Floats, each: Floats, threshold: float, confidence: float, power: float | None) -> SeededMeasured:
    """A number with the interval of its joint resamples.

    ``each``: [k] the number for each seed, of which ``value`` is the mean.
    """
    error, seed_error = float(resampled.std()), float(each.std(ddof=1)) / sqrt(len(each))
    student = student_quantile(degrees(error, seed_error, len(each)), confidence)
    middle, ends = float(np.median(resampled)), interval(resampled, confidence)
    low, high = (middle + (end - middle) * student / quantile(confidence) for end in ends)
    effect = (student + NormalDist().inv_cdf(power)) * error if power is not None else 0.0
    numbers = (rounded(value), rounded(low), rounded(high), rounded(threshold))
    return SeededMeasured(
        *numbers, confidence, power, rounded(effect), each=tuple(map(rounded, each.tolist())), error=error, seed_error=seed_error
    )


def within_range(found: Measured, metric: str) -> Measured:
    """The interval of a score cut at what the metric can reach: widening knows no such bound."""
    if not isinstance(found, SeededMeasured):
        return found
    least, most = RANGE.get(metric, (0.0, 1.0))
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def degrees(error: float, seed_error: float, count: int) -> int:
    """Degrees of freedom of a variance of which seeds make up a part, rounded down as in tables of Welch's test."""
    if seed_error == 0 or error == 0:
        return MANY
    return floor(min(MANY, (count - 1) * max(1.0, (error / seed_error) ** 4)))


@lru_cache(maxsize=256)
def student_quantile(df: int, confidence: float) -> float:
    """t of a two-sided interval: 4.303 for 2 degrees of freedom and 0.95."""
    if df >= MANY:
        return quantile(confidence)
    low, high = 0.0, pi / 2
    for _ in range(60):  # halvings: exact to the last bits of an angle
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, df) < confidence else (low, angle)
    return sqrt(df) * sin(low) / cos(low)


def _within(angle: float, df: int) -> float:
    """P(|t| <= sqrt(df) tan(angle)), in closed form (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    odd, square = df % 2, cos(angle) ** 2
    term = total = cos(angle) if odd else 1.0
    for j in range(2 + odd, df - 1, 2):
        term *= square * (j - 1) / j
        total += term
    if not odd:
        return sin(angle) * total
    return 2 / pi * (angle + (sin(angle) * total if df > 1 else 0.0))


def more_rows(n: int, found: SeededMeasured) -> float | None:
    """Rows needed in all to decide an open question with ``found.power``; None: rows alone never do, the seeds hide it."""
    distance = abs(found.value - found.threshold)
    allowed = (distance * found.error / found.detectable) ** 2 - found.seed_error**2 if found.detectable else 0.0
    return n * max(0.0, found.error**2 - found.seed_error**2) / allowed if allowed > 0 else None


def undecided(n: int, found: Measured) -> str:
    """What an inconclusive finding asks for: rows shrink one part of the error, seeds the other."""
    if not isinstance(found, SeededMeasured):
        return words.undecided(n, found)
    wanted = more_rows(n, found)
    if wanted is None:
        return "that does not decide, and more test rows alone would not: the seeds differ too much; ask for more `seeds`"
    distance = abs(found.value - found.threshold)
    return words.undecided(n, replace(found, detectable=distance * sqrt(wanted / n)))  # the effect that says `wanted`


def one_by_one(found: Measured) -> str:
    """What is behind a mean, to stand at the end of a sentence; nothing where there is one seed."""
    if not isinstance(found, SeededMeasured):
        return ""
    listed = ", ".join(words.number(value) for value in found.each)
    return f"; the mean of {len(found.each)} seeds ({listed}; the first is the model that would be registered)"


def not_finite(case: Case) -> list[Finding]:
    """A finding for every model of a further seed whose answers cannot be used."""
    found = []
    for model in SEEDED if case.seeds else ():
        for number, table in enumerate((case.seeds or {})[model], start=2):
            if rows := table.unusable:
                more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
                which = f"row{'s' * (len(rows) > 1)} {', '.join(rows[:3])}{more}"
                said = f"{words.MODELS[model]} gives probabilities that are not finite under seed {number} for {which}"
                sentence = f"{said}; its training went wrong, and nothing was compared."
                found.append(Finding.in_words("finite", case.rows.n, "fail", sentence, against=model))
    return found


def finding(model: str, metric: str, n: int, found: Measured, row_error: float, others: Sequence[str]) -> Finding:
    """The mean over the seeds, held against the one model that would be registered; it informs and decides nothing.

    ``row_error``: standard error of that model's score by rows alone; ``others``: models compared with that have one seed.
    """
    if not isinstance(found, SeededMeasured):
        said = "the further seeds that the gate asks for were not trained, so the noise of the seeds is in no interval."
        return Finding.in_words("seeds", n, "inconclusive", said, metric=metric)
    each = found.each
    name, spread = words.METRICS[metric], float(np.std(each, ddof=1))
    said = f"{words.MODELS[model]} scores {words.number(found.value)} {name} in the mean of {len(each)} seeds ({words.spread(found)})"
    said += f", from {words.number(min(each))} to {words.number(max(each))}; the model that would be registered, the first, "
    said += f"{words.number(each[0])}. Standard deviation by seed {words.number(spread)}, by test rows {words.number(row_error)}"
    if others:
        said += f"; {' and '.join(words.MODELS[other] for other in others)} {'have' if len(others) > 1 else 'has'} one seed"
    said += ". What is no metric of all or of clean rows is about the registered model alone."
    return Finding("seeds", None, metric, found.value, found.low, found.high, found.threshold, n, "info", said)


def document(court: Court, metrics: Collection[str] = ()) -> dict[str, Any] | None:
    """Every metric, or ``metrics``, by seed: of both models, and of the candidate against every other; None where there is one seed."""
    repeats = court.repeats
    if repeats is None:
        return None
    others = [model for model in ("champion", "base", "tfidf") if model in court.paired.preds and model != court.candidate]
    return {
        "number": repeats.count,
        "scores": [row for model in SEEDED for row in _by_seed(court, model, None, metrics)],
        "differences": [row for against in others for row in _by_seed(court, court.candidate, against, metrics)],
    }


def _by_seed(court: Court, model: str, against: str | None, metrics: Collection[str]) -> Iterator[dict[str, Any]]:
    """``each``: for each seed, the registered model's first; ``deviation``: of those; ``row_error``: of the first, by rows alone.

    Differences above 0 are better for every metric.
    """
    for metric in metrics or court.scores[model]:
        if any(isnan(court.scores[name].get(metric, float("nan"))) for name in (model, against or model)):
            continue
        sign = -1.0 if against and metric in words.LOWER_IS_BETTER else 1.0
        each = sign * (court.by_seed(model, metric) - (court.by_seed(against, metric) if against else 0.0))
        first = [one(name, 1) if name in SEEDED else name for name in (model, against) if name]
        rows = [court.resampled(metric)[name] for name in first]
        row_error = float((rows[0] - rows[1] if against else rows[0]).std())
        numbers = {"deviation": rounded(float(each.std(ddof=1))), "row_error": rounded(row_error)}
        yield {"model": model, "against": against, "metric": metric, "each": [rounded(value) for value in each.tolist()], **numbers}
