"""Processor seconds and peak memory of finding near-duplicates among short texts: ``python benchmarks/near_duplicates.py 100000 1000000``.

Texts of 8 to 20 words out of 20,000, 122 characters on average, of which one in 50 is the one before it and a word more. Each size is a
process of its own; making the texts is not counted in the seconds, holding them is in the peak.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from regraft.data.dedup import find_duplicates, normalise

WORDS = [f"w{number:x}{'aeiou'[number % 5]}n{'xyzklm'[number % 6]}" for number in range(20_000)]


def run(count: int) -> None:
    """Print what one size takes."""
    rng = random.Random(1)
    texts = [normalise(" ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 20)))) for _ in range(count)]
    for number in range(50, count, 50):
        texts[number] = f"{texts[number - 1]} more"
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        twins = find_duplicates(texts, 0.8, 17, Path(folder))
    worked, peak = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = sum(twin is not None for twin in twins)
    print(f"{count:>9,} texts: {found:,} near-duplicates, processor {worked:.1f} s, peak {peak:,} MB", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run(int(sys.argv[2]))
    else:
        for size in sys.argv[1:] or ["100000", "1000000"]:
            subprocess.run([sys.executable, __file__, "--one", size], check=True)
