"""Cores that a training in shards leaves idle are said, with the key that gives them work."""

from __future__ import annotations

import pytest

from regraft.execution.free_cores import sentence


def sections(pretrain: int, finetune: int) -> dict[str, dict[str, dict[str, int]]]:
    return {"pretrain": {"pretrain": {"shards": pretrain}}, "finetune-base": {"finetune": {"shards": finetune}}, "tfidf": {}}


@pytest.mark.parametrize(
    ("shards", "due", "cores", "said"),
    [
        ((2, 2), ["pretrain", "finetune-base"], 16, "of 16 cores: pretrain, finetune-base on 2. `shards: 16`"),
        ((4, 2), ["pretrain", "finetune-base"], 12, "of 12 cores: finetune-base on 2; pretrain on 4. `shards: 8`"),
        ((2, 2), ["finetune-base", "tfidf"], 200, "of 200 cores: finetune-base on 2. `shards: 64`"),
        ((2, 2), ["pretrain", "finetune-base"], 3, None),
        ((1, 1), ["pretrain", "finetune-base"], 16, None),  # whole batches: all threads work
        ((2, 2), ["tfidf"], 16, None),
        ((2, 2), [], 16, None),
    ],
)
def test_idle_cores_are_said_where_half_of_them_or_more_have_nothing_to_do(shards, due, cores, said):
    answer = sentence(sections(*shards), due, cores)
    assert answer is None if said is None else answer is not None and answer.startswith(said)


def test_parts_of_an_accumulation_are_work_for_cores_too():
    values = {"pretrain": {"pretrain": {"shards": 2, "gradient_accumulation": 16}}, "finetune-base": {"finetune": {"shards": 1}}}
    assert sentence(values, ["pretrain", "finetune-base"], 16) is None
    assert "pretrain on 16. `shards: 32`" in str(sentence(values, ["pretrain"], 40))
