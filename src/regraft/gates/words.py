"""Sentences of a verdict, for the person who answers for production and has never heard of a bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from regraft.evaluation.stats import metric, power, seeded
from regraft.evaluation.stats.measured import FindingOutcome, Measured
from regraft.evaluation.stats.power import MOST_GROWTH
from regraft.evaluation.stats.seeded import SeededMeasured

if TYPE_CHECKING:  # `plan` and `status` put numbers into words, and import no numpy for it
    from regraft.evaluation.stats.slices import Slice, SliceResult

METRICS = {name: known.words for name, known in metric.METRICS.items()}
LOWER_IS_BETTER = frozenset(name for name, known in metric.METRICS.items() if known.lower_is_better)
"""Differences of these are turned round: above 0 is better for every metric."""
MODELS = {"tfidf": "TF-IDF", "champion": "the champion", "base": "the un-adapted base", "adapted": "adapted"}
NAMED = 3
"""Slices that a sentence names; the rest is counted."""


def number(value: float) -> str:
    """Three decimals, or as many of six as a value needs that would otherwise read as zero."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.6f}".rstrip("0")


def counted(n: int, noun: str) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def percent(value: float) -> str:
    """A share: 0.0226 is "2.26 %"."""
    return f"{value * 100:.3g} %"


def spread(found: Measured) -> str:
    return f"{found.confidence * 100:.4g} % interval {number(found.low)} to {number(found.high)}"


def shown(found: Measured) -> str:
    """What these rows can show, to stand after an interval; nothing where nothing is known of it."""
    if found.power is None or not found.detectable:
        return ""
    return f"; detectable with {found.power:.0%} power: {number(found.detectable)}".replace("%", " %")


def score(model: str, metric: str, value: float, n: int) -> str:
    return f"{MODELS[model]} scores {number(value)} {METRICS[metric]} on {n:,} test rows"


def comparison(model: str, against: str, metric: str, value: float, n: int, difference: Measured) -> str:
    """One model against another, without the conclusion."""
    if difference.value == 0:
        gap = f"exactly as much as {MODELS[against]}"
    else:
        better = difference.value > 0
        side = ("better than" if better else "worse than") if metric in LOWER_IS_BETTER else ("above" if better else "below")
        gap = f"{number(abs(difference.value))} {side} {MODELS[against]}"
    return f"{score(model, metric, value, n)}, {gap} ({spread(difference)}{shown(difference)})"


def margin(found: Measured, outcome: FindingOutcome) -> str:
    """What a difference means for the margin of non-inferiority."""
    allowed = f"the {number(-found.threshold)} allowed"
    return {"pass": f"not worse by {allowed}", "fail": f"worse by more than {allowed}", "inconclusive": f"on both sides of {allowed}"}[
        outcome
    ]


def floor(model: str, metric: str, n: int, held: Measured, outcome: FindingOutcome) -> str:
    """A model against a floor, without what an open question asks for."""
    end = {"pass": "not below the floor of", "fail": "below the floor of", "inconclusive": "on both sides of the floor of"}[outcome]
    return f"{score(model, metric, held.value, n)} ({spread(held)}), {end} {number(held.threshold)}"


def flips(model: str, n: int, lost: int, found: Measured, outcome: FindingOutcome) -> str:
    """Rows that only the champion gets right, against their budget."""
    said = f"{MODELS[model]} gets {lost:,} of {n:,} test rows wrong that the champion gets right"
    interval = f"{found.confidence * 100:.4g} % interval {percent(found.low)} to {percent(found.high)}"
    end = {"pass": "within", "fail": "above", "inconclusive": "on both sides of"}[outcome]
    return f"{said}: {percent(found.value)} ({interval}), {end} the budget of {percent(found.threshold)}"


def holdout(decisions: int, budget: int) -> str:
    """How worn the test rows are."""
    taken = f"{decisions:,} different decisions have been taken on these test rows, this one included"
    if decisions == 1:
        taken = "this is the first decision on these test rows"
    if decisions <= budget:
        return f"{taken}; the budget is {budget:,}"
    return f"{taken}, and the budget is {budget:,}: what they say is no longer independent of the models they chose; label fresh test rows"


def more_rows(n: int, found: Measured) -> int | None:
    """Roughly how many more rows of the same kind would decide an open question, if the true value is the measured one.

    With :attr:`Measured.power`, as many as decide it with that power. Without, intervals shrink with the square root
    of n, so in all n * (reach / distance)^2 rows are needed, reach being the part of the interval on the threshold's
    side. None when that is more than :data:`MOST_GROWTH` times n.
    """
    distance = abs(found.value - found.threshold)
    if found.power is not None:
        return power.more_rows(n, distance, found.detectable)
    reach = found.value - found.low if found.value > found.threshold else found.high - found.value
    if distance == 0 or (reach / distance) ** 2 > MOST_GROWTH:
        return None
    return round(n * max(0.0, (reach / distance) ** 2 - 1))


def undecided(n: int, found: Measured) -> str:
    """What an inconclusive finding asks for: rows shrink one part of the error, seeds the other."""
    if isinstance(found, SeededMeasured):
        wanted = seeded.more_rows(n, found)
        if wanted is None:
            return "that does not decide, and more test rows alone would not: the seeds differ too much; ask for more `seeds`"
        distance = abs(found.value - found.threshold)
        found = replace(found, detectable=distance * sqrt(wanted / n))  # the effect that says `wanted`
    more = more_rows(n, found)
    if more is None:
        return "that does not decide, and the distance is too small for any sensible number of rows to"
    if found.power is None:
        return f"that does not decide; about {_round(more):,} more test rows like these would"
    return f"that does not decide; label about {_round(more):,} more test rows for {found.power:.0%} power".replace("%", " %")


def one_by_one(found: Measured) -> str:
    """What is behind a mean, to stand at the end of a sentence; nothing where there is one seed."""
    if not isinstance(found, SeededMeasured):
        return ""
    listed = ", ".join(number(value) for value in found.each)
    return f"; the mean of {len(found.each)} seeds ({listed}; the first is the model that would be registered)"


def _round(rows: int) -> int:
    return max(10, round(rows, -1 if rows < 1_000 else -2))


def named(result: SliceResult | Slice) -> str:
    return f"{result.column} = {result.value}"


def slice_result(model: str, against: str, worst: SliceResult) -> str:
    """One slice, without what follows for the gate."""
    found = worst.measured
    gap = f"{number(abs(found.value))} {'above' if found.value > 0 else 'below'}" if found.value else "exactly as good as"
    said = f"on {named(worst)} ({worst.n:,} rows) {MODELS[model]} is {gap} {MODELS[against]} in accuracy ({spread(found)}{shown(found)})"
    said += f", {margin(found, worst.outcome)}"
    if worst.outcome != "inconclusive":
        return said
    if worst.more_rows is None:
        return f"{said}; no sensible number of rows decides that"
    return f"{said}; label about {_round(worst.more_rows):,} more of this slice for 80 % power"


def slice_gate(results: Sequence[SliceResult], small: Sequence[Slice]) -> str:
    """How all slices of a gate came out."""
    parts = []
    for outcome, word in (("fail", "worse"), ("inconclusive", "open"), ("pass", "good enough")):
        if found := [r for r in results if r.outcome == outcome]:
            names = ", ".join(named(r) for r in found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
            parts.append(f"{len(found)} {word} ({names})" if outcome != "pass" else f"{len(found)} {word}")
    said = f"of {len(results)} slice{'s' * (len(results) != 1)} {', '.join(parts)}"
    return f"{said}; {too_small(small)}" if small else said


def too_small(small: Sequence[Slice]) -> str:
    rows = sum(s.n for s in small)
    return f"{len(small):,} with too few rows ({rows:,} in all) not judged"


def power_lines(summary: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the last test rows can show, a line a model and a line a column of slices."""
    whole = [row for row in summary if "slices" not in row]
    for against in dict.fromkeys(row["against"] for row in whole):
        rows = [row for row in whole if row["against"] == against]
        effects = [f"{number(row['detectable'])} {METRICS[row['metric']]}" for row in rows if row["detectable"]]
        said = " or ".join(effects) or "not known, every resample gave the same difference"
        yield f"{rows[0]['rows']:,} rows against {MODELS[against]}: {said}"
    for row in summary:
        if "slices" in row:
            span = " to ".join(dict.fromkeys((number(row["detectable"]), number(row["detectable_at_worst"]))))
            slices = f"{row['count']} slice{'s' * (row['count'] != 1)} by {row['slices']}"
            yield f"{slices} against {MODELS[row['against']]}: {span} {METRICS[row['metric']]}"


def such_rows(n: int, found: Measured) -> str:
    """What an open question asks for: more rows of those that it is about, not of any."""
    return undecided(n, found).replace("more test rows", "more such rows")
