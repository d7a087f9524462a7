"""Chunks on disk give the same answers as everything in memory, however small they are."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.core import files
from regraft.data import chunks, writing
from regraft.data.chunks import ChunkStore
from regraft.data.tables import write_table
from regraft.data.uniqueness import Repeats, hashes
from regraft.data.writing import TableWriter


def stored(folder, values, size):
    store = ChunkStore(folder)
    for start in range(0, len(values), size):
        part = values[start : start + size]
        store.append({"v": pa.array(part, pa.string()), "h": hashes(part), "n": pa.array(map(str, range(start, start + len(part))))})
    return store


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("bucket", [1, 50, 10_000])
def test_rows_come_back_sorted_and_only_those_asked_for(tmp_path, monkeypatch, size, bucket):
    monkeypatch.setattr(chunks, "BUCKET_ROWS", bucket)
    rng = random.Random(size)
    letters = "aÄz日\U0001f600"
    values = [f"{rng.choice(letters)}{n}" for n in range(300)]
    rng.shuffle(values)
    store = stored(tmp_path, values, size)
    keep = np.array([rng.random() < 0.7 for _ in values])
    masks = [keep[start : start + len(table)] for start, table in zip(store.starts, store.tables, strict=True)]
    found = [row for bucket in store.in_order("v", masks, ["v", "n", "absent"]) for row in bucket.to_pylist()]
    expected = sorted((value, str(n)) for n, value in enumerate(values) if keep[n])
    assert [(row["v"], row["n"], row["absent"]) for row in found] == [(value, n, None) for value, n in expected]


def test_a_bucket_holds_no_more_than_a_few_times_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "BUCKET_ROWS", 500)
    values = [f"{n * 7919 % 20_000:05d}" for n in range(20_000)]
    store = stored(tmp_path, values, 1000)
    sizes = [len(bucket) for bucket in store.in_order("v", [np.ones(len(table), np.bool_) for table in store.tables], ["v"])]
    assert sum(sizes) == 20_000
    assert max(sizes) <= 1000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "A", "aa"]), st.text(max_size=3)), max_size=40),
    st.sampled_from([1, 3, 50]),
)
def test_repeats_are_those_that_counting_finds(tmp_path_factory, values, size):
    store = stored(tmp_path_factory.mktemp("c"), values, size)
    repeats = Repeats(store, "v", "h")
    times = Counter(value for value in values if value is not None)
    flagged = [bool(flag) for mask in repeats.masks for flag in mask]
    assert flagged == [value is not None and times[value] > 1 for value in values]
    for row, value in enumerate(values):
        if flagged[row]:
            assert repeats.sharing(row, 2) == ([n for n, other in enumerate(values) if other == value][:2], times[value])


@pytest.mark.parametrize("piece", [1, 9, 100])
def test_a_file_written_in_pieces_is_the_bytes_of_one_written_whole(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(writing, "GROUP_ROWS", 1 << 20)
    values = {"a": [f"text {n}" if n % 5 else None for n in range(100)], "b": list(map(str, range(100)))}
    write_table(tmp_path / "whole.parquet", values)
    table = pa.table({name: pa.array(column, pa.string()) for name, column in values.items()})
    with TableWriter(tmp_path / "pieces.parquet", table.schema) as writer:
        for start in range(0, 100, piece):
            writer.write(table.slice(start, piece))
    assert files.sha256_file(tmp_path / "pieces.parquet") == files.sha256_file(tmp_path / "whole.parquet")
    with TableWriter(tmp_path / "none.parquet", table.schema):
        pass
    write_table(tmp_path / "empty.parquet", {"a": [], "b": []})
    assert files.sha256_file(tmp_path / "none.parquet") == files.sha256_file(tmp_path / "empty.parquet")
