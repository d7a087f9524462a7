"""``non_inferior_by``: the interval of candidate minus another model must lie above minus a margin, on all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from regraft.gates import words
from regraft.gates.finding import compared, measured_finding
from regraft.gates.options import CONFIDENCE, Clean, Confidence, MetricOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class NonInferior(MetricOptions):
    """The candidate may not be worse than another model by more than a margin."""

    gate: ClassVar[str] = "non_inferior_by"
    non_inferior_by: float = Field(ge=0, le=1)
    """The interval of candidate minus `against` must lie above minus this margin."""
    against: Literal["champion", "tfidf"] = "champion"
    """What the candidate must not be worse than."""
    rows: Clean = None
    confidence: Confidence = CONFIDENCE


def judge(asked: NonInferior, comparison: Comparison) -> Finding:
    """The candidate's lead, which may be negative by the margin; of slices :mod:`regraft.gates.slice_gate` asks the same."""
    lead = comparison.difference(comparison.candidate, asked.against, asked.metric, asked.confidence, -asked.non_inferior_by)
    facts = compared(comparison, asked.against, asked.metric)
    return measured_finding("non_inferior_by", asked.against, asked.metric, lead, comparison.n, lead.outcome(), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return words.ended(f"{words.comparison(f)}, {words.margin(f)}", f)


def _failed(f: words.Document) -> str:
    return f"it is worse than {words.spoken(f['against'])} by more than is allowed"


NOT_WORSE = "not worse than the one in production, within the margin allowed,"
NON_INFERIOR = Gate(
    NonInferior,
    judge,
    sentence,
    limit="above",
    requirement="not worse than",
    against=lambda asked: asked.against,
    failed=_failed,
    passed=NOT_WORSE,
)
