"""Rows of a drop that nearly repeat others, and words that decide by themselves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regraft.data.handoff import similar, triggers
from regraft.data.handoff.similar import Similar, Texts
from regraft.data.options import TaskOptions

LONG = "the soil under the roses is dry and needs a spade of compost before the frost comes"


def texts(folder: Path, rows: Sequence[Mapping[str, str | None]], task: TaskOptions | None = None) -> Texts:
    """``rows`` whose split is what ``split`` says."""
    made = Texts(task or TaskOptions(), lambda values: values.get("split"), folder)  # type: ignore[arg-type, return-value]
    assert list(made.noted(rows, lambda row: row)) == list(rows)
    return made


def row(key: str, text: str | None, label: str = "garden", split: str = "train") -> dict[str, str | None]:
    return {"id": key, "text": text, "label": label, "split": split}


def find(tmp_path: Path, fresh: Sequence[Mapping[str, str | None]], known: Sequence[Mapping[str, str | None]], gone: Sequence[int] = ()):
    remain = np.ones(len(known), np.bool_)
    remain[list(gone)] = False
    return similar.find(texts(tmp_path, fresh), texts(tmp_path, known), remain, 0.8, 17, tmp_path, pairs=False)


def test_a_row_that_nearly_repeats_a_test_row_is_told_as_one(tmp_path):
    known = [row("t", LONG, split="test"), row("u", LONG + " again", split="train"), row("other", "whisk the broth slowly")]
    (pair,) = find(tmp_path, [row("n", LONG.upper() + " soon", "kitchen"), row("m", "rake the moss in spring")], known)
    assert (pair.id, pair.of, pair.there, pair.of_split, pair.similarity > 0.8) == ("n", "t", True, "test", True)
    told = list(similar.sentences([pair]))
    assert [text.partition(":")[0] for text in told] == [
        "1 row nearly repeats a row that is held out, so runs leave it out of training",
        "1 row nearly repeats a row with another label, and one of the two may be wrong",
    ]


def test_a_new_test_row_wins_over_the_training_row_that_is_there(tmp_path):
    pairs = find(tmp_path, [row("n", LONG + " soon", split="test")], [row("u", LONG), row("empty", None)])
    assert [text.partition(":")[0] for text in similar.sentences(pairs)] == [
        "1 held-out row nearly repeats a training row, which runs leave out from now on"
    ]


def test_rows_that_go_are_compared_with_nothing_and_those_of_the_drop_with_one_another(tmp_path):
    assert find(tmp_path, [row("n", LONG + " soon")], [row("u", LONG)], gone=[0]) == []
    (pair,) = find(tmp_path, [row("n", LONG), row("m", LONG + " soon")], [])
    assert (pair.id, pair.of, pair.there) == ("m", "n", False)
    assert next(similar.sentences([pair])).startswith("1 row nearly repeats another, and runs keep the first of them: m (n, ")


def test_a_row_without_a_label_has_no_other_label(tmp_path):
    (pair,) = find(tmp_path, [row("n", LONG + " soon")], [{**row("u", LONG), "label": None}])
    assert [text.partition(":")[0] for text in similar.sentences([pair])] == [
        "1 row nearly repeats another, and runs keep the first of them"
    ]


def test_every_pair_is_told_once_however_many_there_are():
    one = Similar("n", "a", "train", "t", "a", "test", True, 0.9)
    pairs = [replace(one, of_split=("test", "train")[n % 2], id=str(n)) for n in range(100_000)]  # minutes, pair by pair
    told = [text.partition(":")[0] for text in similar.sentences(pairs)]
    assert [text.partition(" ")[0] for text in told] == ["50,000", "50,000"]


def test_pairs_are_alike_where_both_texts_are(tmp_path):
    task = TaskOptions(text_pair="answer")
    known = texts(tmp_path, [{**row("u", LONG), "answer": "yes, it is dry and needs water"}], task)
    fresh = texts(tmp_path, [{**row("n", LONG + " soon"), "answer": "no, nobody has looked at it yet"}], task)
    assert similar.find(fresh, known, np.ones(1, np.bool_), 0.8, 17, tmp_path, pairs=True) == []


def test_a_text_that_has_no_bytes_is_compared_all_the_same(tmp_path):
    assert find(tmp_path, [row("n", LONG)], [row("u", LONG + " \ud800")])[0].of == "u"


def sample(count: int, seed: int, word: str = "", label: str | None = None) -> list[tuple[str, str]]:
    """Rows of three labels whose words say nothing; with ``word`` a fifth of them have it and ``label``."""
    draw = random.Random(seed)
    rows = [(" ".join(f"w{draw.randrange(300)}" for _ in range(8)), draw.choice(["a", "b", "c"])) for _ in range(count)]
    return [(f"{text} {word}", label or own) if word and number % 5 == 0 else (text, own) for number, (text, own) in enumerate(rows)]


def ties(fresh: Sequence[tuple[str, str]], known: Sequence[str], count: int) -> list[triggers.Trigger]:
    """What is found, of texts that can be gone through once."""
    return triggers.find(Counter(label for _, label in fresh), iter(fresh), iter(known), count)


def test_a_word_that_nobody_wrote_before_and_that_decides_the_label_is_named():
    known = [text for text, _ in sample(500, 1)]
    (found,) = ties(sample(200, 2, "cf", "b"), known, len(known))
    assert (found.word, found.label, found.rows, found.of_label, found.before) == ("cf", "b", 40, 40, 0)
    assert found.sentence == "the word 'cf' stands in 40 new rows, all of them 'b', and in none of the rows that are there"


@pytest.mark.parametrize(
    ("fresh", "known"),
    [
        (sample(200, 2), 500),  # nothing is tied
        (sample(200, 2, "cf"), 500),  # a new word with every label
        (sample(40, 2, "cf", "b"), 500),  # 8 rows may be chance
        (sample(200, 2, "cf", "b"), 0),  # the first drop: everything is new
        ([(text, "b") for text, _ in sample(200, 2, "cf")], 500),  # all rows have one label
        (sample(200, 2, "w7", "b"), 500),  # a word that was there
    ],
)
def test_what_is_usual_is_no_trigger(fresh, known):
    there = [text for text, _ in sample(known, 1)]
    there = [f"{text} w7" for text in there[: known // 2]] + there[known // 2 :]
    assert ties(fresh, there, known) == []


def test_the_chance_of_agreement_is_that_of_the_binomial():
    from scipy.stats import binom

    assert triggers._chance(40, 0.3) == pytest.approx(binom.sf(37, 40, 0.3))


def test_sentences_of_many_name_the_first():
    pairs = [Similar(f"n{n}", "a", "train", f"u{n}", "a", "train", True, 0.9) for n in range(9)]
    (sentence,) = similar.sentences(pairs)
    assert sentence.startswith("9 rows nearly repeat others, and runs keep the first of them: n0 (u0, 90 %)")
