"""What a test set can show: the smallest true difference that it would show, and the rows that a question needs.

A difference is shown when its interval excludes the threshold. With standard error s that happens with probability
``power`` if the true value lies (z(confidence) + z(power)) * s beyond it (Cohen 1988, "Statistical Power Analysis",
chapter 2): the minimum detectable effect. s comes from how often the two models really disagreed on these rows.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

POWER = 0.8
"""Cohen's convention: four of five times."""
MOST_GROWTH = 20
"""A test set that would have to grow more than this many times is not worth asking for."""


def quantile(confidence: float) -> float:
    """z of a two-sided normal interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def detectable(error: float, confidence: float, power: float = POWER) -> float:
    """Minimum detectable effect of a two-sided interval, from a standard error."""
    return (quantile(confidence) + NormalDist().inv_cdf(power)) * error


def disagreement_error(gained: int, lost: int, n: int) -> float:
    """Standard error of a paired difference of shares if the models are equally good.

    From the share of rows on which one is right and the other wrong, with half a row added to both kinds and to the
    two others (Agresti & Min 2005, "Simple improved confidence intervals for comparing matched proportions"), so
    that models that happen to agree on thirty rows are not taken to agree always.
    """
    return sqrt((gained + lost + 1) / (n + 2) / n)


def more_rows(n: int, distance: float, effect: float) -> int | None:
    """How many more rows of the same kind bring the detectable effect down to ``distance``; None: more than anyone labels.

    Standard errors shrink with the square root of the rows, so n * (effect / distance)^2 are needed in all.
    """
    distance = abs(distance)
    if distance == 0 or (effect / distance) ** 2 > MOST_GROWTH:
        return None
    return round(n * max(0.0, (effect / distance) ** 2 - 1))
