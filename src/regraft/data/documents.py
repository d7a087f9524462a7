"""The corpus: documents of unlabelled text.

A ``.txt`` file is cut at blank lines, one paragraph a document; tables hold one document a row in the text column. A
row that cannot be read is left out and counted: one bad line in millions is no reason to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regraft.data.formats import TEXTS, faults_of_file, open_text, suffix_of, whole_problem
from regraft.data.reading import read_file
from regraft.data.sources import Source, list_files, reject, reject_if
from regraft.errors import Problem


@dataclass(frozen=True)
class Document:
    """One document and where it starts (``file:line``)."""

    where: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """What a corpus holds: its documents in the order of files and lines, and ``(where, reason)`` of the unreadable."""

    documents: list[Document]
    unreadable: list[tuple[str, str]]


def read_corpus(source: Source, column: str) -> Corpus:
    """All documents of ``source``; :class:`DataRejected` when a file is unreadable or there is no document at all."""
    problems: list[Problem] = []
    found = Corpus([], [])
    for path, shown in list_files(source, TEXTS):
        if suffix_of(path) == ".txt":
            found.documents.extend(read_paragraphs(path, shown, problems))
            continue
        for row in read_file(path, shown, (column,), (column,), problems):
            text, where = row.values.get(column), f"{row.file}:{row.number}"
            if text is not None:
                found.documents.append(Document(where, text))
            else:
                found.unreadable.append((where, row.faults[0].reason if row.faults else f"{column} is missing"))
    reject_if(source, problems)
    if not found.documents:
        first = [Problem(message=reason, file=where, rule="corpus.document") for where, reason in found.unreadable]
        reject(f"{source.key}: {source.all_shown} holds no document", first or [Problem(message="no text", file=source.shown)])
    return found


def read_paragraphs(path: Path, shown: str, problems: list[Problem]) -> Iterator[Document]:
    """The paragraphs of a .txt file; what is wrong with it as a whole goes to ``problems``."""
    with faults_of_file(path, shown, problems):
        if wrong := whole_problem(path, shown):
            problems.append(wrong)
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
