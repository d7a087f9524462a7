"""Every text in one place only: test beats dev beats train beats the corpus.

Labelled rows are dealt out by a hash of their id, or as a column of theirs says, and keep their place unless they
nearly repeat a row that comes before them in that order; ids decide inside one split. Corpus documents come last,
ordered by a hash of their text, so neither the order of files nor the corpus has any influence on the splits. A
document in which a held-out text stands word for word is dropped as well: a model that was pretrained on the test rows
is not tested by them. (Training texts may be read: that is task-adaptive pretraining, Gururangan et al. 2020, section 4.)

The texts are on disk all the while (:mod:`regraft.data.distinct`): a corpus may be larger than memory.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.core.errors import Problem
from regraft.core.progress import watched
from regraft.data.dedup import Twin, find_contained, find_duplicates, normalise
from regraft.data.distinct import Distinct, find_distinct
from regraft.data.documents import Corpus
from regraft.data.options import SplitOptions
from regraft.data.pairs import apart
from regraft.data.sources import reject
from regraft.data.split import PRIORITY, Split, split_of, uniform
from regraft.data.spool import Spool

HELDOUT = 0.02
"""Share of documents kept out of pretraining, for the curve of its loss."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A text that went, and the one it repeats: ids of labelled rows, ``file:line`` of documents."""

    id: str
    reason: str
    of: str | None


@dataclass(frozen=True)
class Documents:
    """The documents that stay as (text, held out), in an order that is a hash of the text; read from disk when asked for."""

    texts: Spool
    numbers: Sequence[int]
    heldout: Sequence[bool]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[str, bool]]:
        return ((self.texts[number][1], is_heldout) for number, is_heldout in zip(self.numbers, self.heldout, strict=True))


@dataclass(frozen=True)
class Dealt:
    """What became of all texts."""

    splits: dict[str, Split]
    """id -> split of the labelled rows that stay, sorted by id."""
    documents: Documents
    dropped: list[Dropped]

    def counts(self) -> dict[str, int]:
        """How many texts went where."""
        return {**self.document_counts(), **self.row_counts()}

    def row_counts(self) -> dict[str, int]:
        """How many labelled rows are in which split, and how many went."""
        splits = Counter(self.splits.values())
        return {**{split: splits[split] for split in PRIORITY}, "dropped_labelled": len(self.dropped_rows)}

    def document_counts(self) -> dict[str, int]:
        """How many documents stay, and how many went and why."""
        reasons = Counter(item.reason for item in self.dropped_documents)
        dropped = {f"dropped_{reason}": reasons[reason] for reason in ("exact", "near", "contains", "unreadable")}
        return {"documents": len(self.documents), "heldout": sum(self.documents.heldout), **dropped}

    @property
    def dropped_rows(self) -> list[Dropped]:
        """The labelled rows that went."""
        return [item for item in self.dropped if item.reason == "labelled"]

    @property
    def dropped_documents(self) -> list[Dropped]:
        """The documents that went."""
        return [item for item in self.dropped if item.reason != "labelled"]


def read_given(path: Path) -> dict[str, Split]:
    """``{id: split}`` of the texts that ``contract`` left, where a column of the data gives the split; else nothing."""
    import pyarrow.parquet as pq

    if "split" not in pq.read_schema(path).names:
        return {}
    table = pq.read_table(path, columns=["id", "split"])
    return dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))


def read_texts(path: Path) -> list[tuple[str, str]]:
    """The (id, text) pairs that ``contract`` left."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["id", "text"])
    return list(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Write what went and why, as the columns id, reason and of."""
    from regraft.data.tables import write_table

    items = list(dropped)
    write_table(path, {name: [getattr(item, name) for item in items] for name in ("id", "reason", "of")})


def split_rows(
    texts: Sequence[tuple[str, str]],
    corpus: Corpus | None,
    options: SplitOptions,
    seed: int,
    given: Mapping[str, Split] | None = None,
    *,
    scratch: Path | None = None,
    pairs: bool = False,
    spent: Collection[str] = (),
) -> Dealt:
    """Deal the labelled ``texts`` (id, text) and the documents of ``corpus`` out; the result ignores the order of either.

    Splits do not depend on the corpus; None: there is none, and no document stays. ``given`` is ``{id: split}`` where the data says
    so itself; else ids are hashed. ``scratch`` is a folder on a disk with room for twice the corpus and 512 bytes a document.
    ``pairs``: the texts are pairs (:mod:`regraft.data.pairs`), and a document that holds one of the two is dropped like one that
    holds a text. Rows that are ``spent`` test no more.
    """
    rows = [(given[key] if given else split_of(seed, key, options.test, options.dev, spent), key, text) for key, text in texts]
    rows.sort(key=lambda row: (PRIORITY.index(row[0]), row[1]))
    read = corpus or Corpus((), [])
    distinct = find_distinct([(key, text) for _, key, text in rows], read.documents, scratch or Path(tempfile.gettempdir()))
    normalised = _Normalised(distinct.texts)
    twins = find_duplicates(normalised, options.near_duplicate, seed, scratch, pairs=pairs)
    stay = [number for number in range(distinct.rows, len(twins)) if twins[number] is None]
    unseen = [(key, normalise(one)) for split, key, text in rows if split != "train" for one in (apart(text) if pairs else (text,))]
    searched = (normalised[number] for number in watched(stay, "documents", len(stay)))
    contained = find_contained(searched, [text for _, text in unseen])

    dropped = [Dropped(where, "unreadable", None) for where, _ in read.unreadable]
    dropped += _repeating(distinct, twins)
    dropped += [Dropped(distinct.texts[stay[document]][0], "contains", unseen[text][0]) for document, text in contained.items()]
    stay = [number for index, number in enumerate(stay) if index not in contained]
    if corpus is not None and not stay:
        every = "the only document repeats or contains" if distinct.read == 1 else f"all {distinct.read:,} documents repeat or contain"
        message = "; ".join([f"{every} labelled texts", *corpus.whole_files])
        problem = Problem(message=message, rule="corpus.document", fix="add text of the domain that is not among the labelled rows")
        reject("data.corpus holds nothing to learn from", [problem])
    dropped_ids = {item.id for item in dropped if item.reason == "labelled"}
    splits = {key: split for split, key, _ in sorted(rows, key=lambda row: row[1]) if key not in dropped_ids}
    documents = Documents(distinct.texts, stay, _hold_out((distinct.texts[number][1] for number in stay), seed))
    return Dealt(splits, documents, sorted(dropped, key=lambda item: (item.id, item.reason)))


class _Normalised(Sequence[str]):
    """The texts of a spool as they are compared."""

    def __init__(self, texts: Spool) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> str:  # type: ignore[override]  # one at a time, no slices
        return normalise(self._texts[number][1])


def _repeating(distinct: Distinct, twins: Sequence[Twin | None]) -> Iterator[Dropped]:
    """The texts that repeat another; a copy of one of them repeats the same."""
    names = distinct.texts
    for number, twin in enumerate(twins):
        if twin is not None:
            yield Dropped(names[number][0], _reason(number < distinct.rows, twin), names[twin.index][0])
    for copy in distinct.copies:
        twin = twins[copy.of] or Twin(copy.of, 1.0)
        yield Dropped(copy.name, _reason(copy.labelled, twin), names[twin.index][0])


def _reason(labelled: bool, twin: Twin) -> str:
    return "labelled" if labelled else "exact" if twin.similarity == 1 else "near"


def _hold_out(texts: Iterable[str], seed: int) -> list[bool]:
    """Mark :data:`HELDOUT` of ``texts``, at least one where there are two, by a hash of the text."""
    values = np.fromiter((uniform(seed, text) for text in texts), np.float64)
    marked: list[bool] = ((values < HELDOUT) | (values == values.min(initial=1.0))).tolist()
    return marked if len(marked) > 1 else [False] * len(marked)
