"""Given splits, checked: rows of one split that repeat a row of another, word for word or nearly.

Splits that come with data often overlap; a model that saw a test row in training is not tested by it. Which row goes is
decided where texts are dealt out (:mod:`.splitting`: test beats dev beats train); here it is counted and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.core import progress
from regraft.data.dedup import normalise
from regraft.data.split import Split
from regraft.data.splitting import Dropped
from regraft.data.tables import write_table


@dataclass(frozen=True)
class Leak:
    """A row that was taken out of ``split``, and the row of another split that it repeats."""

    id: str
    split: Split
    of: str
    of_split: Split
    exact: bool
    """The same words; otherwise nearly the same."""


def leaks(dropped: Iterable[Dropped], splits: Mapping[str, Split], texts: Sequence[tuple[str, str]]) -> list[Leak]:
    """The labelled rows among ``dropped`` whose twin lies in another split; ``texts`` are (id, text)."""
    pairs = [(item.id, item.of) for item in dropped if item.reason == "labelled" and item.of is not None]
    across = [(key, of) for key, of in pairs if splits[key] != splits[of]]
    compared = {key for pair in across for key in pair}
    text = {key: normalise(words) for key, words in texts if key in compared}
    return [Leak(key, splits[key], of, splits[of], text[key] == text[of]) for key, of in across]


def report(leaked: Sequence[Leak], path: Path, key: str = "data.split") -> dict[str, int]:
    """Write the leaks to ``path``, warn whoever watches, and return how many there are; ``key`` says what gave the splits."""
    columns = {name: [getattr(leak, name) for leak in leaked] for name in ("id", "split", "of", "of_split")}
    write_table(path, {**columns, "kind": ["exact" if leak.exact else "near" for leak in leaked]})
    exact = sum(leak.exact for leak in leaked)
    if leaked:
        context = progress.current()
        listing = f"artifacts/{context.pipeline}/{context.step}/evidence/{path.name}"
        progress.emit("warning", message=f"{sentence(leaked, key)}; listed in {listing}")
    return {"leaked_exact": exact, "leaked_near": len(leaked) - exact}


def sentence(leaked: Sequence[Leak], key: str = "data.split") -> str:
    """The leaks in words: how many, how alike, and between which splits."""
    between = Counter((leak.split, leak.of_split) for leak in leaked)
    counts = ", ".join(f"{count} of {split} in {other}" for (split, other), count in sorted(between.items()))
    exact = sum(leak.exact for leak in leaked)
    rows = f"{len(leaked)} row{'s' * (len(leaked) > 1)}"
    alike = f"{exact} word for word, {len(leaked) - exact} nearly"
    return f"{key}: {rows} repeat a row of another split ({alike}) and were taken out: {counts}"
