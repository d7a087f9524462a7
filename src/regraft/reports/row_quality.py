"""The part of a page about single rows: those a model may have read before, and those whose label somebody should look at.

The evidence holds ids; test texts are in report/test.parquet, and of the suspect rows of every split the surest are kept
with their texts in report/suspects.parquet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
class RowEvidence:
    """What is known of single rows; a part is None where no gate asked for it."""

    overlapping: tuple[Overlapping, ...] | None
    """The rows that overlap most, at most SHOWN."""
    clean: int | None
    suspects: tuple[SuspectRow, ...] | None
    """Suspect rows of all splits, at most SHOWN: flipped rows first, then the surest."""
    suspects_found: int | None
    """How many of all labelled rows are suspect."""
    flips: Mapping[str, Any]
    """Other model -> flips on suspect labels, as in measurements.json."""


def row_evidence(evidence: Evidence, comparison: Comparison | None, measured: Mapping[str, Any]) -> RowEvidence | None:
    """What the page says, or None where nothing was asked about single rows."""
    quality = evidence.case.row_quality
    if quality.overlaps is None and quality.label_issues is None:
        return None
    overlaps, clean = None, None
    if quality.overlaps is not None:
        texts = dict(zip(evidence.test["id"], evidence.test["text"], strict=True)) if evidence.test else {}
        dirty = [(row, o) for row, o in quality.overlaps.items() if o.kind]
        overlapping = [Overlapping(row, texts.get(row), o.kind or "", o.source or "", o.share, o.of or "") for row, o in dirty]
        clean = len(quality.overlaps) - len(overlapping)
        overlaps = tuple(sorted(overlapping, key=lambda o: (o.kind != "exact", -o.share, o.id))[:SHOWN])
    rows = None if quality.label_issues is None or evidence.suspects is None else _suspects(evidence.suspects, _flipped(comparison))
    total = evidence.records.get("suspects", {}).get("metrics", {}).get("suspects")
    flips = measured.get("suspects", {}).get("flips", {}) if comparison else {}
    return RowEvidence(overlaps, clean, rows, None if total is None else int(total), flips)


def _flipped(comparison: Comparison | None) -> frozenset[str]:
    """Rows that only the champion gets right."""
    if comparison is None or "champion" not in comparison.paired.preds:
        return frozenset()
    return frozenset(comparison.paired.ids_of(comparison.paired.lost(comparison.candidate, "champion")))


def _suspects(columns: Mapping[str, list[Any]], flipped: frozenset[str]) -> tuple[SuspectRow, ...]:
    values = [columns[name] for name in ("id", "split", "text", "label", *DOUBT)]
    rows = [SuspectRow(*row) for row in zip(*values, [row in flipped for row in columns["id"]], strict=True)]
    return tuple(sorted(rows, key=lambda row: not row.flipped)[:SHOWN])
