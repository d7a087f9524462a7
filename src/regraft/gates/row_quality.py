"""What speaks against single test rows: they overlap with training texts, or their label is suspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Overlap:
    """What a test row shares with the texts that a model was trained on (:mod:`regraft.data.contamination`)."""

    kind: str | None
    """exact, near, or None: the row is clean."""
    source: str | None
    """train or corpus."""
    share: float
    """Of the row's runs of words."""
    of: str | None
    """The training row or document."""


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong (:mod:`regraft.evaluation.label_issues`)."""

    suggested: str
    p_label: float
    """Probability that a model which did not see the row gives to its label."""
    p_suggested: float


@dataclass(frozen=True)
class Doubts:
    """By row id; None where nobody looked."""

    overlaps: Mapping[str, Overlap] | None = None
    """Of every test row."""
    suspects: Mapping[str, Suspect] | None = None
    """Of the test rows whose label is suspect."""


NO_DOUBTS = Doubts()
"""Nobody looked."""
