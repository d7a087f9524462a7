"""One library's share of the demo, as bytes: the unit that is built, hashed and compared with the manifest."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from regraft.core.errors import EnvironmentFault
from regraft.data.docstrings import Docstring, find_package, read_library
from regraft.upkeep.demo_data.sentences import LIBRARIES, Document, Row, deal, gists

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "great_expectations": "great-expectations", "huggingface_hub": "huggingface-hub"}


@dataclass(frozen=True, slots=True)
class Share:
    """What one library brings: JSON lines of its rows and of its documents."""

    library: str
    version: str
    rows: bytes
    corpus: bytes

    def facts(self) -> dict[str, Any]:
        """The library's entry in a manifest."""
        return {
            "version": self.version,
            "rows": self.rows.count(b"\n"),
            "rows_sha256": hashlib.sha256(self.rows).hexdigest(),
            "documents": self.corpus.count(b"\n"),
            "corpus_bytes": len(self.corpus),
            "corpus_sha256": hashlib.sha256(self.corpus).hexdigest(),
        }


def versions() -> dict[str, str]:
    """The installed version of every library, without a local part: torch 2.13.0+cpu and 2.13.0+cu130 say the same.

    :raises EnvironmentFault: naming every library that is not installed.
    """
    installed: dict[str, str] = {}
    missing = []
    for library in LIBRARIES:
        try:
            installed[library] = version(_DISTRIBUTIONS.get(library, library)).partition("+")[0]
        except PackageNotFoundError:
            missing.append(library)
    if missing:
        raise EnvironmentFault(
            f"the demo reads the docstrings of {len(LIBRARIES)} libraries; not installed: {', '.join(missing)}",
            fix="pip install 'regraft[demo]'",
        )
    return installed


def read(library: str, installed: str, recurring: frozenset[str]) -> Share:
    """One installed library's share, without the rows that ``recurring`` names."""
    rows, documents = deal(library, _docstrings(library), recurring)
    return Share(library, installed, lines(rows), lines(documents))


def candidates(library: str) -> set[str]:
    """The gists of all sentences of one installed library that could be rows."""
    return gists(library, _docstrings(library))


def _docstrings(library: str) -> list[Docstring]:
    folder = find_package(library)
    if folder is None:
        raise EnvironmentFault(f"{library} is installed by its metadata, but there is no such package", fix="pip install 'regraft[demo]'")
    gc.disable()  # syntax trees are freed whole, by reference count
    try:
        return read_library(library, folder)
    finally:
        gc.enable()


def lines(items: Iterable[Row | Document]) -> bytes:
    """JSON lines, one object a line, keys in the order of the fields."""
    return "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items).encode()
