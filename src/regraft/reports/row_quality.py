"""The part of a page about single rows: those a model may have read before, and those whose label somebody should look at.

The evidence holds ids; test texts are in report/test.parquet, and of the suspect rows of every split the surest are kept
with their texts in report/suspects.parquet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regraft.gates import negative_flips
from regraft.gates.comparison import Comparison
from regraft.gates.evidence.row_quality import DOUBT

if TYPE_CHECKING:
    from regraft.reports.evidence import Evidence

SHOWN = 20


@dataclass(frozen=True)
class Overlapping:
    """A test row that shares long runs of words with a text that was trained on."""

    id: str
    text: str | None
    kind: str
    source: str
    share: float
    of: str


@dataclass(frozen=True)
class SuspectRow:
    """A labelled row whose label is probably wrong."""

    id: str
    split: str
    text: str
    label: str
    suggested: str
    p_label: float
    p_suggested: float
    flipped: bool
    """The champion agreed with the label, the candidate does not."""


@dataclass(frozen=True)
class RowDoubts:
    """What is known; None where no gate asked."""

    overlapping: tuple[Overlapping, ...] | None
    """At most SHOWN, those that overlap most first."""
    clean: int | None
    suspects: tuple[SuspectRow, ...] | None
    """At most SHOWN of all splits: flipped rows first, then the surest."""
    suspects_found: int | None
    """Of all labelled rows."""
    flips: Mapping[str, Any]
    """Other model -> flips on suspect labels, as in measurements.json."""


def row_doubts(evidence: Evidence, comparison: Comparison | None, confidence: float) -> RowDoubts | None:
    """What the page says, or None where nothing was asked about single rows."""
    known = evidence.case.row_quality
    if known.overlaps is None and known.label_issues is None:
        return None
    overlaps, clean = None, None
    if known.overlaps is not None:
        texts = dict(zip(evidence.test["id"], evidence.test["text"], strict=True)) if evidence.test else {}
        dirty = [(row, o) for row, o in known.overlaps.items() if o.kind]
        found = [Overlapping(row, texts.get(row), o.kind or "", o.source or "", o.share, o.of or "") for row, o in dirty]
        clean = len(known.overlaps) - len(found)
        overlaps = tuple(sorted(found, key=lambda o: (o.kind != "exact", -o.share, o.id))[:SHOWN])
    rows = None if known.label_issues is None or evidence.suspects is None else _suspects(evidence.suspects, _flipped(comparison))
    total = evidence.records.get("suspects", {}).get("metrics", {}).get("suspects")
    flips = negative_flips.measured(comparison, confidence).get("suspects", {}).get("flips", {}) if comparison else {}
    return RowDoubts(overlaps, clean, rows, None if total is None else int(total), flips)


def _flipped(comparison: Comparison | None) -> frozenset[str]:
    """Rows that only the champion gets right."""
    if comparison is None or "champion" not in comparison.paired.preds:
        return frozenset()
    return frozenset(comparison.paired.ids_of(comparison.paired.lost(comparison.candidate, "champion")))


def _suspects(columns: Mapping[str, list[Any]], flipped: frozenset[str]) -> tuple[SuspectRow, ...]:
    known = [columns[name] for name in ("id", "split", "text", "label", *DOUBT)]
    found = [SuspectRow(*row) for row in zip(*known, [row in flipped for row in columns["id"]], strict=True)]
    return tuple(sorted(found, key=lambda row: not row.flipped)[:SHOWN])
