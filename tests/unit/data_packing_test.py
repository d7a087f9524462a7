from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from regraft.core.errors import DataRejected
from regraft.core.files import tree
from regraft.data.packing import documents, pack, read

CLS, SEP = 1, 2


def words(size: int = 50) -> Tokenizer:
    vocabulary = {"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP, **{f"w{i}": i for i in range(3, size)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return tokenizer


def text(*ids: int) -> str:
    return " ".join(f"w{i}" for i in ids)


def test_sequences_are_framed_full_and_hold_the_documents_in_order(tmp_path):
    docs = [text(*range(3, 10)), text(*range(10, 14)), text(*range(14, 30))]
    pack([(docs, [False] * 3)], words(), 8, tmp_path)
    ids = read(tmp_path)["train"].rows(range(4))
    assert (ids[:, 0] == CLS).all()
    assert (ids[:, -1] == SEP).all()
    stream = [*range(3, 10), SEP, *range(10, 14), SEP, *range(14, 30), SEP]
    assert ids[:, 1:-1].ravel().tolist() == stream[:24]


def test_batching_does_not_change_a_byte(tmp_path):
    docs = [text(*(3 + (7 * i + j) % 40 for j in range(i % 9 + 1))) for i in range(200)]
    held = [i % 5 == 0 for i in range(200)]
    for name, size in (("one", 200), ("many", 7)):
        (tmp_path / name).mkdir()
        batches = [(docs[i : i + size], held[i : i + size]) for i in range(0, 200, size)]
        pack(batches, words(), 16, tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


def test_held_out_documents_are_in_their_own_shard(tmp_path):
    counts = pack([([text(*[5] * 40), text(*[6] * 40)], [False, True])], words(), 8, tmp_path)
    shards = read(tmp_path)
    assert 6 not in shards["train"].ids
    assert 5 not in shards["heldout"].ids
    assert counts == {"documents": 2, "train_tokens": len(shards["train"]) * 8, "heldout_tokens": len(shards["heldout"]) * 8}


def test_a_tokenizer_that_cuts_and_pads_is_told_not_to(tmp_path):
    tokenizer = words()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    counts = pack([([text(*[5] * 60)], [False])], tokenizer, 8, tmp_path)
    assert counts["train_tokens"] == 10 * 8


@pytest.mark.parametrize(("size", "width"), [(50, 2), (70_000, 4)])
def test_ids_take_two_bytes_where_they_fit(tmp_path, size, width):
    pack([([text(*[5] * 60)], [False])], words(size), 8, tmp_path)
    assert (tmp_path / "train.bin").stat().st_size == 10 * 8 * width
    assert read(tmp_path)["train"].rows([0])[0].tolist() == [CLS, *[5] * 6, SEP]


def test_a_corpus_too_small_for_one_sequence_is_refused_with_its_size(tmp_path):
    with pytest.raises(DataRejected, match=r"\(1 documents\) does not fill one training sequence of 128 tokens"):
        pack([([text(5)], [False])], words(), 128, tmp_path)


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    def peak(batches: int) -> int:
        tokenizer, batch = words(), ([text(*[5] * 100)] * 50, [False] * 50)
        tracemalloc.start()
        pack((batch for _ in range(batches)), tokenizer, 16, tmp_path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40) < 1.5 * peak(4)


def test_documents_come_from_parquet_in_order(tmp_path):
    count = 2_500
    table = pa.table({"text": [str(i) for i in range(count)], "heldout": [i % 2 == 0 for i in range(count)]})
    pq.write_table(table, tmp_path / "d.parquet")
    batches = list(documents(tmp_path / "d.parquet"))
    assert [t for texts, _ in batches for t in texts] == [str(i) for i in range(count)]
    assert [h for _, held in batches for h in held] == [i % 2 == 0 for i in range(count)]
    assert len(batches) == 3


def test_rows_of_a_shard_come_in_the_order_asked_for(tmp_path):
    pack([([text(*range(3, 33))], [False])], words(), 8, tmp_path)
    shard = read(tmp_path)["train"]
    assert shard.rows([2, 0]).dtype == np.int64
    assert shard.rows([2, 0])[:, 1].tolist() == [15, 3]
