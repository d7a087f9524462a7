"""What a sample leaves open although nothing in it varies.

A bootstrap draws from the rows that there are. Of answers that are all right, or all wrong, or the same as another model's,
every resample is the same, and its interval a point: 1.000 to 1.000 on 76 rows. None of n rows going otherwise says that
up to z^2 / (n + z^2) of all rows may: there end the score intervals of a share (Wilson 1927) and of a paired
difference of shares (Tango 1998), 4.8 % for 76 rows and 95 %. An interval is therefore moved out, where it is narrower,
to what the number would be if that share of rows went one way or the other.

Measured coverage of the 95 % interval of a macro-F1, 400 simulations each, without and with: 54 % and 99 % (76 rows of 3 classes,
99 % right), 30 % and 100 % (31 rows, 99 %), 86 % and 99 % (200 rows of 4, 99 %), 94 % and 94 % (76 rows, 90 %). Of a
difference where 1 % of 76 rows is gained and none lost: 57 % and 100 %; where 5 % are gained and 5 % lost: 92 % and 92 %.
Where one class has 4 rows of 76 and 97 % are right, both cover 83 %: few rows of a class are another matter
(:mod:`regraft.evaluation.stats.bootstrap`).
"""

from __future__ import annotations

from regraft.evaluation.stats.power import quantile

NAME = "percentile_and_score"
"""What a policy document calls these intervals; without a name they are the bootstrap's alone, as up to 0.2."""


def share(n: int, confidence: float) -> float:
    """The share of rows that may go otherwise although none of ``n`` >= 1 does."""
    z = quantile(confidence)
    return z * z / (n + z * z)


def opened(ends: tuple[float, float], value: float, n: int, confidence: float, least: float, most: float) -> tuple[float, float]:
    """The interval ``ends`` of ``value``, which lies between ``least`` and ``most``, with what ``n`` rows leave open."""
    part = share(n, confidence)
    return min(ends[0], value - part * (value - least)), max(ends[1], value + part * (most - value))
