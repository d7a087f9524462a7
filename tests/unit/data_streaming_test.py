"""A corpus may be larger than memory, and how much of it is looked at together changes nothing."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regraft.core import progress
from regraft.core.errors import Interrupted
from regraft.data import dedup, minhash, packing, spool, tables
from regraft.data.dedup import find_duplicates
from regraft.data.distinct import find_distinct
from regraft.data.documents import Corpus, Document
from regraft.data.minhash import MULTIPLIER, least_agreement, windows
from regraft.data.options import SplitOptions
from regraft.data.splitting import split_rows
from regraft.data.spool import Spool, on_disk

WORDS = [f"{a}{b}{c}" for a in "bdgklm" for b in "aeiou" for c in "nrst"]


def text(seed: int, words: int = 25) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(n: int, seed: int) -> list[str]:
    """``n`` texts of which many nearly repeat an earlier one."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        words = text(rng.randrange(n // 4)).split()
        for _ in range(rng.randrange(4)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        texts.append(" ".join(words))
    return texts


def test_texts_come_back_in_any_order_whatever_is_in_them(tmp_path):
    texts = Spool(tmp_path)
    named = [("a", ""), ("", "x\0y"), ("n\0n", "日本語\n"), ("ü", "z" * 100_000)]
    for name, content in named:
        texts.append(name, content)
    texts.flush()
    assert list(texts) == named
    assert [texts[n] for n in (3, 1)] == [named[3], named[1]]
    assert not list(tmp_path.iterdir()), "nothing is left behind, even by a killed process"


def test_an_array_takes_its_room_at_once_so_that_a_disk_that_fills_up_cannot_kill_the_process(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(spool.tempfile, "TemporaryFile", lambda dir: (dir / "named").open("w+b"))
        assert not on_disk(tmp_path, np.uint64, (3, 10_000)).any()
    assert (tmp_path / "named").stat().st_blocks * 512 >= 240_000
    assert on_disk(tmp_path, np.uint64, (0, 3)).shape == (0, 3)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 13, 16])
@pytest.mark.parametrize("content", ["", "a", "abcd", "日本語テキスト", text(3)])
def test_doubling_gives_the_hash_of_the_definition(content, width):
    codes = [ord(character) for character in content]
    expected = []
    for start in range(max(len(codes) - width + 1, 1)):
        value = 0
        for code in codes[start : start + width]:
            value = (value * int(MULTIPLIER) + code) % 2**64
        expected.append(value ^ value >> 32)
    assert windows(content, width).tolist() == expected


@pytest.mark.parametrize("constant", [(dedup, "BLOCK"), (dedup, "CACHED"), (minhash, "BATCH_CHARS"), (minhash, "PAIRS")])
def test_how_many_texts_are_looked_at_together_changes_nothing(constant, monkeypatch):
    texts = edited(300, 1)
    at_once = find_duplicates(texts, 0.8, 17)
    assert sum(twin is not None for twin in at_once) > 50
    for value in (1, 7):
        monkeypatch.setattr(*constant, value)
        assert find_duplicates(texts, 0.8, 17) == at_once


def test_a_cluster_is_compared_with_the_one_that_stayed_and_not_with_itself(monkeypatch):
    compared = []
    jaccard = dedup.jaccard
    monkeypatch.setattr(dedup, "jaccard", lambda *sides: compared.append(1) or jaccard(*sides))
    base = text(1, 200)
    twins = find_duplicates([f"{base} {n}" for n in range(400)], 0.8, 17)
    assert [twin and twin.index for twin in twins] == [None] + [0] * 399
    assert len(compared) == 399


def test_a_pair_at_the_threshold_agrees_in_more_bytes_than_are_asked_for():
    rng = np.random.default_rng(1)
    for threshold in (0.3, 0.5, 0.8, 0.95):
        assert rng.binomial(128, threshold, 100_000).min() >= least_agreement(threshold) > 128 * (threshold - 0.31)
    assert least_agreement(1.0) == 128


def distinct(rows: list[tuple[str, str]], documents: list[tuple[str, str]], folder) -> tuple[list[tuple[str, str]], dict[str, str]]:
    found = find_distinct(rows, [Document(*document) for document in documents], folder)
    assert found.read == len(documents)
    return list(found.texts), {copy.name: found.texts[copy.of][0] for copy in found.copies}


def test_of_equal_documents_the_smallest_stays_whatever_the_order_of_files(tmp_path):
    documents = [("c:1", "Same  text"), ("c:2", "same TEXT"), ("c:0", "same TEXT"), ("c:3", "another"), ("c:4", "A row")]
    rows = [("r1", "a  row"), ("r0", "a row"), ("r2", "a row!")]
    expected = distinct(rows, documents, tmp_path)
    assert expected[0][:2] == [("r1", "a  row"), ("r2", "a row!")], "rows keep the order they are given in"
    assert sorted(expected[0][2:]) == [("c:1", "Same  text"), ("c:3", "another")]
    assert expected[1] == {"r0": "r1", "c:0": "c:1", "c:2": "c:1", "c:4": "r1"}
    for seed in range(5):
        random.Random(seed).shuffle(documents)
        assert distinct(rows, documents, tmp_path) == expected


def dealt_peak(documents: int, folder) -> int:
    """Bytes of Python's and numpy's memory at most in use while ``documents`` of 4 kB are dealt out and written."""

    def read() -> Iterator[Document]:
        return (Document(f"c:{n}", random.Random(n).randbytes(2_000).hex()) for n in range(documents))

    tracemalloc.start()
    dealt = split_rows([("r", text(1))], Corpus(read(), []), SplitOptions(), 17, scratch=folder)
    tables.write_documents(folder / "documents.parquet", dealt.documents)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dealt.documents) == documents
    return peak


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(minhash, "BATCH_CHARS", 20_000)
    monkeypatch.setattr(tables, "GROUP_CHARS", 20_000)
    dealt_peak(10, tmp_path)  # what is imported and cached once
    grown = dealt_peak(300, tmp_path) - dealt_peak(50, tmp_path)
    assert grown < 100_000, "for 250 documents of 4,000 bytes more; 2,900 measured"


def test_row_groups_end_by_rows_and_by_characters_and_change_no_row(tmp_path, monkeypatch):
    documents = [(text(n, 1 + n % 9), n % 3 == 0) for n in range(100)]
    tables.write_documents(tmp_path / "one", documents)
    monkeypatch.setattr(tables, "GROUP_ROWS", 40)
    tables.write_documents(tmp_path / "rows", iter(documents))
    monkeypatch.setattr(tables, "GROUP_CHARS", 200)
    tables.write_documents(tmp_path / "characters", documents)
    groups = {path.name: pq.ParquetFile(path).num_row_groups for path in tmp_path.iterdir()}
    assert (groups["one"], groups["rows"]) == (1, 3)
    assert groups["characters"] > 3
    for path in tmp_path.iterdir():
        table = pq.read_table(path)
        assert list(zip(table["text"].to_pylist(), table["heldout"].to_pylist(), strict=True)) == documents


def test_long_documents_are_tokenized_a_few_at_a_time(tmp_path, monkeypatch):
    documents = [("x" * size, False) for size in (5, 5, 30, 1, 1, 1, 9)]
    tables.write_documents(tmp_path / "d.parquet", documents)
    monkeypatch.setattr(packing, "BATCH_CHARS", 10)
    batches = [list(map(len, texts)) for texts, _ in packing.documents(tmp_path / "d.parquet")]
    assert batches == [[5, 5], [30], [1, 1, 1, 9]]


def test_of_the_documents_to_be_tokenized_one_row_group_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_CHARS", 40_000)
    tables.write_documents(tmp_path / "d.parquet", [(random.Random(n).randbytes(2_000).hex(), False) for n in range(500)])
    monkeypatch.setattr(packing, "BATCH", 20)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in packing.documents(tmp_path / "d.parquet")]
    assert max(held) < 200_000 < (tmp_path / "d.parquet").stat().st_size / 4


def test_a_signal_ends_the_step_between_two_documents_and_says_how_to_go_on(tmp_path):
    def read() -> Iterator[Document]:
        yield Document("c:0", text(0))
        progress.STOP.set()
        yield Document("c:1", text(1))
        raise AssertionError("read on after the signal")

    try:
        with progress.running(progress.Running("demo", "corpus")), pytest.raises(Interrupted, match="corpus stopped after 2 doc") as caught:
            split_rows([], Corpus(read(), []), SplitOptions(), 17, scratch=tmp_path)
    finally:
        progress.STOP.clear()
    assert caught.value.fix == "regraft run demo"


def test_progress_ends_at_the_whole(capsys):
    with progress.running(progress.Running("demo", "corpus", report=True)):
        assert list(progress.watched("abc", "letters", 6, size=lambda _: 2)) == ["a", "b", "c"]
    assert '"done": 6, "total": 6, "unit": "letters"' in capsys.readouterr().out
