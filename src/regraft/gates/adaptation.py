"""Adapted against base: decides who the candidate is, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from regraft.gates import words
from regraft.gates.finding import measured_finding, undefined
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


Effect = Literal["paid", "did not pay", "not shown"]
WORDS: Mapping[Effect, str] = {
    "paid": "adaptation paid, so adapted is the candidate",
    "did not pay": "adaptation did not pay here, so base is the candidate",
    "not shown": "whether adaptation pays is not shown, so base is the candidate",
}


def judge(comparison: Comparison) -> Finding:
    """Whether adaptation paid, in the policy's first metric of all rows."""
    metric, confidence = comparison.case.policy.adaptation
    n = comparison.n
    if problem := undefined(comparison, metric, ("adapted", "base")):
        return Finding.without_number("adaptation", n, "info", "undefined", against="base", metric=metric, **problem)
    difference = comparison.difference("adapted", "base", metric, confidence)
    facts = {"model": "adapted", "score": comparison.scores["adapted"][metric], "paid": difference.outcome() == "pass"}
    return measured_finding("adaptation", "base", metric, difference, n, "info", **facts)


def elected(finding: Finding) -> str:
    """The candidate after the finding of :func:`judge`: adapted only where all of its interval lies above 0."""
    return "adapted" if (finding.low or 0.0) > 0 else "base"


def sentence(f: words.Document) -> str:
    """The finding in words."""
    if f["code"] == "undefined":
        return f"{words.undefined(f)}, so base is the candidate."
    return words.ended(f"{words.comparison(f)}: {WORDS[effect(f)]}", f)


def effect(f: words.Document) -> Effect:
    """What the interval of a stored finding shows."""
    return "paid" if f["low"] > 0 else "did not pay" if f["high"] <= 0 else "not shown"
