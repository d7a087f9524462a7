"""Batches that cannot be trained on: real losses that are not finite, and a real allocation that fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

ROOM = 500_000_000  # at 250 MB what glibc keeps of the failed batch left, one time in seven, no room for one row; at 400 it failed once
"""Bytes that each of two workers may allocate: less than its 1024 rows of 64 tokens need, more than 128."""
TRAIN = """
import contextlib, io, json, multiprocessing, random, re, resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
import pandas as pd
import torch
from regraft.training.options import finetune_options, pretrain_options
from regraft.core.errors import RegraftError
from regraft.core.progress import Running, running
from regraft.data.packing import pack
from regraft.models import encoder, tokenizer
from regraft.training import finetuning, loop, pretraining
from regraft.models.machine import Machine

# In bf16 oneDNN falls back to kernels that take minutes when an allocation fails.
HERE = replace(Machine.here(), precision="fp32", threads=1)
Machine.here = classmethod(lambda cls: HERE)

def train(kind, base, home, batch, room=None, poison=None, own={}):
    if poison:
        model, _ = encoder.load(__import__("transformers").AutoModel, base)
        with torch.no_grad():  # finite, until LayerNorm adds 32 of them up
            model.embeddings.word_embeddings.weight[tokenizer.load(base).convert_tokens_to_ids(poison)] = 3e38
        encoder.save(model, base, home / "base")
        base = home / "base"
    words = ["seed", "rose", "tide", "keel", "the", "a", "of", "and"]
    draw = random.Random(1)
    texts = [" ".join(draw.choice(words) for _ in range(60)) for _ in range(2400)]
    run = loop.Training.run
    def limited(self, found):
        if room:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
        try:
            return run(self, found)
        finally:  # what is loaded afterwards to score the dev rows is not this test's subject
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    loop.Training.run = limited
    with running(Running(pipeline="p", step=kind, checkpoints=home / "checkpoints")):
        try:
            if kind == "pretrain":
                (home / "tokens").mkdir()
                spoilt = ["rose tide"] * 40 + [poison] * 300 if poison else texts
                pack([(spoilt, [False] * len(spoilt))], tokenizer.backend(base), 64, home / "tokens")
                size = {"sequence_length": 64, "batch_size": batch, "head_warmup_tokens": batch * 64}
                options = pretrain_options({"budget_tokens": max(1000, batch * 128), **size, **own})
                pretraining.pretrain(base, home / "tokens", options, 17, home / "out")
            else:
                rows = pd.DataFrame({"id": [f"row-{n}" for n in range(2400)], "text": texts, "label": ["a", "b"] * 1200, "split": "train"})
                if poison:
                    rows = rows[:40].copy()
                    rows.loc[30, "text"] = f"{poison} " + texts[30]
                options = finetune_options({}, {"epochs": 1, "batch_size": batch, "max_length": 64, **own})
                finetuning.finetune(base, rows, ["a", "b"], options, name=kind, text_column="text", seed=17, out=home / "out")
        except RegraftError as error:
            print(error.exit_code, error, "| next:", error.fix)

def said(kind, base, home, *more):
    home.mkdir()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        train(kind, base, home, *more)
    return printed.getvalue()

def forked(*what):  # imports are paid once, and each has a limit of its own
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as fork:
        return fork.submit(said, *what).result()
"""


@pytest.fixture
def train(monkeypatch):
    from regraft.models.machine import Machine
    from regraft.training.loop import Training

    for kind, name in ((Training, "run"), (Machine, "here")):
        monkeypatch.setattr(kind, name, kind.__dict__[name])  # put back what the text below replaces
    scope: dict[str, Callable[..., None]] = {"__name__": "train"}
    exec(TRAIN, scope)
    return scope["train"]


def test_one_poisoned_row_stops_fine_tuning_and_is_among_the_rows_named(train, base, tmp_path, capsys):
    train("finetune", base, tmp_path, 4, poison="gull")
    said = capsys.readouterr().out
    step, rows = re.match(r"2 finetune: the loss of step (\d+) of 10 is nan; its batch: (.*?); ", said).groups()
    assert "row-30" in rows.split(", ")
    assert len(rows.split(", ")) == 4
    assert int(step) > 1, "choose another seed: the first step would have nothing to keep"
    assert f"kept in {tmp_path}/checkpoints/{int(step) - 1:08d}" in said
    assert said.endswith("next: regraft run p --set finetune.learning_rate=0.0001 --set finetune.head_learning_rate=0.0003\n")
    assert not (tmp_path / "out").exists()


def test_a_poisoned_base_model_is_not_blamed_on_the_learning_rate(train, base, tmp_path, capsys):
    train("pretrain", base, tmp_path, 4, poison="gull")
    said = capsys.readouterr().out
    assert re.match(r"2 pretrain: the loss of step 1 of \d+ is nan; its batch: sequence \d+ of train.bin, ", said), said
    assert said.endswith("next: correct these rows in the data, or name another base_model in the pipeline file\n")


@pytest.mark.parametrize("kind", [pytest.param("pretrain", marks=pytest.mark.release("finetune goes the same way")), "finetune"])
def test_out_of_memory_names_the_batch_and_proposes_parts_of_it_that_then_fit(base, tmp_path, kind):
    twice = f"""
base, home = Path({str(base)!r}), Path({str(tmp_path)!r})
first = forked({kind!r}, base, home / "first", 2048, {ROOM})
proposed = re.search(r"gradient_accumulation=(\\d+)", first)
own = dict(gradient_accumulation=int(proposed[1])) if proposed else {{}}
print(json.dumps([first, forked({kind!r}, base, home / "second", 2048, {ROOM}, None, own) if proposed else None]))
"""
    # An arena of glibc takes 64 MB of addresses at a time, which the limit would count.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", TRAIN + twice], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, again = json.loads(done.stdout)
    found = re.match(rf"8 {kind}: out of memory at a batch of 2048 x (62|64) tokens \(.*allocate.*\); in (\d+) parts, one after", said)
    assert found, said
    assert said.endswith(f"next: regraft run p --set {kind}.gradient_accumulation={found[2]}\n")
    assert again == ""
    assert (tmp_path / "second" / "out" / "model.safetensors").is_file()
