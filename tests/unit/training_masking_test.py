from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from regraft.core.randomness import order, seed_of, uniform, visits
from regraft.training.objectives.masking import IGNORED, Masking
from regraft.training.objectives.mlm import word_begins

MASKING = Masking(probability=0.15, mask_id=4, special_ids=frozenset({0, 2, 3}), vocabulary=1000)


def test_each_epoch_visits_every_sequence_once_in_another_order():
    first, second = order(100, 17, 0), order(100, 17, 1)
    assert sorted(first) == list(range(100)) == sorted(second)
    assert list(first) != list(second)


@pytest.mark.parametrize("batch", [1, 7, 16])
def test_steps_walk_through_the_epochs_without_a_gap(batch):
    seen = [place for step in range(40) for place in visits(step, batch, 13, seed=3)]
    for epoch in range(len(seen) // 13):
        part = seen[13 * epoch : 13 * (epoch + 1)]
        assert {e for e, _ in part} == {epoch}
        assert sorted(i for _, i in part) == list(range(13))
        assert [i for _, i in part] == order(13, 3, epoch).tolist(), "each epoch has an order of its own"


def test_a_mask_depends_on_seed_epoch_and_index_and_on_nothing_drawn_before():
    ids = np.arange(10, 138)
    alone, _ = MASKING.one(ids, 17, 2, 5)
    MASKING.one(ids, 17, 2, 4)
    again, _ = MASKING.one(ids, 17, 2, 5)
    assert (alone == again).all()
    others = [MASKING.one(ids, 18, 2, 5)[0], MASKING.one(ids, 17, 3, 5)[0], MASKING.one(ids, 17, 2, 6)[0]]
    assert all((alone != other).any() for other in others)


def test_a_batch_masks_each_row_at_its_own_epoch_and_index():
    ids, places = np.stack([np.arange(10, 138)] * 3), [(0, 5), (1, 5), (1, 6)]
    masked, labels = MASKING.batch(ids, 17, places)
    for row, (epoch, index) in enumerate(places):
        one_masked, one_labels = MASKING.one(ids[row], 17, epoch, index)
        assert (masked[row] == one_masked).all()
        assert (labels[row] == one_labels).all()


def test_masks_are_the_same_in_another_process():
    code = "from regraft.training.objectives.masking import uniform; print(uniform(3, 17, 'mask', 0, 1).tolist())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(uniform(3, 17, "mask", 0, 1).tolist())


def test_fifteen_percent_are_predicted_of_which_eighty_are_masked_and_ten_replaced():
    ids = np.full(200_000, 500)
    masked, labels = MASKING.one(ids, 1, 0, 0)
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=0.005)
    assert (masked[chosen] == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (masked[chosen] == 500).mean() == pytest.approx(0.1, abs=0.01)
    assert (labels[chosen] == 500).all()
    assert (masked[~chosen] == 500).all()
    assert masked.max() < 1000


def test_special_tokens_are_never_predicted():
    ids = np.tile([2, 500, 3, 0], 5_000)
    masked, labels = MASKING.one(ids, 1, 0, 0)
    special = np.isin(ids, [0, 2, 3])
    assert (labels[special] == IGNORED).all()
    assert (masked[special] == ids[special]).all()


def test_seeds_of_different_places_differ():
    seeds = {seed_of(17, "dropout", step) for step in range(1000)} | {seed_of(17, "mask", step) for step in range(1000)}
    assert len(seeds) == 2000
    assert max(seeds) < 2**63


def test_the_tokens_of_a_word_are_predicted_together_at_the_share_that_was_asked_for():
    begins = np.ones(1000, dtype=bool)
    begins[500:] = False  # go on with a word
    whole = Masking(0.15, 4, frozenset({0, 2, 3}), 1000, begins)
    rng = np.random.default_rng(3)
    ids = np.concatenate([[2], *([rng.integers(10, 500), *rng.integers(500, 1000, rng.integers(0, 4))] for _ in range(4000)), [3]])
    _, labels = whole.one(ids, 17, 0, 0)
    words = np.cumsum(begins[ids])
    of_word = [set((labels[words == word] != IGNORED).tolist()) for word in np.unique(words)]
    assert all(len(predicted) == 1 for predicted in of_word)
    assert (labels != IGNORED).mean() == pytest.approx(0.15, abs=0.02)
    assert (labels[[0, -1]] == IGNORED).all()


def test_what_follows_a_special_token_begins_a_word_whatever_it_is():
    whole = Masking(0.5, 4, frozenset({2}), 1000, np.zeros(1000, dtype=bool))
    assert whole._first_of_word(np.array([2, 7, 8, 2, 9, 9])).tolist() == [0, 1, 1, 3, 4, 4]


@pytest.mark.parametrize(
    ("tokens", "begins"),
    [
        (["[CLS]", "play", "##ing", "##", None], [True, True, False, True, True]),
        (["<s>", "Ġplay", "ing", ""], [False, True, False, True]),
        (["####", "Ġplay", "Ġ##", "ing"], [False, True, True, False]),
        (["</s>", "▁play", "ing", "▁"], [False, True, False, False]),
        (["[CLS]", "play", "ing"], None),
    ],
)
def test_where_words_begin_is_told_by_the_marks_of_the_vocabulary(tokens, begins):
    told = word_begins(tokens)
    assert (told if told is None else told.tolist()) == begins
