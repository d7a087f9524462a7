"""Negative transfer: what is learned from shuffled words does not reach production; from the same words in order it does.

The tiny model has random weights, so all it knows of a topic it has from the corpus: which words stand together. Shuffled
over all documents, the same words say nothing. Everything else, the fine-tuning on few rows included, is the same.
"""

from __future__ import annotations

import json
import random
import shutil

import pytest
import yaml
from tinyspace import TOPICS, sentence, tiny_rows
from workbench import regraft

from regraft.core import files

pytestmark = [pytest.mark.release("integration/decide_test.py chooses between measured models"), pytest.mark.timeout(3600)]
LENGTH = 40
OPTIONS = {
    "pretrain": {"budget_tokens": 300_000, "head_warmup_tokens": 5000, "sequence_length": 32, "batch_size": 16, "learning_rate": 2e-3},
    "finetune": {"epochs": 4, "batch_size": 16, "max_length": 16, "learning_rate": 1e-3},
    "split": {"test": 0.7, "dev": 0.1},
    "gates": [{"metric": "macro_f1", "at_least": 0.1}],
}


@pytest.mark.parametrize(("shuffled", "candidate"), [(True, "base"), (False, "adapted")])
def test_dapt_on_shuffled_words_ends_with_the_base_as_candidate_and_in_order_with_adapted(shuffled, candidate, tiny_template, tmp_path):
    root = shutil.copytree(tiny_template, tmp_path / "w")
    path = root / "pipelines" / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | OPTIONS, sort_keys=False))
    rng = random.Random(2)
    words = " ".join(sentence(rng, topic, LENGTH) for topic in sorted(TOPICS) for _ in range(200)).split()
    if shuffled:
        random.Random(3).shuffle(words)
    documents = [{"text": " ".join(words[start : start + LENGTH])} for start in range(0, len(words), LENGTH)]
    for name, rows in (("corpus", documents), ("rows", tiny_rows(150))):
        files.write_text(root / "data" / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode in (0, 4, 5), done.stdout + done.stderr  # the floor is not what is asked here
    assert json.loads(done.stdout)["candidate"]["name"] == candidate
