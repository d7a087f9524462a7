"""Every text in one place only: test beats dev beats train beats the corpus.

Labelled rows are dealt out by a hash of their id, or as a column of theirs says, and keep their place unless they
nearly repeat a row that comes before them in that order; ids decide inside one split. Corpus documents come last,
ordered by a hash of their text, so neither the order of files nor the corpus has any influence on the splits. A
document in which a held-out text stands word for word is dropped as well: a model that was pretrained on the test rows
is not tested by them. (Training texts may be read: that is task-adaptive pretraining, Gururangan et al. 2020, section 4.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.config import SplitOptions
from regraft.data.dedup import find_contained, find_duplicates, normalise
from regraft.data.documents import Corpus, Document
from regraft.data.sources import reject
from regraft.data.split import PRIORITY, Split, split_of, uniform
from regraft.errors import Problem
from regraft.files import sha256_text

HELDOUT = 0.02
"""Share of documents kept out of pretraining, for the curve of its loss."""


@dataclass(frozen=True)
class Dropped:
    """A text that went, and the one it repeats: ids of labelled rows, ``file:line`` of documents."""

    id: str
    reason: str
    of: str | None


@dataclass(frozen=True)
class Dealt:
    """What became of all texts."""

    splits: dict[str, Split]
    """id -> split of the labelled rows that stay, sorted by id."""
    documents: list[tuple[str, bool]]
    """(text, held out), in an order that is a hash of the text."""
    dropped: list[Dropped]

    def counts(self) -> dict[str, int]:
        """How many texts went where."""
        splits = Counter(self.splits.values())
        reasons = Counter(item.reason for item in self.dropped)
        heldout = sum(held for _, held in self.documents)
        return {
            "documents": len(self.documents),
            "heldout": heldout,
            **{split: splits[split] for split in PRIORITY},
            **{f"dropped_{reason}": reasons[reason] for reason in ("exact", "near", "contains", "unreadable", "labelled")},
        }


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


def deal(
    texts: Sequence[tuple[str, str]], corpus: Corpus, options: SplitOptions, seed: int, given: Mapping[str, Split] | None = None
) -> Dealt:
    """Deal the labelled ``texts`` (id, text) and the documents of ``corpus`` out; the result ignores the order of either.

    ``given`` is ``{id: split}`` where the data says so itself; else ids are hashed.
    """
    rows = [(given[key] if given else split_of(seed, key, options.test, options.dev), key, normalise(text)) for key, text in texts]
    rows.sort(key=lambda row: (PRIORITY.index(row[0]), row[1]))
    documents = sorted(((normalise(document.text), document) for document in corpus.documents), key=_order)
    names = [key for _, key, _ in rows] + [document.where for _, document in documents]
    compared = [text for _, _, text in rows] + [text for text, _ in documents]
    twins = find_duplicates(compared, options.near_duplicate, seed)

    dropped = [Dropped(where, "unreadable", None) for where, _ in corpus.unreadable]
    for position, twin in enumerate(twins):
        if twin is not None:
            kind = "labelled" if position < len(rows) else "exact" if twin.similarity == 1 else "near"
            dropped.append(Dropped(names[position], kind, names[twin.index]))
    kept = [position for position in range(len(rows), len(twins)) if twins[position] is None]
    unseen = [position for position, row in enumerate(rows) if row[0] != "train"]
    contained = find_contained([compared[position] for position in kept], [compared[position] for position in unseen])
    dropped += [Dropped(names[kept[document]], "contains", names[unseen[text]]) for document, text in contained.items()]
    stay = [documents[position - len(rows)][1].text for index, position in enumerate(kept) if index not in contained]
    if not stay:
        problem = Problem(message=f"all {len(documents)} documents repeat or contain labelled texts", rule="corpus.document")
        reject("data.corpus holds nothing to learn from", [problem])
    splits = {key: split for (split, key, _), twin in zip(rows, twins, strict=False) if twin is None}
    return Dealt(dict(sorted(splits.items())), _hold_out(stay, seed), sorted(dropped, key=lambda item: (item.id, item.reason)))


def _order(pair: tuple[str, Document]) -> tuple[str, str, str]:
    normalised, document = pair
    return sha256_text(normalised), document.text, document.where


def _hold_out(texts: Sequence[str], seed: int) -> list[tuple[str, bool]]:
    """Mark :data:`HELDOUT` of ``texts``, at least one where there are two, by a hash of the text."""
    values = [uniform(seed, text) for text in texts]
    smallest = min(values)
    if len(texts) < 2:
        return [(text, False) for text in texts]
    return [(text, value < HELDOUT or value == smallest) for text, value in zip(texts, values, strict=True)]
