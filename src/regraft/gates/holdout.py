"""``holdout``: the same test rows must not have decided more often than they may; a worn set leaves the question open."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import FindingOutcome
from regraft.gates import words
from regraft.gates.options import GateOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for decisions on the same test rows; each one tells the next candidate a little about them."""

    budget: int = Field(ge=1)
    """Decisions that may be taken before fresh test rows are asked for."""


class Holdout(GateOptions):
    """A limit to how often the same rows decide."""

    gate: ClassVar[str] = "holdout"
    holdout: Budget
    """How often these test rows have decided, held against a budget."""


def judge(asked: Holdout, comparison: Comparison) -> Finding:
    """Decisions taken on these test rows against their budget."""
    decisions, budget = comparison.case.decisions, asked.holdout.budget
    if decisions is None:
        return Finding.without_number("holdout", comparison.n, "inconclusive", "not_counted")
    outcome: FindingOutcome = "pass" if decisions <= budget else "inconclusive"
    counted = float(decisions)  # exact, so its interval is itself
    return Finding("holdout", None, None, counted, counted, counted, float(budget), comparison.n, outcome)


def sentence(f: words.Document) -> str:
    """The finding in words: how worn the test rows are."""
    if f["code"] == "not_counted":
        return "decisions on these test rows were not counted."
    decisions, budget = f["value"], f["threshold"]
    taken = f"{decisions:,.0f} different decisions have been taken on these test rows, this one included"
    if decisions == 1:
        taken = "this is the first decision on these test rows"
    if decisions <= budget:
        return f"{taken}; the budget is {budget:,.0f}."
    worn = "what they say is no longer independent of the models they chose; label fresh rows, and let them test: regraft renew-test"
    return f"{taken}, and the budget is {budget:,.0f}: {worn}."


def _change(f: words.Document) -> str:
    return f"fresh test rows: {sentence(f)}" if f["outcome"] == "inconclusive" else ""


WORN = "the test rows have decided too often to be believed; label fresh ones"
HOLDOUT = Gate(Holdout, judge, sentence, show="{:,.0f}".format, change=_change, remedy="fresh test rows", unsettled=WORN)
