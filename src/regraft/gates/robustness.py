"""``robustness``: CheckList's invariance tests; the worst one is the finding (:mod:`regraft.gates.probes`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from regraft.core.strict import Strict
from regraft.evaluation.probe_options import Invariance
from regraft.gates import budgets, changed_texts, words
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.probes import ONCE, PROBES, Wording, judge_family, measured, sentence_of
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for test rows that get another answer after a change that says nothing: CheckList's invariance tests
    (Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList")."""

    max_failure_rate: float = Field(gt=0, lt=1)
    """Share of the changed rows that get another answer; the whole interval of every test must lie at or below it."""
    tests: tuple[Invariance, ...] = ("typos", "case", "punctuation", "whitespace", "length")
    """`typos`: two neighbouring letters swapped; `case`: no capitals, or nothing else; `punctuation`: the last mark taken away or
    added; `whitespace`: a line break for a blank; `length`: one more sentence."""
    sentence: str = Field("Thank you.", min_length=1)
    """What `length` adds at the end. Write one that says nothing, in the language of the rows."""
    min_rows: int = Field(30, ge=10)
    """A test that can change fewer rows is counted and not judged."""

    @model_validator(mode="after")
    def _each_test_once(self) -> Self:
        if not self.tests or len(set(self.tests)) < len(self.tests):
            raise ValueError("a test stands twice in `tests`" if self.tests else "`tests` is empty; take it out for all of them")
        return self


class Robustness(GateOptions):
    """A limit to how often an answer changes that should stay."""

    gate: ClassVar[str] = "robustness"
    robustness: Budget
    """The share of rows whose answer a typo, capitals, a mark, a line break or one more sentence changes, held against a budget."""
    confidence: Confidence = CONFIDENCE


CHANGES = {
    "typos": "after a typo",
    "case": "in other capitals",
    "punctuation": "after a change of the last mark",
    "whitespace": "after a line break",
    "length": "after one more sentence",
}
WORDING = Wording("test", CHANGES.__getitem__, "no test row can be changed by these tests", "can be changed by one test")


def judge(gate: Robustness, comparison: Comparison) -> Finding:
    """The share of rows that a change turns which says nothing, test by test."""
    options = gate.robustness
    return judge_family("robustness", comparison, options.max_failure_rate, options.min_rows, gate.confidence)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return sentence_of(f, WORDING)


ROBUSTNESS = Gate(
    Robustness,
    judge,
    sentence,
    show=words.percent,
    evidence=(PROBES,),
    measured=measured,
    once=ONCE,
    change=lambda f: budgets.change_of("robustness, on the test that decides", f, words.percent),
    remedy="test rows that it can be asked of",
    failed=lambda _: "its answers change too often with a typo, capitals or a mark",
    section=changed_texts.section,
)
