"""Test rows that a model may have read: runs of words they share with training rows and with the corpus.

What nearly equals a test row was dropped before training (:mod:`.splitting`). What is left is partial: a test row inside
a longer training row, or made of sentences that a document has too. Two kinds are told apart, after Brown et al. 2020,
"Language Models are Few-Shot Learners", appendix C, and Chowdhery et al. 2022, "PaLM", section 8:

- ``exact``: all words of the row stand in one text, in order and uninterrupted;
- ``near``: at least :data:`NEAR` of the row's runs of :data:`RUN` words stand in the texts, together.

Case, punctuation and white space do not count. A row of fewer than RUN words overlaps only with a text of the very same
words: "returns a list" stands everywhere and was copied from nowhere.

Words become characters, one for each word that a test row has, so that a run of words is a piece of a string. Of the
texts nothing is held: memory grows with the test rows, time with the length of everything.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.core.errors import DataRejected
from regraft.core.progress import watched
from regraft.core.words import WORD
from regraft.data.dedup import normalise
from regraft.data.minhash import windows

RUN = 8
"""Words in a run: PaLM's, and the fewest that Brown et al. allow, below which runs coincide by chance."""
NEAR = 0.7
"""Share of a row's runs that make it near: PaLM's."""
UNKNOWN = "\0"
"""A word that no test row has."""
SURROGATES = range(0xD800, 0xE000)
"""Code points that are no characters."""
BATCH = 1_024
"""Documents read at once."""


class Finder:
    """Finds what ``rows``, the test rows, share with one source after another."""

    def __init__(self, rows: Sequence[str]) -> None:
        self._known: dict[str, str] = {}
        coded = [self._code(text, learn=True) for text in rows]
        self._rows = coded
        self._whole: defaultdict[str, list[int]] = defaultdict(list)
        """A short row's words -> the rows that have them."""
        self._runs: dict[str, int] = {}
        times: Counter[str] = Counter()
        for row, words in enumerate(coded):
            if 0 < len(words) < RUN:
                self._whole[words].append(row)
            for run in _runs(words):
                times[run] += 1
                self._runs.setdefault(run, len(self._runs))
        self._anchors: defaultdict[str, list[int]] = defaultdict(list)
        """A run by which whole rows are looked for: of each row the one that fewest rows share."""
        for row, words in enumerate(coded):
            if len(words) >= RUN:
                self._anchors[min(_runs(words), key=lambda run: times[run])].append(row)
        self._low = np.zeros(2**16, np.bool_)  # most windows of a text end here, without becoming Python's
        for run in self._runs:
            self._low[int(windows(run, RUN)[0]) & 0xFFFF] = True

    def __call__(self, source: str, texts: Iterable[tuple[str, str]]) -> list[Overlap]:
        """The overlap of each row with ``texts`` (name, text) of ``source``, which are read once."""
        first: dict[int, str] = {}
        """Run -> the first text that has it."""
        whole: dict[int, str] = {}
        """Row -> the first text that has all of it."""
        for name, text in texts:
            words = self._code(text)
            if len(words) < RUN:
                for row in self._whole.get(words, ()):
                    whole.setdefault(row, name)
            for run in self._shared(words):
                first.setdefault(self._runs[run], name)
                for row in self._anchors.get(run, ()):
                    if row not in whole and self._rows[row] in words:
                        whole[row] = name
        return [self._overlap(row, source, whole.get(row), first) for row in range(len(self._rows))]

    def _overlap(self, row: int, source: str, whole: str | None, first: Mapping[int, str]) -> Overlap:
        if whole is not None:
            return Overlap("exact", source, 1.0, whole)
        runs = [self._runs[run] for run in _runs(self._rows[row])]
        shared = Counter(first[run] for run in runs if run in first)
        if not shared:
            return Overlap(None, None, 0.0, None)
        share = round(shared.total() / len(runs), 6)
        # Of texts that were first to have equally many of its runs most_common names the one with the row's earliest.
        return Overlap("near" if share >= NEAR else None, source, share, shared.most_common(1)[0][0])

    def _shared(self, words: str) -> Iterator[str]:
        """Runs of ``words`` that a test row has, in order."""
        if len(words) < RUN:
            return
        hashes = windows(words, RUN)
        for at in np.flatnonzero(self._low[hashes & np.uint64(0xFFFF)]).tolist():
            if (run := words[at : at + RUN]) in self._runs:
                yield run

    def _code(self, text: str, *, learn: bool = False) -> str:
        """``text`` as one character for each word; with ``learn`` new words get theirs, otherwise they are :data:`UNKNOWN`."""
        words = WORD.findall(normalise(text))
        for word in words if learn else ():
            if word not in self._known:
                self._known[word] = self._next()
        return "".join([self._known.get(word, UNKNOWN) for word in words])

    def _next(self) -> str:
        """The character that stands for one more word."""
        code = len(self._known) + 1
        code += 0 if code < SURROGATES.start else len(SURROGATES)
        if code > sys.maxunicode:
            raise DataRejected("the test rows hold over 1.1 million different words, too many to look for them in other texts")
        return chr(code)


def _runs(words: str) -> list[str]:
    return [words[at : at + RUN] for at in range(len(words) - RUN + 1)]


def worst(*by_source: Sequence[Overlap]) -> list[Overlap]:
    """What each row shares most, of several sources: exact before near, then by share; the first source of equals."""
    return [max(of_row, key=lambda overlap: (overlap.kind == "exact", overlap.share)) for of_row in zip(*by_source, strict=True)]


def read_trained_on(path: Path) -> Iterator[tuple[str, str]]:
    """(number, text) of the documents that the step ``corpus`` left for training, those held out left out."""
    import pyarrow.parquet as pq

    file, number = pq.ParquetFile(path), 0
    batches = file.iter_batches(BATCH, columns=["text", "heldout"])
    for batch in watched(batches, "documents", file.metadata.num_rows, len):
        for text, heldout in zip(batch["text"].to_pylist(), batch["heldout"].to_pylist(), strict=True):
            if not heldout:
                yield f"document {number:,}", text
            number += 1


@dataclass(frozen=True)
class Overlap:
    """What a test row shares with the texts that a model was trained on (:mod:`regraft.data.contamination`)."""

    kind: str | None
    """exact, near, or None: the row is clean."""
    source: str | None
    """train or corpus; None where nothing is shared."""
    share: float
    """Share of the row's runs of words that the texts hold."""
    of: str | None
    """The training row or document that shares most; None where nothing is shared."""
