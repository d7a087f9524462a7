"""Splits are a property of a row's id, and no text is in two places."""

from __future__ import annotations

import random
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.core.errors import DataRejected
from regraft.data.dedup import find_contained, find_duplicates, jaccard, normalise
from regraft.data.documents import Corpus, Document
from regraft.data.labelled import labelled_splits, rows_for_every_split
from regraft.data.minhash import SHINGLE, bands_for, windows
from regraft.data.options import SplitOptions
from regraft.data.split import split_of, uniform
from regraft.data.splitting import Dealt, split_rows

OPTIONS = SplitOptions()
WORDS = ["".join(random.Random(n).choices(string.ascii_lowercase, k=3 + n % 7)) for n in range(800)]


def sentence(seed: int, words: int = 12) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def corpus(*texts: str) -> Corpus:
    return Corpus([Document(f"c.txt:{n}", text) for n, text in enumerate(texts)], [])


def key_in(split: str, start: int = 0) -> str:
    return next(str(n) for n in range(start, start + 1000) if split_of(17, str(n), OPTIONS.test, OPTIONS.dev) == split)


def dealt(texts: list[tuple[str, str]], *documents: str) -> Dealt:
    return split_rows(texts, corpus(*documents, sentence(1000), sentence(1001)), OPTIONS, 17)


def test_the_shares_are_those_asked_for():
    splits = [split_of(17, str(n), 0.25, 0.1) for n in range(20_000)]
    assert abs(splits.count("test") / 20_000 - 0.25) < 0.01
    assert abs(splits.count("dev") / 20_000 - 0.1) < 0.01


def test_a_split_is_pinned_so_that_no_version_of_regraft_moves_a_row():
    assert [split_of(17, str(n), 0.25, 0.1) for n in range(8)] == ["test", "train", "train", "dev", "train", "train", "train", "train"]
    assert uniform(17, "a") == 0.8922912913593307


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_data_that_grows_never_moves_a_row(before, more):
    texts = [(str(n), sentence(n)) for n in range(before + more)]
    small, large = dealt(texts[:before]).splits, dealt(texts).splits
    assert large.items() >= small.items()


def test_neither_order_nor_corpus_has_a_say_in_the_splits():
    texts = [(str(n), sentence(n % 40)) for n in range(80)]
    documents = [sentence(n) for n in range(30, 90)]
    once = dealt(texts, *documents)
    shuffled = random.Random(3)
    shuffled.shuffle(texts)
    shuffled.shuffle(documents)
    again = dealt(texts, *documents)
    assert (again.splits, list(again.documents)) == (once.splits, list(once.documents))
    alone = split_rows(texts, None, OPTIONS, 17)
    assert (alone.splits, alone.dropped_rows, alone.row_counts()) == (once.splits, once.dropped_rows, once.row_counts())
    assert not list(alone.documents)
    assert list(once.splits) == sorted(once.splits)
    assert dealt(texts, "something else").splits == once.splits


@pytest.mark.parametrize(("winner", "loser"), [("test", "dev"), ("test", "train"), ("dev", "train")])
def test_of_two_that_repeat_each_other_the_held_out_one_stays(winner, loser):
    text = sentence(1)
    first, second = key_in(winner), key_in(loser)
    assert dealt([(second, text + "."), (first, text)]).splits == {first: winner}


def test_inside_a_split_the_smallest_id_stays():
    first = key_in("train")
    second = key_in("train", int(first) + 1)
    small, large = sorted([first, second])
    assert list(dealt([(large, sentence(1)), (small, sentence(1).upper())]).splits) == [small]


def test_a_document_that_repeats_a_row_goes_whatever_its_split():
    for split in ("test", "dev", "train"):
        key = key_in(split)
        found = dealt([(key, sentence(5))], "  " + sentence(5).upper() + "!")
        assert [(item.id, item.reason, item.of) for item in found.dropped] == [("c.txt:0", "near", key)]
        assert sorted(text for text, _ in found.documents) == sorted([sentence(1000), sentence(1001)])
        assert found.splits == {key: split}


def test_a_document_that_quotes_a_held_out_row_goes_and_one_that_quotes_a_training_row_stays():
    long = " ".join(sentence(n, 40) for n in range(60, 64))
    quoting = [f"{long}\n{sentence(5).title()} and {long}"]
    for split, reasons in (("test", ["contains"]), ("dev", ["contains"]), ("train", [])):
        found = dealt([(key_in(split), sentence(5))], *quoting)
        assert [item.reason for item in found.dropped] == reasons
        assert (quoting[0] in {text for text, _ in found.documents}) == (split == "train")


def test_something_is_held_out_of_a_small_corpus_and_about_2_percent_of_a_large_one():
    assert sum(held for _, held in dealt([]).documents) == 1
    many = dealt([], *(sentence(n) for n in range(3000))).documents
    assert 30 <= sum(held for _, held in many) <= 90


def test_a_corpus_that_only_repeats_the_rows_is_rejected():
    with pytest.raises(DataRejected, match="nothing to learn from"):
        split_rows([("1", sentence(1))], corpus(sentence(1), sentence(1)), OPTIONS, 17)


def brute_force(texts: list[str], threshold: float) -> list[int | None]:
    kept: list[int] = []
    found: list[int | None] = []
    for index, text in enumerate(texts):
        mine = np.unique(windows(text, SHINGLE))
        twin = next((k for k in kept if jaccard(np.unique(windows(texts[k], SHINGLE)), mine) >= threshold), None)
        found.append(twin)
        kept += [index] if twin is None else []
    return found


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_near_duplicates_are_those_that_comparing_every_pair_finds(threshold):
    edits = random.Random(1)
    texts = []
    for n in range(250):
        words = sentence(edits.randrange(40), 25).split()
        for _ in range(edits.randrange(4)):
            words[edits.randrange(len(words))] = WORDS[n]
        texts.append(" ".join(words))
    found = [twin.index if twin else None for twin in find_duplicates(texts, threshold, 17)]
    expected = brute_force(texts, threshold)
    assert sum(twin is not None for twin in expected) > 30
    assert [f is None for f in found] == [e is None for e in expected]


def test_what_follows_has_no_say_in_what_came_before():
    texts = [sentence(n % 30) + "x" * (n % 3) for n in range(90)]
    assert find_duplicates(texts, 0.8, 17)[:40] == find_duplicates(texts[:40], 0.8, 17)


def test_a_pair_at_the_threshold_becomes_a_candidate_almost_surely():
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        bands = bands_for(threshold)
        assert 1 - (1 - threshold ** (128 // bands)) ** bands >= 0.999


def test_short_empty_and_foreign_texts_are_compared_too():
    texts = ["", "a", "日本語", "a", "日本語のテキスト", ""]
    assert [twin and twin.index for twin in find_duplicates(texts, 0.8, 17)] == [None, None, None, 1, None, 0]
    assert normalise("  \uff26\uff4f\uff4f\n\tBAR ß ") == "foo bar ss"


def test_windows_are_characters_not_bytes():
    assert len(windows("日本語テキスト", 5)) == 3
    assert windows("aaaaaab", 5).tolist().count(windows("aaaaa", 5)[0]) == 2


def test_a_text_is_found_inside_a_document_wherever_it_stands():
    texts = [normalise(sentence(n)) for n in range(20)]
    documents = [f"{normalise(sentence(100, 50))} {texts[7]}", normalise(sentence(101, 50)), texts[3] + "x", texts[4][:-1]]
    assert find_contained(documents, texts) == {0: 7, 2: 3}
    assert find_contained(["a short one"], ["short"]) == {}


def write(tmp_path, rows, splits):
    pd.DataFrame(rows, columns=["id", "text", "label", "extra"]).to_parquet(tmp_path / "rows.parquet", index=False)
    pd.DataFrame(splits, columns=["id", "split"]).to_parquet(tmp_path / "splits.parquet", index=False)
    return tmp_path / "rows.parquet", tmp_path / "splits.parquet"


def test_only_rows_that_are_accepted_and_kept_are_trained_on(tmp_path):
    rows = [(str(n), "t", "ab"[n % 2], "e") for n in range(6)]
    splits = [("5", "train"), ("4", "train"), ("0", "test"), ("1", "test"), ("99", "train")]
    table = labelled_splits(*write(tmp_path, rows, splits))
    assert table.columns.tolist() == ["id", "text", "label", "split"]
    assert table[["id", "split"]].to_numpy().tolist() == [["0", "test"], ["1", "test"], ["4", "train"], ["5", "train"]]


def test_a_class_that_deduplication_emptied_is_named(tmp_path):
    paths = write(tmp_path, [(str(n), "t", label, "") for n, label in enumerate("aabb")], [("0", "train"), ("1", "test")])
    with pytest.raises(DataRejected, match=r"class 'b' has 0 rows and no train and no test row .*; its first id in data\.labelled is '2'"):
        labelled_splits(*paths)


def test_the_advised_number_of_rows_is_enough_in_99_of_100_cases():
    enough = rows_for_every_split(0.25, 0.1)
    assert enough == 17
    lucky = sum("test" in {split_of(seed, f"r{n}", 0.25, 0.1) for n in range(enough)} for seed in range(1000))
    assert lucky >= 980
