"""Seconds and peak memory of one decision with every kind of gate, alone in a process: ``python benchmarks/gate_speed.py [ROWS CLASSES]``.

Four models on rows of the demo's size (800 rows, 16 classes), six columns of slices; then the same evidence judged again, as
``explain`` does.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regraft.core import files
from regraft.data.tables import write_table
from regraft.evaluation import predictions
from regraft.evaluation.predictions import Table
from regraft.gates.decide import decide, reevaluate
from regraft.gates.verdict import Champion

GATES: Sequence[Mapping[str, Any]] = [
    {"at_least": 0.3},
    {"beats": "tfidf"},
    {"beats": "champion"},
    {"metric": "accuracy", "non_inferior_by": 0.02},
    {"metric": "log_loss", "beats": "tfidf"},
    {"slices": ["source", "text_length", "text_oov", "text_cluster", "text_script", "label"], "non_inferior_by": 0.05},
    {"negative_flips": {"max": 0.05}},
    {"holdout": {"budget": 20}},
]


def scores(out: Path, rows: int, classes: int) -> None:
    """What the step ``scores`` leaves, from random logits; adapted, base and tfidf, and a champion beside them."""
    rng, labels = np.random.default_rng(0), [f"c{k:03d}" for k in range(classes)]
    truth, ids = rng.integers(classes, size=rows), [f"{i:06d}" for i in range(rows)]
    shared = rng.normal(size=(rows, classes))
    for model, strength in (("adapted", 1.8), ("base", 1.7), ("tfidf", 1.2), ("champion", 1.6)):
        z = shared + 0.5 * rng.normal(size=(rows, classes))
        z[np.arange(rows), truth] += strength
        p = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).astype(np.float32)
        predictions.write(out / f"{model}.parquet", Table.of(ids, [labels[t] for t in truth], p, labels))
    files.write_json(out / "labels.json", labels)
    files.write_json(out / "digests.json", {"adapted": "a", "base": "b", "tfidf": "t", "rows": "r"})
    sizes = {"source": 20, "text_length": 3, "text_script": 2, "text_oov": 4, "text_cluster": 8}
    columns = {name: [f"v{value}" for value in rng.integers(count, size=rows)] for name, count in sizes.items()}
    write_table(out / "slices.parquet", {"id": ids, "label": [labels[t] for t in truth], **columns})


def measure(rows: int, classes: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out, evidence = Path(folder) / "scores", Path(folder) / "evidence"
        scores(out, rows, classes)
        start = time.perf_counter()
        decide("demo", GATES, 17, out, Champion("1", "c"), out / "champion.parquet", None, evidence, decisions=1)
        decided = time.perf_counter()
        reevaluate(evidence).texts()
        again = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = f"{rows:>7,} rows {classes:>4} classes 4 models {len(GATES)} gates"
    return f"{size}: decide {decided - start:6.2f} s, again {again - decided:6.2f} s, peak {peak} MB"


if __name__ == "__main__":
    rows, classes = map(int, sys.argv[1:3]) if len(sys.argv) == 3 else (800, 16)
    print(measure(rows, classes))
