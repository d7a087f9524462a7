"""Which library does this sentence belong to: the labelled rows, and the text that is left for adaptation.

A row is the first paragraph of one object's docstring with the library's own names masked. Rows are chosen by the
hash of the object's dotted path, one library at a time, so that a new version of one library leaves the rows of
the others as they were.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from regraft.data.docstrings import Docstring

ROWS = 200
"""Labelled rows of each library."""
FIRST_DOCUMENT = "c"
"""Ids from here on, one docstring in four, may be documents: 2.4 million tokens, of which the demo reads 75,000. Rows are chosen from the
other end."""
SHORTEST, LONGEST = 30, 200
"""Characters of a row."""
MASK = "<lib>"
"""The same token for every library, so that the mask itself does not say which."""

NAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # library: (names, masked inside identifiers too, as in PeftModel; short aliases, masked as whole words)
    "numpy": (("numpy",), ("np",)),
    "scipy": (("scipy",), ("sp",)),
    "sklearn": (("sklearn", "scikit-learn", "scikit learn", "scikit_learn"), ()),
    "torch": (("pytorch", "torch"), ()),
    "pandas": (("pandas",), ("pd",)),
    "transformers": (("transformers",), ()),
    "peft": (("peft",), ()),
    "datasets": (("datasets",), ()),
    "mlflow": (("mlflow", "ml flow"), ()),
    "prefect": (("prefect",), ()),
    "great_expectations": (("great_expectations", "great expectations", "great-expectations", "greatexpectations"), ("gx", "ge")),
    "sqlalchemy": (("sqlalchemy",), ("sa",)),
    "matplotlib": (("matplotlib", "pyplot", "pylab"), ("mpl", "plt")),
    "networkx": (("networkx",), ("nx",)),
    "huggingface_hub": (
        ("huggingface_hub", "huggingface-hub", "huggingface hub", "hugging face hub", "huggingface", "hugging face"),
        ("hf",),
    ),
    "pydantic": (("pydantic",), ()),
}
LIBRARIES = tuple(NAMES)

# Doctests, directives, links, rules, lists, assignments, decorators and headed sections run into one line: markup, not a sentence.
_MARKUP = re.compile(
    r">>>|::|\.\. |https?://|----|====|\{\{|@\w+ |=.*=.*=| - .* - |^\W|:$|\*optional\*|^\w+ \(|^\w+:\s|"
    r"(?i:\b(?:args|arguments|parameters|params|returns?|raises|yields|attributes|examples?|notes?|usage)\s?:)|:(?:param|return|type|rtype)\b"
)
_WORD = re.compile(r"[A-Za-z][a-z]+")
_PLAIN = re.compile(r"[A-Za-z][a-z]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled sentence. ``source`` is the module it comes from."""

    id: str
    text: str
    label: str
    source: str


@dataclass(frozen=True, slots=True)
class Document:
    """One docstring of the corpus, as it was written: the corpus has no labels to give away."""

    id: str
    text: str
    source: str


def masker(library: str) -> re.Pattern[str]:
    """What :data:`MASK` replaces in the rows of ``library``, in any case."""
    inside, words = NAMES[library]
    names = [re.escape(name) for name in sorted(inside, key=len, reverse=True)]
    aliases = [rf"(?<![A-Za-z0-9_]){re.escape(alias)}(?![A-Za-z0-9_])" for alias in words]
    return re.compile("|".join(names + aliases), re.IGNORECASE)


def sentence(text: str, mask: re.Pattern[str]) -> str | None:
    """The first paragraph on one line with names masked, or None when that is no prose of 30-200 characters."""
    paragraph = " ".join(text.split("\n\n", 1)[0].split())
    if not SHORTEST <= len(paragraph) <= LONGEST or _MARKUP.search(paragraph):
        return None
    masked = mask.sub(MASK, paragraph)
    prose = len(_WORD.findall(masked)) >= 5 and sum(c.isalpha() or c == " " for c in masked) >= 0.8 * len(masked)
    return masked if prose and SHORTEST <= len(masked) <= LONGEST else None


def gist(text: str) -> str:
    """What the wordings of one boilerplate share: plain words in lower case, no identifiers, numbers or punctuation."""
    words = (word.strip(".,;:!?()'\"*`") for word in text.replace(MASK, "").split())
    return " ".join(word for word in words if _PLAIN.fullmatch(word)).lower()


def identify(docstring: Docstring) -> str:
    """A stable id: it depends on the object's dotted path alone."""
    return hashlib.sha256(f"{docstring.name}#{docstring.nth}".encode()).hexdigest()[:16]


def deal(library: str, docstrings: Iterable[Docstring], recurring: frozenset[str]) -> tuple[list[Row], list[Document]]:
    """(rows by id, documents in source order) of one library; ``recurring`` gists, shared by libraries, become no rows.

    Of the docstrings one in four is a document. The objects of rows are none, nor are objects that open with the very sentence of a row.
    """
    mask = masker(library)
    candidates = {identify(docstring): (docstring, sentence(docstring.text, mask)) for docstring in docstrings}
    rows: dict[str, Row] = {}
    for identity in sorted(candidates):
        docstring, text = candidates[identity]
        if text is not None and (key := gist(text)) not in rows and key not in recurring:
            rows[key] = Row(identity, text, library, docstring.module)
            if len(rows) == ROWS:
                break
    names = {candidates[row.id][0].name for row in rows.values()}
    texts = {row.text for row in rows.values()}
    documents = [
        Document(identity, docstring.text, docstring.module)
        for identity, (docstring, text) in candidates.items()
        if identity >= FIRST_DOCUMENT and docstring.name not in names and text not in texts
    ]
    return sorted(rows.values(), key=lambda row: row.id), documents


def gists(library: str, docstrings: Iterable[Docstring]) -> set[str]:
    """The gist of every sentence of one library that could be a row."""
    mask = masker(library)
    return {gist(text) for docstring in docstrings if (text := sentence(docstring.text, mask)) is not None}
