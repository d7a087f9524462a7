"""Seconds and peak memory of judging a drop and writing the next edition: ``python benchmarks/handoff_scale.py 100000 1000000``.

The data there and the drop have so many rows each (200 bytes a row). Of the drop one row in 100 has another text, one in 100 another
label, one in 1,000 breaks the contract, one in 1,000 is new and repeats a text. Contract (Great Expectations), quarantine, exact
duplicates, diff and the new file are all in it; DVC, git and imports are not. Each size is a process of its own; pandas reads the same file
beside it. Up to 200,000 rows all texts of both are then searched for near-duplicates, as if each row of the drop were new: every text has
one, and all are made of 1,764 words. ``near_duplicates.py`` searches a million of the usual kind.
"""

from __future__ import annotations

import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LABELS = ("amber", "blue", "green", "red", "violet")
SYLLABLES = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "re", "sti", "to") for b in ("ban", "dor", "fel", "gan", "mer", "sil")]
WORDS = [f"{a}{b}" for a in SYLLABLES for b in SYLLABLES]
MOST_SEARCHED = 200_000
"""Rows; 1,000,000 had not been searched after eight minutes."""
COLUMNS = [
    {"name": "id", "required": True, "unique": True},
    {"name": "text", "required": True, "min_length": 20, "max_length": 400},
    {"name": "label", "required": True, "valid_values": LABELS},
]


def write(path: Path, rows: int, *, changed: bool) -> None:
    """The data there, or the drop."""
    rng, other = random.Random(1), random.Random(2)
    with path.open("w", encoding="utf8") as handle:
        handle.write("id,text,label,source\n")
        for number in range(rows):
            text, label = " ".join(rng.choices(WORDS, k=14)), rng.choice(LABELS)
            if changed:
                draw = other.random()
                text = f"{text} again" if draw < 0.01 else "short" if 0.02 <= draw < 0.021 else text
                label = LABELS[LABELS.index(label) - 1] if 0.01 <= draw < 0.02 else label
                if 0.021 <= draw < 0.022:
                    handle.write(f"twin-{number:010d},{text.upper()},{label},crawl-0\n")
            handle.write(f"row-{number:010d},{text},{label},crawl-{number % 7}\n")


def run(there: Path, drop: Path, folder: Path) -> None:
    """Print rows, quarantined, changed, seconds, processor seconds, peak MB, what pandas needs to read the drop, and, where they were
    searched, near-duplicates: rows, processor seconds, peak MB."""
    import great_expectations.render.renderer.page_renderer  # noqa: F401
    import numpy as np
    import pandas as pd

    from regraft.data import quarantine
    from regraft.data.contract import Contract
    from regraft.data.handoff import edition, similar
    from regraft.data.handoff.drop import open_drop
    from regraft.data.handoff.edition import Place
    from regraft.data.handoff.judge import judge
    from regraft.data.handoff.known import Known
    from regraft.data.handoff.similar import Texts
    from regraft.data.options import TaskOptions
    from regraft.production.handoff import revision

    task = TaskOptions()
    contract = Contract.model_validate({"id": "scale", "version": "1", "columns": COLUMNS}).for_task(task)
    start, work = time.perf_counter(), time.process_time()
    place = Place(there, there.name)
    handed = open_drop(drop, drop.name, folder)
    texts, drop_texts = (Texts(task, lambda _: None, folder) for _ in range(2))
    known = Known.of(texts.noted(place.rows(), lambda row: row.values), task)
    judged = judge(lambda: handed.rows(task, ("id", "text", "label"), ("id", "text", "label")), known, contract, (), folder / "rows")
    quarantine.write_quarantine(folder / "q.parquet", folder / "q.csv", judged.validated, task)
    handed.require_unchanged()
    edition.put(edition.make(place, revision(judged, task), 2), there)
    seconds, worked = time.perf_counter() - start, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    begun = time.process_time()
    pd.read_csv(drop, dtype=str, keep_default_na=False)
    pandas = time.process_time() - begun
    counts = judged.counts
    print(counts["read"], counts["quarantined"], judged.diff.counts.total(), seconds, worked, peak, pandas)
    if counts["read"] > MOST_SEARCHED:
        return
    for number in range(len(judged.changed)):
        for _ in drop_texts.noted(judged.rows_at(number, np.arange(len(judged.changed[number]))), lambda values: values):
            pass
    begun = time.process_time()
    alike = similar.find(drop_texts, texts, np.ones(len(texts), np.bool_), 0.8, 17, folder, pairs=False)
    searched, most = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(len(alike), searched, most)


def measure(sizes: list[int]) -> None:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            there, drop, scratch = Path(folder) / "there.csv", Path(folder) / "drop.csv", Path(folder) / str(rows)
            write(there, rows, changed=False)
            write(drop, rows, changed=True)
            scratch.mkdir()
            argv = [sys.executable, __file__, "--one", str(there), str(drop), str(scratch)]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            read, quarantined, changed, seconds, worked, peak, pandas, *alike = map(float, done.stdout.split())
            size = drop.stat().st_size / 1e6
            ratio = f"{worked / pandas:.0f} times pandas' reading of the drop"
            print(
                f"{read:>10,.0f} rows {size:5,.0f} MB: {quarantined:,.0f} quarantined, {changed:,.0f} changed, "
                f"{seconds:.0f} s, processor {worked:.0f} s ({ratio}), peak {peak:,.0f} MB",
                flush=True,
            )
            if alike:
                found, searched, most = alike
                told = f"{found:,.0f}, processor {searched:.0f} s, peak {most:,.0f} MB"
                print(f"  near-duplicates of {2 * read:,.0f} texts: {told}", flush=True)
            times.append((read, worked))
    if len(times) > 1:
        (few, short), (many, long) = times[-2:]
        print(f"exponent {math.log(long / short) / math.log(many / few):.2f} between {few:,.0f} and {many:,.0f} rows")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run(*map(Path, sys.argv[2:5]))
    else:
        measure([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
