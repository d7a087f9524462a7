"""Which texts the objective `contrastive` finds in packed sequences, how each is read twice, and which are compared."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError

from regraft.training.objectives.contrastive import LEAST, Readings, drops
from regraft.training.options import pretrain_options

CLS, SEP, PAD = 2, 3, 0


def readings(*, passages: bool = False, compared: int = 2) -> Readings:
    return Readings((CLS,), (SEP,), SEP, PAD, passages, compared)


def packed(*texts: list[int]) -> np.ndarray:
    """As :mod:`regraft.data.packing` leaves a sequence: a separator after each document, and the last one cut."""
    body = [token for text in texts[:-1] for token in (*text, SEP)] + texts[-1]
    return np.array([CLS, *body, SEP])


def test_texts_are_what_lies_between_separators_each_in_a_frame_of_its_own_and_scraps_are_left_out():
    long, middle, scrap = list(range(10, 19)), list(range(20, 25)), [30] * (LEAST - 1)
    rows = np.stack([packed(long, scrap, middle), packed(middle, scrap, long), packed([40] * 19)])
    ids, facts = readings().batch(rows, 17, [(0, 0), (0, 1), (0, 2)])
    first, second = np.split(ids, 2)
    assert (first == second).all(), "dropout alone tells them apart"
    texts = [row[:count].tolist() for row, (count, _) in zip(first, facts, strict=False)]
    assert texts == [[CLS, *text, SEP] for text in (long, middle, middle, long, [40] * 19)]
    assert [group for _, group in facts] == [0, 0, 0, 0, 1] * 2, "two sequences at a time are compared"
    assert (first[1][7:] == PAD).all()


def test_a_sequence_of_scraps_alone_holds_no_text():
    ids, facts = readings().batch(packed([9, 9], [9])[None], 17, [(0, 0)])
    assert (ids.shape, facts.shape) == ((0, 1), (0, 2))


def test_passages_are_parts_of_their_text_drawn_by_seed_epoch_and_place_alone():
    text = list(range(100, 140))
    row, own = packed(text), readings(passages=True)
    drawn = [tuple(map(tuple, *own.one(row, 17, epoch, index))) for epoch in range(20) for index in range(20)]
    assert len(set(drawn)) == 400
    for first, second in drawn:
        for passage in (first, second):
            assert (passage[0], passage[-1]) == (CLS, SEP)
            start = text.index(passage[1])
            assert text[start : start + len(passage) - 2] == list(passage[1:-1])
            assert 10 <= len(passage) - 2 <= 30
    (alone, _), (beside, _) = own.batch(row[None], 17, [(3, 5)]), own.batch(np.stack([row, row]), 17, [(3, 4), (3, 5)])
    assert alone[0].tolist()[:12] == beside[1].tolist()[:12]
    short = packed(list(range(10, 10 + LEAST)))
    assert all(len(reading) == LEAST + 2 for pair in own.one(short, 17, 0, 0) for reading in pair)


@pytest.mark.parametrize(
    ("config", "there"),
    [
        ({"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.0}, True),
        ({"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.1}, False),
        ({"hidden_size": 32, "classifier_dropout": None}, None),
    ],
)
def test_a_configuration_says_whether_the_encoder_drops_anything(config, there):
    assert drops(config) is there


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"dropout": False}, "`positives: dropout` reads a text twice under other dropout, and `dropout` is false"),
        ({"replay": {}}, "take `replay` out, or write another objective"),
        ({"batch_size": 8}, r"`batch_size` \(8\) by `shards` \(2\); write batch_size: 16 or compared_sequences: 4"),
        (
            {"gradient_accumulation": 4},
            r"`batch_size` \(16\) by `gradient_accumulation` \(4\); write batch_size: 32 or compared_sequences: 4",
        ),
        ({"batch_size": 9, "compared_sequences": 3}, r"`batch_size` \(9\) by `shards` \(2\); write batch_size: 6"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_keys_that_do_not_fit_are_refused_with_the_way_out(keys, says):
    with pytest.raises(ValidationError) as refused:
        pretrain_options({"objective": "contrastive", **keys})
    assert any(re.search(says, f"{error['loc']} {error['msg']}") for error in refused.value.errors())


def test_what_is_written_there_is_taken():
    assert pretrain_options({"objective": "contrastive", "positives": "passages", "dropout": False})
    assert pretrain_options(
        {"objective": "contrastive", "gradient_accumulation": 4, "compared_sequences": 4, "gradient_checkpointing": True}
    )
