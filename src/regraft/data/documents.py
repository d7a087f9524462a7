"""The corpus: documents of unlabelled text.

A ``.txt`` file is cut at blank lines, one paragraph a document; tables hold one document a row in the text column. A
row that cannot be read is left out and counted: one bad line in millions is no reason to stop. Nothing is held: a
corpus may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regraft.core.errors import Problem
from regraft.data.formats import TEXTS, faults_of_file, open_text, suffix_of, whole_problem
from regraft.data.reading import read_file
from regraft.data.sources import Source, list_files, reject, reject_if


@dataclass(frozen=True)
class Document:
    """One document and where it starts (``file:line``)."""

    where: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """The documents of a corpus, and what of it cannot be read."""

    documents: Iterable[Document]
    """They come in the order of files and lines, and are read while they are asked for, once."""
    unreadable: list[tuple[str, str]]
    """``(where, reason)`` of the rows left out, complete when the documents have been read."""


def read_corpus(source: Source, column: str) -> Corpus:
    """The documents of ``source``. The last one is followed by :class:`DataRejected` when a file is unreadable or there is none."""
    unreadable: list[tuple[str, str]] = []
    return Corpus(_documents(source, list_files(source, TEXTS), column, unreadable), unreadable)


def _documents(source: Source, paths: list[tuple[Path, str]], column: str, unreadable: list[tuple[str, str]]) -> Iterator[Document]:
    problems: list[Problem] = []
    any_document = False
    for path, shown in paths:
        texts = read_paragraphs(path, shown, problems) if suffix_of(path) == ".txt" else _rows(path, shown, column, unreadable, problems)
        for document in texts:
            any_document = True
            yield document
    reject_if(source, problems)
    if not any_document:
        left_out = [Problem(message=reason, file=where, rule="corpus.document") for where, reason in unreadable]
        reject(f"{source.key}: {source.all_shown} holds no document", left_out or [Problem(message="no text", file=source.shown)])


def _rows(path: Path, shown: str, column: str, unreadable: list[tuple[str, str]], problems: list[Problem]) -> Iterator[Document]:
    for row in read_file(path, shown, (column,), (column,), problems):
        text, where = row.values.get(column), f"{row.file}:{row.number}"
        if text is not None:
            yield Document(where, text)
        else:
            unreadable.append((where, row.faults[0].reason if row.faults else f"{column} is missing"))


def read_paragraphs(path: Path, shown: str, problems: list[Problem]) -> Iterator[Document]:
    """The paragraphs of a .txt file; what is wrong with it as a whole goes to ``problems``."""
    with faults_of_file(path, shown, problems):
        if problem := whole_problem(path, shown):
            problems.append(problem)
            return
        with open_text(path) as handle:
            start, lines = 0, list[str]()
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    start = start if lines else number
                    lines.append(line)
                elif lines:
                    yield Document(f"{shown}:{start}", "".join(lines).strip())
                    lines = []
            if lines:
                yield Document(f"{shown}:{start}", "".join(lines).strip())
