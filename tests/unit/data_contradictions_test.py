"""Rows that were dropped for another one of another label are named; and what counts as a slip depends on how many rows there are."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from regraft.data import contradictions
from regraft.data.patterns import is_no_slip
from regraft.data.tables import write_table

LONG = "the quay and the ferry and the tide and the mast and the rope and the keel of an old boat that nobody moors any more"


def left(folder, dropped):
    rows = {"a": ("harbour", LONG), "b": ("kitchen", LONG.upper()), "c": ("harbour", LONG), "d": ("garden", f"{LONG}!")}
    write_table(
        folder / "rows.parquet",
        {"id": list(rows), "label": [label for label, _ in rows.values()], "text": [text for _, text in rows.values()]},
    )
    write_table(folder / "splits.parquet", {"id": ["a"], "split": ["test"]})
    reasons = [*("labelled" for _ in dropped), "near"]
    write_table(folder / "dropped.parquet", {"id": [*dropped, "corpus.txt:3"], "reason": reasons, "of": [*("a" for _ in dropped), "a"]})
    return contradictions.find(folder / "rows.parquet", folder / "splits.parquet", folder / "dropped.parquet")


def test_a_row_dropped_for_one_of_another_label_is_named_with_it(tmp_path):
    found = left(tmp_path, ["b", "c", "d"])
    assert [(each.id, each.label, each.of, each.of_label, each.of_split, each.kind) for each in found] == [
        ("b", "kitchen", "a", "harbour", "test", "exact"),
        ("d", "garden", "a", "harbour", "test", "near"),
    ]
    write_table(tmp_path / "kept.parquet", contradictions.columns(found))
    assert contradictions.sentence(pq.read_table(tmp_path / "kept.parquet").to_pydict()) == (
        "2 rows repeat a row with another label (1 word for word, 1 nearly) and were dropped: "
        "b ('kitchen') for a ('harbour'), d ('garden') for a ('harbour')"
    )


def test_rows_that_agree_with_those_they_repeat_are_no_news(tmp_path):
    assert left(tmp_path, ["c"]) == []
    assert contradictions.sentence(contradictions.columns([])) is None


@pytest.mark.parametrize(
    ("count", "read", "no_slip"),
    [
        (2, 20, False),
        (3, 20, True),
        (9, 1_000, False),
        (10, 1_000, True),
        (10, 10_001, False),
        (10, 1_000_000, False),
        (1_000, 1_000_000, True),
    ],
)
def test_ten_equal_typing_errors_in_a_million_rows_do_not_refuse_the_file(count, read, no_slip):
    assert is_no_slip(count, read) is no_slip
