"""What is said of a drop that is taken in, for people to look at.

Texts that were decoded twice, rows that nearly repeat others, documents of the corpus that hold new test rows, words that stand with one
label alone: none of it sets a row aside, as only people know whether it is meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from regraft.core.errors import RegraftError
from regraft.core.quantities import counted, first_of, size
from regraft.data import spent
from regraft.data.dedup import ANCHOR, find_contained
from regraft.data.documents import Document, read_corpus
from regraft.data.handoff import similar, triggers
from regraft.data.handoff.judge import Judged
from regraft.data.handoff.similar import Similar, SplitOf, Texts, Values
from regraft.data.mojibake import Misread
from regraft.data.options import listed
from regraft.data.pairs import MARK, apart
from regraft.data.sources import Source
from regraft.data.split import SPLITS, Split, split_of
from regraft.production.data_store import DataStore

CORPUS_BYTES = 256_000_000
"""A larger corpus is not searched for new test rows: 100 MB take some 10 s, and a run does it anyway."""
MOST_TRIGGERS = 5
"""Words that are said."""


def split_by(store: DataStore) -> SplitOf:
    """The split of a row; None: only a run knows."""
    options = store.options
    if (column := options.data.split) is not None:
        return lambda values: next((split for split in SPLITS if split == values.get(column)), None)
    if options.split.by is not None:
        return lambda _: None
    listing = store.workspace.root / "pipelines" / f"{store.pipeline}{spent.SUFFIX}"
    worn = spent.load(listing, store.workspace.relative(listing)).ids

    def of(values: Values) -> Split | None:
        key = values.get(options.task.id_column)
        return None if key is None else split_of(options.seed, key, options.split.test, options.split.dev, worn)

    return of


def look(store: DataStore, judged: Judged, known: Texts, scratch: Path) -> tuple[list[Similar], list[str]]:
    """Rows of a drop that nearly repeat others, and what is said of the drop; ``known`` are the rows that are there."""
    fresh = Texts(store.task, split_by(store), scratch)
    remain = np.ones(len(known), np.bool_)
    remain[judged.gone] = False
    remain[list(judged.replaced)] = False
    misread = Misread()
    for number, (mask, relation) in enumerate(zip(judged.changed, judged.relations, strict=True)):
        new = np.flatnonzero(mask & (relation.added | relation.edited | relation.relabelled))
        for values in fresh.noted(judged.rows_at(number, new), lambda values: values):
            misread.note(" ".join(values.get(name) or "" for name in store.task.texts), values.get(store.task.id_column) or "")
    if not len(fresh):
        return [], []
    options, told = store.options, [sentence] if (sentence := misread.sentence) else []
    pairs = similar.find(fresh, known, remain, options.split.near_duplicate, options.seed, scratch, pairs=store.task.text_pair is not None)
    return pairs, [*told, *similar.sentences(pairs), *_in_corpus(store, fresh), *_triggers(fresh, known, remain)]


def _in_corpus(store: DataStore, fresh: Texts) -> list[str]:
    """What is said of the corpus; one that cannot be read is no fault of the drop."""
    try:
        return list(_contained(store, fresh))
    except RegraftError as error:
        return [f"the corpus was not searched for the new test rows, as it cannot be read: {error}"]


def _contained(store: DataStore, fresh: Texts) -> Iterator[str]:
    """What is said where a document of the corpus holds a new test row."""
    corpus = store.options.data.corpus
    held_out = [number for number in range(len(fresh)) if fresh.splits[number] in ("test", "dev")]
    texts = [(part, fresh.id(number)) for number in held_out for part in apart(fresh.text(number)) if len(part) >= ANCHOR]
    if corpus is None or not texts:
        return
    paths = [path for path in listed(corpus) if not path.startswith("hub:")]
    places = [Source("data.corpus", store.workspace.root / path, path, tsv_quoted=store.options.data.tsv_quoted) for path in paths]
    if len(paths) < len(listed(corpus)) or (total := sum(_bytes(place.path) for place in places)) > CORPUS_BYTES:
        large = f"{size(total)} of text" if len(paths) == len(listed(corpus)) else "text on a hub"
        yield f"the corpus ({large}) was not searched for the new test rows; a run does it, and leaves such documents out"
        return
    where: list[str] = []
    documents = (_noted(document, where) for place in places for document in read_corpus(place, store.options.corpus_column).documents)
    inside = find_contained(documents, [text for text, _ in texts])
    if inside:
        rows = first_of([f"{texts[text][1]} ({where[document]})" for document, text in inside.items()])
        holds = "holds a new test row" if len(inside) == 1 else "hold new test rows"
        yield f"{counted(len(inside), 'document')} of the corpus {holds}, and runs leave {'it' if len(inside) == 1 else 'them'} out: {rows}"


def _noted(document: Document, where: list[str]) -> str:
    from regraft.data.dedup import normalise

    where.append(document.where)
    return normalise(document.text)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def _triggers(fresh: Texts, known: Texts, remain: np.ndarray) -> Iterator[str]:
    labels = Counter(label for label in fresh.labels if label is not None)
    rows = ((fresh.text(number).replace(MARK, " "), label) for number, label in enumerate(fresh.labels) if label is not None)
    there = np.flatnonzero(remain).tolist()
    found = triggers.find(labels, rows, (known.text(place) for place in there), len(there))
    for trigger in found[:MOST_TRIGGERS]:
        yield f"{trigger.sentence}: a mistake, a signature, or a word that is meant to decide by itself; look at these rows"
    if len(found) > MOST_TRIGGERS:
        yield f"so do {counted(len(found) - MOST_TRIGGERS, 'more word')}"
