"""The corpus: documents of unlabelled text.

A ``.txt`` file is cut at blank lines, one paragraph a document; tables hold one document a row in the text column. A
row that cannot be read is left out and counted: one bad line in millions is no reason to stop. Nothing is held: a
corpus may be larger than memory.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from regraft.core.errors import Problem
from regraft.core.progress import warn_once
from regraft.data.formats import TEXTS, faults_of_file, open_text, suffix_of, whole_problem
from regraft.data.reading import read_file
from regraft.data.rows import present
from regraft.data.sources import Source, list_files, reject, reject_if

MANY_LINES = 20
"""A text file of so many lines without a blank one may be a document a line."""


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
    whole_files: list[str] = field(default_factory=list)
    """What is said of text files without a blank line, which are one document each; complete likewise."""


def read_corpus(source: Source, column: str) -> Corpus:
    """The documents of ``source``. The last one is followed by :class:`DataRejected` when a file is unreadable or there is none."""
    corpus = Corpus((), [])
    return replace(corpus, documents=_documents(source, list_files(source, TEXTS), column, corpus))


def _documents(source: Source, paths: list[tuple[Path, str]], column: str, corpus: Corpus) -> Iterator[Document]:
    unreadable, problems = corpus.unreadable, list[Problem]()
    any_document = False
    for path, shown in paths:
        if suffix_of(path) == ".txt":
            texts = read_paragraphs(path, shown, problems, corpus.whole_files)
        else:
            texts = _rows(path, shown, column, unreadable, problems, tsv_quoted=source.tsv_quoted)
        for document in texts:
            if present(document.text) is None:  # zero-width characters and the like
                unreadable.append((document.where, "nothing of it can be seen"))
                continue
            any_document = True
            yield document
    for note in corpus.whole_files:
        warn_once(note)
    reject_if(source, problems)
    if not any_document:
        left_out = [Problem(message=reason, file=where, rule="corpus.document") for where, reason in unreadable]
        reject(f"{source.key}: {source.all_shown} holds no document", left_out or [Problem(message="no text", file=source.shown)])


def _rows(
    path: Path, shown: str, column: str, unreadable: list[tuple[str, str]], problems: list[Problem], *, tsv_quoted: bool
) -> Iterator[Document]:
    for row in read_file(path, shown, (column,), (column,), problems, tsv_quoted=tsv_quoted):
        text, where = row.values.get(column), f"{row.file}:{row.number}"
        if text is not None:
            yield Document(where, text)
        else:
            unreadable.append((where, row.faults[0].reason if row.faults else f"{column} is missing"))


def read_paragraphs(path: Path, shown: str, problems: list[Problem], whole_files: list[str] | None = None) -> Iterator[Document]:
    """The paragraphs of a .txt file; what is wrong with it as a whole goes to ``problems``.

    ``whole_files`` gets a note where many lines without a blank one between them are read as one document.
    """
    with faults_of_file(path, shown, problems):
        if problem := whole_problem(path, shown):
            problems.append(problem)
            return
        with open_text(path) as handle:
            start, number, blank, lines = 0, 0, 0, list[str]()
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    start = start if lines else number
                    lines.append(line)
                    continue
                blank += 1
                if lines:
                    yield Document(f"{shown}:{start}", "".join(lines).strip())
                    lines = []
            if lines:
                yield Document(f"{shown}:{start}", "".join(lines).strip())
            if number >= MANY_LINES and not blank and whole_files is not None:
                apart = f"where every line is one, put a blank line between them: {_a_line_each(shown)}"
                whole_files.append(f"{shown}: {number:,} lines and no blank one are read as 1 document; {apart}")


def _a_line_each(shown: str) -> str:
    name, mended = shlex.quote(shown), shlex.quote(shown.removesuffix(".txt") + ".paragraphs.txt")
    if shown.endswith(".gz"):
        return f"gunzip -c {name} | sed G | gzip > paragraphs.gz && mv paragraphs.gz {name}"
    return f"sed G {name} > {mended} && mv {mended} {name}"
