"""Seconds and peak anonymous memory of ``contract``, each size in a process of its own: ``python benchmarks/contract_scale.py``.

Labelled rows are a seeded CSV of four columns, 110 bytes a row, ids in no order, one row in 1,000 broken and one id in
10,000 given twice. Seconds are those of the clock and of the processor: the second say what the work costs where
other work goes on beside it, and give the exponent in the last line (1.00 is linear). Imports, 3 s, are not counted.
Sizes are arguments: ``100000 1000000 10000000``.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LABELS = ("amber", "blue", "green", "red", "violet")
WORDS = [
    f"{first}{second}" for first in ("ka", "lo", "mi", "nu", "re", "sti", "to") for second in ("ban", "dor", "fel", "gan", "mer", "sil")
]
COLUMNS = [
    {"name": "id", "required": True, "unique": True},
    {"name": "text", "required": True, "min_length": 20, "max_length": 400},
    {"name": "label", "required": True, "valid_values": LABELS},
]


def write_rows(path: Path, rows: int) -> None:
    """The hand-in."""
    rng = random.Random(1)
    with path.open("w", encoding="utf8") as handle:
        handle.write("id,text,label,source\n")
        for number in range(rows):
            key = (number * 2_654_435_761 + 12_345) % 2**32  # odd factor: a permutation, so that ids come in no order
            text = " ".join(rng.choices(WORDS, k=12)) if number % 1000 else "short"
            handle.write(f"row-{key:010d},{text},{rng.choice(LABELS)},crawl-{number % 7}\n")
            if not number % 10_000:
                handle.write(f"row-{key:010d},{text} again,{rng.choice(LABELS)},crawl-0\n")


def anonymous_mb() -> int:
    """Private and shared memory that no file backs, now."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) // 1024
    raise OSError("the kernel does not say")


def run_contract(path: Path, folder: Path) -> None:
    """Print rows, quarantined, seconds and the largest of 5 readings a second."""
    sys.path.append(str(ROOT))
    import great_expectations.render.renderer.page_renderer  # noqa: F401

    from regraft.data.contract import Contract
    from regraft.data.options import TaskOptions
    from tasks.contract import CONTRACT, ContractConfig

    contract = Contract.model_validate({"id": "scale", "version": "1", "columns": COLUMNS})
    config = ContractConfig(labelled="rows.csv", contract=contract, task=TaskOptions(), seed=17, test=0.25, dev=0.1)
    out = folder / "contract" / "out"
    for part in (out, out.parent / "evidence"):
        part.mkdir(parents=True)
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, work = time.perf_counter(), time.process_time()
    found = CONTRACT.run(config, {"labelled": path}, out)
    seconds, worked = time.perf_counter() - start, time.process_time() - work
    over.set()
    watcher.join()
    assert found["accepted"] + found["quarantined"] == found["read"]
    print(found["read"], found["quarantined"], round(seconds, 1), round(worked, 1), peak[0])


def measure(sizes: list[int]) -> None:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path, place = Path(folder) / f"{rows}.csv", Path(folder) / str(rows)
            write_rows(path, rows)
            argv = [sys.executable, __file__, "--one", str(path), str(place)]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            read, quarantined, seconds, worked, peak = done.stdout.split()
            size = path.stat().st_size / 1e6
            spent = f"{float(seconds):7.1f} s, processor {float(worked):7.1f} s, peak {peak:>5} MB"
            print(f"{int(read):>12,} rows {size:7,.0f} MB {int(quarantined):>7,} quarantined {spent}", flush=True)
            times.append((int(read), float(worked)))
            path.unlink()
    if len(times) > 1:
        (few, short), (many, long) = times[-2:]
        print(f"exponent {math.log(long / short) / math.log(many / few):.2f} between {few:,} and {many:,} rows")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_contract(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        measure([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
