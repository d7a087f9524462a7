"""What speaks against single test rows: they overlap with training texts, or their label is suspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regraft.data.contamination import Overlap
from regraft.evaluation.label_issues import Suspect


@dataclass(frozen=True)
class RowQuality:
    """What speaks against single test rows, by their ids; None where nobody looked."""

    overlaps: Mapping[str, Overlap] | None = None
    """What every test row shares with training texts."""
    label_issues: Mapping[str, Suspect] | None = None
    """What the label of a row should rather be, of the test rows whose label is suspect."""


UNKNOWN = RowQuality()
"""Nobody looked."""
