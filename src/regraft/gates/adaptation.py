"""Adapted against base: decides who the candidate is, and nothing else."""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import measured_finding, undefined
from regraft.gates.verdict import Finding


def judge(comparison: Comparison) -> Finding:
    """Whether adaptation paid, in the policy's first metric of all rows."""
    metric, confidence = comparison.case.policy.adaptation
    n = comparison.n
    if problem := undefined(comparison, metric, ("adapted", "base")):
        return Finding.in_words("adaptation", n, "info", f"{problem}, so base is the candidate.", against="base", metric=metric)
    difference = comparison.difference("adapted", "base", metric, confidence)
    sentence = words.comparison("adapted", "base", metric, comparison.scores["adapted"][metric], n, difference)
    paid = difference.outcome() == "pass"
    end = "adaptation paid, so adapted is the candidate" if paid else "adaptation did not pay here, so base is the candidate"
    return measured_finding("adaptation", "base", metric, difference, n, "info", f"{sentence}: {end}.")


def elected(finding: Finding) -> str:
    """The candidate after the finding of :func:`judge`: adapted only where all of its interval lies above 0."""
    return "adapted" if (finding.low or 0.0) > 0 else "base"
