"""``at_least``: the candidate's interval must not reach below a floor; fails when all of it lies below."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from regraft.gates import words
from regraft.gates.finding import measured_finding
from regraft.gates.options import CONFIDENCE, Clean, Confidence, MetricOptions
from regraft.gates.protocol import FLOOR, Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class AtLeast(MetricOptions):
    """A floor for the candidate's own score."""

    gate: ClassVar[str] = "at_least"
    at_least: float = Field(ge=-1, le=1)
    """The lower end of the candidate's interval must reach this value."""
    rows: Clean = None
    confidence: Confidence = CONFIDENCE

    @model_validator(mode="after")
    def _the_floor_asks_something(self) -> Self:
        if self.metric == "log_loss":
            raise ValueError("log_loss is better when it is lower, so `at_least` is no floor; use `beats` or `non_inferior_by`")
        if self.at_least < 0 and self.metric != "mcc":
            raise ValueError(f"{self.metric} is never below 0, so at_least: {self.at_least:g} asks nothing")
        return self


def judge(asked: AtLeast, comparison: Comparison) -> Finding:
    """The candidate's score against the floor."""
    score = comparison.score(comparison.candidate, asked.metric, asked.confidence, asked.at_least)
    outcome = score.outcome(or_equal=True)
    return measured_finding("at_least", None, asked.metric, score, comparison.n, outcome, model=comparison.candidate)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    side = {"pass": "not below", "fail": "below", "inconclusive": "an interval that contains"}[f["outcome"]]
    return words.ended(f"{words.score(f, f['value'])} ({words.spread(f)}), {side} the floor of {words.number(f['threshold'])}", f)


AT_LEAST = Gate(AtLeast, judge, sentence, limit="at least", requirement=FLOOR)
