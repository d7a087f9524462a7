"""Documents become packed sequences of token ids, in memory-mapped files without one padding token.

Documents are joined by separators and cut across document borders. For encoders every sequence is ``[CLS] tokens [SEP]`` (Liu et al.
2019, "RoBERTa", section 4.2, FULL-SENTENCES), for decoders it is tokens alone; :class:`Frame` says which. What is left at the end, less
than one sequence, is dropped. Files hold little-endian ids row by row: ``[sequences, length]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.core.progress import watched

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCHEMA = 1
SHARDS = ("train", "heldout")
BATCH, BATCH_CHARS = 1_000, 2_000_000
"""A batch of documents ends at the first of these: 8.9 MB/s, and about 30 bytes of memory a character."""


@dataclass(frozen=True)
class Frame:
    """Ids that no text has itself, and where packing puts them."""

    begin: tuple[int, ...] = ()
    """First in every sequence."""
    end: tuple[int, ...] = ()
    """Last in every sequence."""
    before: tuple[int, ...] = ()
    """Before every document."""
    after: tuple[int, ...] = ()
    """After every document."""


def frame_of(tokenizer: Tokenizer) -> Frame:
    """The first and last token of what ``tokenizer`` puts round a text; the last stands after every document, too."""
    _whole(tokenizer)
    frame = tokenizer.encode("").ids
    head, tail = (frame[0], frame[-1]) if frame else (0, 0)
    return Frame(begin=(head,), end=(tail,), after=(tail,))


def _whole(tokenizer: Tokenizer) -> None:
    tokenizer.no_truncation()  # sentence-transformers ships tokenizers that cut at 128 and pad to it
    tokenizer.no_padding()


@dataclass(frozen=True)
class Packed:
    """One shard, memory-mapped: only the sequences that are read come into memory."""

    ids: NDArray[np.generic]
    """``[sequences, length]``, unsigned."""

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def rows(self, indices: Iterable[int]) -> NDArray[np.int64]:
        """Sequences by number: int64 ``[len(indices), length]``."""
        return np.asarray(self.ids[np.fromiter(indices, dtype=np.int64)], dtype=np.int64)


class _Shard:
    """A file that sequences are appended to, and the tokens that do not yet fill one."""

    def __init__(self, path: Path, dtype: str, length: int, frame: Frame) -> None:
        self.file: BinaryIO = path.open("wb")
        self.dtype, self.length, self.frame = dtype, length, frame
        self.rest = np.empty(0, dtype)
        self.sequences = 0

    def append(self, parts: list[NDArray[np.generic]]) -> None:
        tokens = np.concatenate([self.rest, *parts])
        begin, end = len(self.frame.begin), self.length - len(self.frame.end)
        body = end - begin
        count = len(tokens) // body
        block = np.empty((count, self.length), self.dtype)
        block[:, :begin], block[:, end:] = self.frame.begin, self.frame.end
        block[:, begin:end] = tokens[: count * body].reshape(count, body)
        self.file.write(block.tobytes())
        self.rest = tokens[count * body :]
        self.sequences += count


def documents(parquet: Path) -> Iterator[tuple[list[str], list[bool]]]:
    """``(text, heldout)`` columns of ``documents.parquet``, batch by batch; how far it is goes to :mod:`regraft.core.progress`."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(parquet, pre_buffer=False) as source:  # with it Arrow holds the whole file: 430 MB of 1 GB
        batches = source.iter_batches(batch_size=BATCH, columns=["text", "heldout"])
        for batch in watched(batches, "documents", source.metadata.num_rows, size=len):
            texts, heldout = batch.column("text").to_pylist(), batch.column("heldout").to_pylist()
            for part in _parts([len(text) for text in texts]):
                yield texts[part], heldout[part]


def _parts(sizes: list[int]) -> Iterator[slice]:
    """Slices of ``sizes`` that end where their sum reaches :data:`BATCH_CHARS`."""
    start, total = 0, 0
    for end, size in enumerate(sizes, start=1):
        total += size
        if total >= BATCH_CHARS or end == len(sizes):
            yield slice(start, end)
            start, total = end, 0


def pack(
    batches: Iterable[tuple[list[str], list[bool]]],
    tokenizer: Tokenizer,
    length: int,
    out: Path,
    frame: Frame | None = None,
    *,
    called: str = "the corpus",
    key: str = "data.corpus",
) -> dict[str, int]:
    """Write ``train.bin``, ``heldout.bin`` and ``meta.json`` below ``out``; returns their sizes in sequences and tokens.

    Memory does not grow with the corpus: one batch of documents and one unfinished sequence are held.

    :param frame: None: :func:`frame_of` the tokenizer.
    :param called: and ``key``, what the documents are called in the fault, and where more of them are named.
    :raises DataRejected: the documents do not fill one training sequence.
    """
    _whole(tokenizer)
    frame = frame or frame_of(tokenizer)
    dtype = "<u2" if tokenizer.get_vocab_size() <= 2**16 else "<u4"
    shards = {name: _Shard(out / f"{name}.bin", dtype, length, frame) for name in SHARDS}
    count = 0
    for texts, heldout in batches:
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        count += len(texts)
        for name, shard_heldout in zip(SHARDS, (False, True), strict=True):
            chosen = [
                np.asarray([*frame.before, *e.ids, *frame.after], dtype)
                for e, is_heldout in zip(encoded, heldout, strict=True)
                if is_heldout is shard_heldout
            ]
            shards[name].append(chosen)
    for shard in shards.values():
        shard.file.close()
    sequences = {name: shard.sequences for name, shard in shards.items()}
    if not sequences["train"]:
        raise DataRejected(
            f"{called} ({count:,} documents) does not fill one training sequence of {length} tokens",
            fix=f"add text to {key}, or lower pretrain.sequence_length",
        )
    files.write_json(
        out / "meta.json",
        {"schema": SCHEMA, "dtype": dtype, "length": length, "sequences": sequences, "vocabulary": tokenizer.get_vocab_size()},
    )
    return {"documents": count, **{f"{name}_tokens": n * length for name, n in sequences.items()}}


def read(folder: Path) -> dict[str, Packed]:
    """The shards below ``folder`` by name."""
    meta: dict[str, Any] = files.read_json(folder / "meta.json")
    shards = {}
    for name, count in meta["sequences"].items():
        shape = (count, meta["length"])
        # An empty file cannot be mapped.
        ids = np.memmap(folder / f"{name}.bin", meta["dtype"], "r", shape=shape) if count else np.empty(shape, meta["dtype"])
        shards[name] = Packed(ids)
    return shards
