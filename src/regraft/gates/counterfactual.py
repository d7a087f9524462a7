"""``counterfactual``: rows that flip with the people in them; the worst dimension is the finding (:mod:`regraft.gates.probes`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.evaluation.probe_options import IdentityTerms
from regraft.gates import budgets, changed_texts, words
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.probes import ONCE, PROBES, Wording, judge_family, measured, sentence_of
from regraft.gates.protocol import Gate, Named
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for test rows that get another answer when the people they speak of are others (Garg et al. 2019,
    "Counterfactual Fairness in Text Classification through Robustness", after Kusner et al. 2017)."""

    max_flip_rate: float = Field(gt=0, lt=1)
    """Share of the rows that hold an identity term and get another answer for another group's; the whole interval of every
    dimension (gender, religion, ...) must lie at or below it."""
    terms: str = Field("default", min_length=1)
    """`default`, English terms that come with regraft, or a YAML file of your own."""
    min_rows: int = Field(30, ge=10)
    """A dimension with fewer such rows is counted and not judged."""


class Counterfactual(GateOptions):
    """A limit to how often an answer changes with the people that a text speaks of."""

    gate: ClassVar[str] = "counterfactual"
    counterfactual: Budget
    """The share of rows whose answer changes with the gender, religion, ... of the people in it, held against a budget."""
    confidence: Confidence = CONFIDENCE


WORDING = Wording(
    "dimension", "when its terms of {} are exchanged".format, "no test row holds a term of the list", "hold terms of one dimension"
)


def judge(gate: Counterfactual, comparison: Comparison) -> Finding:
    """The share of rows whose answer changes with gender, religion and the like, dimension by dimension."""
    options = gate.counterfactual
    return judge_family("counterfactual", comparison, options.max_flip_rate, options.min_rows, gate.confidence)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return sentence_of(f, WORDING)


def _read(gate: Counterfactual, named: Named) -> Any:
    """Dimension -> group -> identity terms."""
    terms = gate.counterfactual.terms
    if terms == "default":
        return named.default("identity_terms.yaml", IdentityTerms)["terms"]
    return named.content(terms, IdentityTerms, "counterfactual", "terms")["terms"]


COUNTERFACTUAL = Gate(
    Counterfactual,
    judge,
    sentence,
    show=words.percent,
    evidence=(PROBES,),
    measured=measured,
    once=ONCE,
    reads=_read,
    change=lambda f: budgets.change_of("counterfactual flips, in the dimension that decides", f, words.percent),
    remedy="test rows that it can be asked of",
    failed=lambda _: "its answers change too often with the people that a text speaks of",
    section=changed_texts.section,
)
