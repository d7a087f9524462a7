"""General text: what a model knew before it was adapted is measured on it.

A path of the user's, read like a corpus, or the docstrings of Python's standard library: general technical English
that is on every machine already. They are read from source files by ``ast``; nothing is imported.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.progress import current
from regraft.data.docstrings import read_library, read_module
from regraft.data.documents import read_corpus
from regraft.data.sources import Source

KEY = "gates.forgetting.text"
HELD_OUT = 5
"""One document in so many is measured on and never trained on."""


def general_documents(text: str | None, digest: str | None, column: str, key: str = KEY) -> Iterator[tuple[list[str], list[bool]]]:
    """``([text], [held out])`` of every document, equal ones once; a hash of its text decides whether it is held out.

    :param text: a file or folder, relative to the current folder; None: the docstrings of the standard library.
    :param digest: that of ``text`` when the run began; None without ``text``.
    :param column: of tables, the column that holds the text.
    :param key: of the pipeline file, where ``text`` is named.
    :raises DataRejected: a file cannot be read, or there is no document.
    :raises EnvironmentFault: the files are not those of ``digest``.
    """
    if text is not None and files.digest(Path(text)) != digest:
        raise EnvironmentFault(f"{key} ({text}) changed since the run began; nothing was kept", fix=f"regraft run {current().pipeline}")
    digests: set[str] = set()
    for document in _standard_library() if text is None else _documents(text, column, key):
        text_digest = files.sha256_text(document)
        if text_digest not in digests:
            digests.add(text_digest)
            yield [document], [int(text_digest, 16) % HELD_OUT == 0]


def _documents(text: str, column: str, key: str) -> Iterator[str]:
    return (document.text for document in read_corpus(Source(key, Path(text), text), column).documents)


def _standard_library() -> Iterator[str]:
    """Its docstrings; those of Python 3.11.7 are 460,000 tokens of the demo's base model and take 6.7 s of CPU to read and pack."""
    folder = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names):
        if (folder / name).is_dir():
            yield from (docstring.text for docstring in read_library(name, folder / name))
        elif (folder / f"{name}.py").is_file():
            yield from (docstring.text for docstring in read_module(name, (folder / f"{name}.py").read_bytes()))
