"""Statistics that stored decisions rest on: the same bytes whatever computes them, and under every scipy that is allowed.

``golden/statistics.json`` holds what the functions of 0.2.0, written by hand, gave for these cases. A verdict shows six decimals, and
``explain`` refuses one that does not come out the same.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from regraft.evaluation.stats.metrics import mcnemar
from regraft.evaluation.stats.seed_noise import measured_by_seeds
from regraft.gates.cost import ranks

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics.json"
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


def uniform(key: int, n: int) -> np.ndarray:
    """[n] numbers in [0, 1) that no version of numpy changes: a stream's raw words."""
    return np.asarray(np.random.Philox(key=key).random_raw(n) >> np.uint64(11), dtype=np.float64) / 2**53


def seeded(count: int, confidence: float, key: int) -> list[float]:
    """Value, ends and detectable effect of a metric under ``count`` seeds; every fourth case has seeds with ties."""
    noise = uniform(key, 400 + count)
    scale = (0.3, 0.05, 0.01, 1.0)[key % 4]
    each = noise[400:] * scale
    each = np.round(each, 1) if key % 4 == 3 else each
    resampled = each.mean() + (noise[:400] - 0.5) * (0.02, 0.1, 0.5)[key % 3]
    found = measured_by_seeds(float(each.mean()), resampled, each, 0.0, confidence, 0.8)
    return [found.value, found.low, found.high, found.detectable]


def measure() -> dict[str, Any]:
    seeds = [*range(3, 13), 15, 20, 30, 40, 50]
    timings = [*range(3, 40), 60, 99, 100, 120, 150, 200, 500, 1_000, 2_000, 10_000]
    counts = [*product(range(13), repeat=2), (0, 60), (17, 40), (300, 361), (900, 1_000), (1_200, 1_200), (0, 2_000)]
    return {
        "seeded": [seeded(count, confidence, 7 * count + case) for count, confidence, case in product(seeds, CONFIDENCES, range(4))],
        "ranks": [ranks(n, q, confidence) for n, q, confidence in product(timings, (0.5, 0.95), CONFIDENCES)],
        "mcnemar": [f"{mcnemar(gained, lost):.2g}" for gained, lost in counts],
    }


def test_statistics_of_stored_decisions_keep_their_bytes():
    golden = json.loads(GOLDEN.read_text())
    for name, values in json.loads(json.dumps(measure())).items():
        assert values == golden[name], f"{name}: stored verdicts and measurements would not be rebuilt"
