"""What speaks against single test rows: they overlap with training texts, or their label is suspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regraft.data.contamination import Overlap
from regraft.evaluation.label_issues import Suspect


@dataclass(frozen=True)
class RowQuality:
    """By row id; None where nobody looked."""

    overlaps: Mapping[str, Overlap] | None = None
    """Of every test row."""
    label_issues: Mapping[str, Suspect] | None = None
    """Of the test rows whose label is suspect."""


UNKNOWN = RowQuality()
"""Nobody looked."""
