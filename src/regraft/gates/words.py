"""Sentences of a verdict, for the person who answers for production and has never heard of a bootstrap."""

from __future__ import annotations

from regraft.gates.verdict import Measured, Part

METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy"}
MODELS = {"tfidf": "TF-IDF", "champion": "the champion", "base": "the un-adapted base", "adapted": "adapted"}
MOST_GROWTH = 20
"""A test set that would have to grow more than this many times is not worth asking for."""


def number(value: float) -> str:
    """Three decimals, or as many of six as a value needs that would otherwise read as zero."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.6f}".rstrip("0")


def spread(found: Measured) -> str:
    return f"{found.confidence * 100:g} % interval {number(found.low)} to {number(found.high)}"


def score(model: str, metric: str, value: float, n: int) -> str:
    return f"{MODELS[model]} scores {number(value)} {METRICS[metric]} on {n:,} test rows"


def comparison(model: str, against: str, metric: str, value: float, n: int, difference: Measured) -> str:
    """One model against another, without the conclusion."""
    if difference.value == 0:
        gap = f"exactly as much as {MODELS[against]}"
    else:
        gap = f"{number(abs(difference.value))} {'above' if difference.value > 0 else 'below'} {MODELS[against]}"
    return f"{score(model, metric, value, n)}, {gap} ({spread(difference)})"


def floor(model: str, metric: str, n: int, held: Measured, outcome: Part) -> str:
    """A model against a floor, without what an open question asks for."""
    end = {"pass": "not below the floor of", "fail": "below the floor of", "inconclusive": "on both sides of the floor of"}[outcome]
    return f"{score(model, metric, held.value, n)} ({spread(held)}), {end} {number(held.threshold)}"


def more_rows(n: int, found: Measured) -> int | None:
    """Roughly how many more rows of the same kind would decide an open question, if the true value is the measured one.

    Intervals shrink with the square root of n, so in all n * (reach / distance)^2 rows are needed, reach being the part
    of the interval on the threshold's side. None when that is more than :data:`MOST_GROWTH` times n.
    """
    distance = abs(found.value - found.threshold)
    reach = found.value - found.low if found.value > found.threshold else found.high - found.value
    if distance == 0 or (reach / distance) ** 2 > MOST_GROWTH:
        return None
    return round(n * max(0.0, (reach / distance) ** 2 - 1))


def undecided(n: int, found: Measured) -> str:
    """What an inconclusive finding asks for."""
    more = more_rows(n, found)
    if more is None:
        return "that does not decide, and the distance is too small for any sensible number of rows to"
    shown = max(10, round(more, -1 if more < 1_000 else -2))
    return f"that does not decide; about {shown:,} more test rows like these would"
