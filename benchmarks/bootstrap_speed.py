"""Seconds and peak memory of the paired bootstrap, alone in a process: ``python benchmarks/bootstrap_speed.py``.

Two models, 70 % and 68 % right, errors spread evenly; the second line is the size of the demo's verdict with four models.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.paired import Predictions, align


def measure(rows: int, classes: int, models: int, resamples: int) -> str:
    rng = np.random.default_rng(0)
    truth = rng.integers(classes, size=rows)
    sides = {
        f"model{m}": np.where(rng.random(rows) < 0.7 - 0.02 * m, truth, rng.integers(classes, size=rows)).astype(str).tolist()
        for m in range(models)
    }
    ids, labels = [f"{i:06d}" for i in range(rows)], truth.astype(str).tolist()
    start = time.perf_counter()
    paired = align({name: Predictions(ids, labels, preds) for name, preds in sides.items()})
    found = replicates(paired, seed=17, resamples=resamples)["macro_f1"]
    low, high = interval(found["model0"] - found["model1"], 0.95)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = f"{rows:>7,} rows {classes:>4} classes {models} models {resamples:>7,} resamples"
    return f"{size}: {seconds:6.2f} s, peak {peak} MB, {low:.4f} to {high:.4f}"


if __name__ == "__main__":
    sizes = [tuple(map(int, sys.argv[1:5]))] if len(sys.argv) == 5 else [(10_000, 100, 2, 10_000), (800, 16, 4, 9_999)]
    for size in sizes:
        print(measure(*size))
