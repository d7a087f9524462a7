"""Rows that were dropped because they repeat another one, whose label is not that one's: one of the two is wrong, and nobody was asked.

Where texts are split no label is known (:mod:`regraft.data.splitting`), so the labels are looked up afterwards, where rows and
splits meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from regraft.core.quantities import counted, first_of
from regraft.data.dedup import normalise


@dataclass(frozen=True)
class Contradiction:
    """A row that went, and the row that stayed in its place."""

    id: str
    label: str
    text: str
    of: str
    of_label: str
    of_text: str
    of_split: str
    kind: Literal["exact", "near"]
    """The same words, or nearly the same."""


def find(rows: Path, splits: Path, dropped: Path) -> list[Contradiction]:
    """The contradictions in what ``contract`` (``rows``) and ``splits`` (``splits``, its evidence ``dropped``) left, sorted by id."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    pairs = pq.read_table(dropped, filters=[("reason", "=", "labelled")]).sort_by("id").to_pylist()
    if not pairs:
        return []
    wanted = sorted({key for pair in pairs for key in (pair["id"], pair["of"])})
    table = ds.dataset(rows).to_table(columns=["id", "label", "text"], filter=pc.field("id").isin(wanted))
    row = {each["id"]: each for each in table.to_pylist()}
    split = dict(zip(*pq.read_table(splits, filters=[("id", "in", wanted)]).select(["id", "split"]).to_pydict().values(), strict=True))
    return [
        Contradiction(
            *(pair["id"], gone["label"], gone["text"]),
            *(pair["of"], stayed["label"], stayed["text"], split[pair["of"]]),
            kind="exact" if normalise(gone["text"]) == normalise(stayed["text"]) else "near",
        )
        for pair in pairs
        if (gone := row[pair["id"]])["label"] != (stayed := row[pair["of"]])["label"]
    ]


def columns(contradictions: Sequence[Contradiction]) -> dict[str, list[Any]]:
    """As a table."""
    names = Contradiction.__dataclass_fields__
    return {name: [asdict(each)[name] for each in contradictions] for name in names}


def sentence(table: Mapping[str, Sequence[Any]]) -> str | None:
    """The contradictions, as :func:`columns` has them, in words; None where there are none."""
    if not (count := len(table["id"])):
        return None
    shown = [
        f"{key} ({label!r}) for {of} ({of_label!r})"
        for key, label, of, of_label in zip(*(table[name] for name in ("id", "label", "of", "of_label")), strict=True)
    ]
    exact = list(table["kind"]).count("exact")
    rows = f"{counted(count, 'row')} {'repeats' if count == 1 else 'repeat'} a row with another label"
    return f"{rows} ({exact} word for word, {count - exact} nearly) and {'was' if count == 1 else 'were'} dropped: {first_of(shown)}"
