"""A split by a column that orders the rows: where the borders are, and which values order nothing."""

from __future__ import annotations

import random

import pytest

from regraft.data.by_order import Order, key_of, order


def dealt(values: list[str], test: float = 0.25, dev: float = 0.1) -> tuple[Order, dict[str, list[str]]]:
    found = order(values, "at", test=test, dev=dev)
    assert isinstance(found, Order), found
    parts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for value in values:
        parts[found.split(value)].append(value)
    assert found.test_rows == len(parts["test"])
    return found, parts


@pytest.mark.parametrize("values", [
    [f"2026-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 21)],
    [f"2026-01-01T{hour:02d}:{minute:02d}:00Z" for hour in range(10) for minute in range(4)],
    [str(number) for number in range(80, 120)],  # as text 99 comes after 100
    [str(1_700_000_000 + 60 * number) for number in range(40)],
    [f"{number}.5" for number in range(-20, 20)],
    [f"{year}-{month:02d}" for year in range(2020, 2024) for month in range(1, 11)],
])  # fmt: skip
def test_the_newest_test_and_the_past_is_trained_on_whatever_the_order_of_the_rows(values):
    shuffled = random.Random(3).sample(values, len(values))
    found, parts = dealt(shuffled)
    kind = found.kind
    assert [len(parts[split]) for split in ("train", "dev", "test")] == [26, 4, 10]
    assert max(key_of(value, kind) for value in parts["train"]) < min(key_of(value, kind) for value in parts["dev"])
    assert max(key_of(value, kind) for value in parts["dev"]) < min(key_of(value, kind) for value in parts["test"])
    assert dealt(values)[0] == found


def test_equal_values_stay_together_and_a_share_that_they_spoil_is_said():
    values = ["2026-01-01"] * 10 + ["2026-01-02"] * 5 + ["2026-01-03"] * 25
    found, parts = dealt(values)
    assert (set(parts["test"]), set(parts["dev"]), set(parts["train"])) == ({"2026-01-03"}, {"2026-01-02"}, {"2026-01-01"})
    assert str(found.uneven(0.25)).startswith("split.by: 62 % of the rows test, and split.test asks for 25 %: many rows have the same at")
    assert dealt([str(n) for n in range(40)])[0].uneven(0.25) is None


def test_newer_rows_move_the_borders_and_never_back():
    values = [str(number) for number in range(40)]
    before, now = dealt(values)[0], dealt([*values, *map(str, range(40, 80))])[0]
    assert (before.test_from, now.test_from) == ("30", "60")
    assert now.split("35") == "train", "what tested is trained on"


@pytest.mark.parametrize(("values", "says"), [
    (["31.12.2025", "01.01.2026"], "2 of 2 values are neither numbers nor dates like 2026-03-31, such as '31.12.2025', '01.01.2026'"),
    (["2026-01-01", "2026-01-02", "soon"], "1 of 3 values are neither numbers nor dates like 2026-03-31, such as 'soon'"),
    (["v1", "v10", "v9"], "3 of 3 values are neither numbers nor dates"),
    (["1", "2", "2026-01-01"], "2 of 3 values are neither numbers nor dates like 2026-03-31, such as '1', '2'"),
    (["2026-02-30", "2026-02-01"], "1 of 2 values are neither numbers nor dates like 2026-03-31, such as '2026-02-30'"),
    (["nan", "1", "2"], "3 of 3 values are neither numbers nor dates"),
    (["2026-01-01T00:00:00+00:00", "2026-01-01T05:00:00"], "1 value says its distance from UTC"),
    (["7", "7", "7"], "3 rows have at '7' or are held out with it: there is no past to train on"),
])  # fmt: skip
def test_values_that_order_nothing_are_refused_with_examples(values, says):
    problem = order(values, "at", test=0.25, dev=0.1)
    assert not isinstance(problem, Order)
    assert says in problem["message"]


def test_days_beside_timestamps_with_an_offset_begin_at_midnight_in_utc():
    found, _ = dealt(["2026-01-01", "2026-01-02", "2026-01-03T00:00:00+00:00", "2026-01-03T01:30:00+02:00"], test=0.25, dev=0.0)
    assert found.test_from == "2026-01-03T00:00:00+00:00"
