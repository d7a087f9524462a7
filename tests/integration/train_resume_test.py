"""Killed anywhere, continued in a new process, equal to the byte: a small BERT with dropout through the real steps' functions."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from regraft.core.files import tree

WORDS, LENGTH, SEQUENCES = 90, 16, 20

CHILD = """
import json, sys
import pandas as pd
from regraft.core import progress as running
from regraft.training.options import finetune_options, pretrain_options
from regraft.core.errors import Interrupted
from regraft.training import finetuning, pretraining
from regraft.training.workers import Team

sys.stdout = open(log, "w", buffering=1)
seen = 0

def counted(take):
    def wrapped(*given):
        global seen
        seen += 1
        if seen == cut:
            running.STOP.set()
        return take(*given)
    return wrapped

Team.step = counted(Team.step)
context = running.Running(pipeline="p", step=kind, checkpoints=out.with_name("checkpoints"), report=True)
with running.running(context):
    try:
        if kind in ("pretrain", "contrastive"):
            own = {"objective": "contrastive", "compared_sequences": 4} if kind == "contrastive" else {}
            options = pretrain_options({**own, "budget_tokens": 1000, "head_warmup_tokens": 400, "sequence_length": 16, "batch_size": 8,
                                        "learning_rate": 1e-3, "dropout": True, "checkpoint_seconds": seconds})
            metrics = pretraining.pretrain(home / "base", home / "tokens", options, 17, out)
        else:
            rows = pd.read_json(home / "rows.json")
            own = {"method": "lora", "rank": 4, "adapter_dropout": 0.2} if kind == "lora" else {}
            options = finetune_options(own, {"epochs": 3, "batch_size": 4, "max_length": 8, "checkpoint_seconds": seconds})
            metrics = finetuning.finetune(home / "base", rows, ["a", "b"], options, name=kind, text_column="text", seed=17, out=out)
        print(json.dumps(metrics))
    except Interrupted as stop:
        print(stop)
        sys.exit(9)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A base model without a prediction head, packed tokens and labelled rows."""
    import pandas as pd
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from regraft.data.packing import pack

    home = tmp_path_factory.mktemp("training")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(WORDS))]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **special).save_pretrained(home / "base")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32
    )
    BertModel(config).save_pretrained(home / "base")
    draw = random.Random(1)
    texts = [" ".join(f"w{draw.randrange(WORDS)}" for _ in range(LENGTH - 3)) for _ in range(SEQUENCES + 4)]
    (home / "tokens").mkdir()
    pack([(texts, [i >= SEQUENCES for i in range(len(texts))])], words, LENGTH, home / "tokens")
    rows = [(str(i), f"w{i % 2} w{i % 7} w{i}", "ab"[i % 2], ["train", "train", "dev"][i % 3]) for i in range(40)]
    pd.DataFrame(rows, columns=["id", "text", "label", "split"]).to_json(home / "rows.json")
    return home


PRELOADED = [
    "torch",
    "pandas",
    "sklearn.metrics",
    "transformers.models.bert.modeling_bert",
    "regraft.training.pretraining",
    "regraft.training.objectives.mlm",
    "regraft.training.finetuning",
    "peft",
]


@dataclass
class Child:
    """A process that trains, and what it has printed so far."""

    process: BaseProcess
    log: Path

    def lines(self):
        return self.log.read_text().splitlines()

    def wait_for(self, words):
        """Until ``words`` are printed or the process has ended."""
        while words not in self.log.read_text() and self.process.is_alive():
            time.sleep(0.005)

    def finish(self, code=0):
        self.process.join(120)
        assert self.process.exitcode == code, self.lines()
        return self.lines()

    def kill(self):
        self.process.kill()
        self.process.join()


def child(kind, home, out, cut=0, seconds=1e9):
    """Forked from a clean process that has imported and computed nothing else: 3-5 s of imports are paid once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    handle, log = tempfile.mkstemp(dir=out.parent, suffix=".log")
    os.close(handle)
    names = {"kind": kind, "home": home, "out": out, "cut": cut, "seconds": seconds, "log": log}
    process = context.Process(target=exec, args=(CHILD, names))
    process.start()
    return Child(process, Path(log))


@pytest.fixture(scope="module", params=["pretrain", "contrastive", "finetune", "lora"])
def whole(request, home, tmp_path_factory):
    """(kind, files, metrics) of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp(request.param) / "model"
    metrics = json.loads(child(request.param, home, out).finish()[-1])
    return request.param, tree(out), metrics


def events(lines):
    return [json.loads(line[3:]) for line in lines if line.startswith("@@ ")]


# pretrain: 4 steps of the head (contrastive has none), 8 of everything, 2.5 a epoch; finetune: 3 epochs of 7 steps
# (more cuts in train_loop_test.py: here a process costs a second)
@pytest.mark.parametrize("cuts", [(3,), (4, 3)], ids=str)
def test_stopped_and_continued_in_a_new_process_gives_the_same_bytes_wherever_its_inputs_lie(whole, home, tmp_path, cuts):
    kind, files, metrics = whole
    home = Path(shutil.copytree(home, tmp_path / "elsewhere"))
    for cut in cuts:
        assert "which its checkpoint holds" in child(kind, home, tmp_path / "model", cut).finish(9)[-1]
    lines = child(kind, home, tmp_path / "model").finish()
    assert [e["done"] for e in events(lines) if e["event"] == "resume"] == [sum(cuts)]
    assert tree(tmp_path / "model") == files
    assert json.loads(lines[-1]) == metrics


def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, home, tmp_path):
    kind, files, metrics = whole
    draw, resumed = random.Random(kind), 0
    for _ in range(2):
        process = child(kind, home, tmp_path / "model", seconds=1e-9)
        process.wait_for('"event": "progress"')
        time.sleep(draw.uniform(0, 0.15))
        process.kill()
        resumed += any('"event": "resume"' in line for line in process.lines())
    lines = child(kind, home, tmp_path / "model", seconds=1e-9).finish()
    resumed += any(e["event"] == "resume" for e in events(lines))
    assert resumed, "no kill came between the first checkpoint and the end"
    assert tree(tmp_path / "model") == files
    assert json.loads(lines[-1]) == metrics


def test_a_truncated_checkpoint_is_named_the_one_before_it_used_and_the_bytes_are_the_same(whole, home, tmp_path):
    kind, files, _ = whole
    child(kind, home, tmp_path / "model", cut=6, seconds=1e-9).finish(9)
    newest = tmp_path / "checkpoints" / "00000006" / "state.pt"
    os.truncate(newest, newest.stat().st_size // 2)
    lines = child(kind, home, tmp_path / "model").finish()
    said = [(e["event"], e.get("message", "")) for e in events(lines) if e["event"] in {"warning", "resume"}]
    assert "checkpoint 6 is not whole: state.pt has" in said[0][1]
    assert "continues at step 5 of" in said[1][1]
    assert tree(tmp_path / "model") == files


def test_two_at_once_wait_for_one_another(home, tmp_path):
    first = child("pretrain", home, tmp_path / "model", seconds=1e-9)
    first.wait_for('"event": "progress"')
    os.kill(first.process.pid, signal.SIGSTOP)
    second = child("pretrain", home, tmp_path / "model")
    second.wait_for('"event": "waiting"')
    os.kill(first.process.pid, signal.SIGCONT)
    first.finish()
    waited = [e["message"] for e in events(second.finish()) if e["event"] == "waiting"]
    assert waited == [f"another process is training here (pid {first.process.pid})"]
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_classifier_loads_with_plain_transformers_and_predicts_alike_in_any_order(home, tmp_path):
    from transformers import AutoModelForSequenceClassification

    from regraft.models.kinds import load

    child("finetune", home, tmp_path / "model").finish()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", local_files_only=True)
    assert model.config.id2label == {0: "a", 1: "b"}
    classifier = load(tmp_path / "model")
    texts = [f"w{i} w{3 * i % 20}" + " w5" * (i % 6) for i in range(30)]
    p = classifier.predict(texts, batch_size=8)
    backwards = classifier.predict(texts[::-1], batch_size=8)
    assert p.dtype == np.float32
    assert p.shape == (30, 2)
    assert (p == backwards[::-1]).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert classifier.predict([]).shape == (0, 2)
    with pytest.raises(TypeError, match="row 1: NoneType"):
        classifier.predict(["w1", None])
