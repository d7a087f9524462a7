"""Which rule chooses among candidates on dev rows: ``python benchmarks/choosing_rule.py`` (numpy alone; about a minute).

Rows are right or wrong. A candidate's answer to a row is the first one's, but for a share of rows in which it differs; so two are
as paired as two fine-tunings of one encoder are. Candidates stand in their order, the cheapest first. Of 4,000 draws each:

false   share of draws in which another than the first was chosen although none is better
regret  mean of what the best one's true accuracy is above the chosen one's, in points
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DRAWS, FIRST, DIFFER = 4_000, 0.75, 0.2
Floats = NDArray[np.float64]
Rule = Callable[[NDArray[np.bool_]], int]


def drawn(rng: np.random.Generator, n: int, gains: list[float]) -> NDArray[np.bool_]:
    """[candidates, n] whether each is right; ``gains``: true accuracy above the first one's."""
    first = rng.random(n) < FIRST
    rows = [first]
    for gain in gains[1:]:
        # of the rows that differ, won ones turn wrong into right: P(won) - P(lost) = gain
        won, lost = (DIFFER + gain) / 2, (DIFFER - gain) / 2
        turned = rng.random(n)
        rows.append(np.where(first, turned >= lost / FIRST, turned < won / (1 - FIRST)))
    return np.array(rows)


def best(right: NDArray[np.bool_]) -> int:
    return int(right.mean(axis=1).argmax())


def error(right: NDArray[np.bool_], a: int, b: int) -> float:
    """Standard error of the difference of two on the same rows."""
    return float((right[a].astype(float) - right[b]).std() / np.sqrt(right.shape[1]))


def one_standard_error(right: NDArray[np.bool_]) -> int:
    """The first of those that lie no more than one standard error of the difference below the best (Breiman et al. 1984)."""
    top, mean = best(right), right.mean(axis=1)
    return next(k for k in range(len(right)) if mean[top] - mean[k] <= error(right, top, k))


def interval(right: NDArray[np.bool_]) -> int:
    """One after the other takes over where the 95 % interval of its lead lies above 0."""
    holder, mean = 0, right.mean(axis=1)
    for k in range(1, len(right)):
        if mean[k] - mean[holder] > 1.96 * error(right, k, holder):
            holder = k
    return holder


RULES: dict[str, Rule] = {"best mean": best, "one standard error": one_standard_error, "interval above 0": interval}
WORLDS = {
    "2 alike": [0.0, 0.0],
    "4 alike": [0.0] * 4,
    "8 alike": [0.0] * 8,
    "2, last 2 points better": [0.0, 0.02],
    "2, last 5 points better": [0.0, 0.05],
    "4, last 5 points better": [0.0, 0.0, 0.0, 0.05],
    "4, last 10 points better": [0.0, 0.0, 0.0, 0.1],
    "8, last 5 points better": [*([0.0] * 7), 0.05],
}


def main() -> None:
    for n in (30, 100, 300):
        print(f"\n{n} dev rows{'':18}" + "".join(f"{name:>24}" for name in RULES))
        for world, gains in WORLDS.items():
            rng = np.random.default_rng(17)
            chosen = np.array([[rule(right) for rule in RULES.values()] for right in (drawn(rng, n, gains) for _ in range(DRAWS))])
            false, regret = (chosen != 0).mean(axis=0), 100 * (max(gains) - np.array(gains)[chosen]).mean(axis=0)
            kind, numbers = ("false", false) if max(gains) == 0 else ("regret", regret)
            cells = "".join(f"{f'{number:.1%}' if kind == 'false' else f'{number:.2f}':>24}" for number in numbers)
            print(f"  {world:<26}{kind:<6}{cells}")


if __name__ == "__main__":
    main()
