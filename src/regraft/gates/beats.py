"""``beats``: the interval of candidate minus another model must lie above 0; fails when all of it lies below.

A first model has no champion to beat; a champion that cannot be scored leaves the question open (:mod:`regraft.gates.judging`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from regraft.gates import words
from regraft.gates.finding import compared, measured_finding
from regraft.gates.options import CONFIDENCE, Clean, Confidence, MetricOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Beats(MetricOptions):
    """The candidate has to be better than another model."""

    gate: ClassVar[str] = "beats"
    beats: Literal["champion", "tfidf"]
    """The paired-bootstrap interval of candidate minus this model must lie above 0."""
    rows: Clean = None
    confidence: Confidence = CONFIDENCE


def judge(asked: Beats, comparison: Comparison) -> Finding:
    """The candidate's lead over the model to beat."""
    against = asked.beats
    lead = comparison.difference(comparison.candidate, against, asked.metric, asked.confidence)
    facts = compared(comparison, against, asked.metric)
    return measured_finding("beats", against, asked.metric, lead, comparison.n, lead.outcome(), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return words.ended(words.comparison(f), f)


def _failed(f: words.Document) -> str:
    return f"it is worse than {words.spoken(f['against'])}"


BETTER = "better than the one in production"
BEATS = Gate(
    Beats,
    judge,
    sentence,
    limit="above",
    requirement="better than",
    against=lambda asked: asked.beats,
    failed=_failed,
    passed=BETTER,
    undecided=BETTER,
)
