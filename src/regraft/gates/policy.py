"""What a candidate has to prove, and the function that decides whether it did.

Of two candidates, ``adapted`` is chosen only if its interval against ``base`` lies above 0; otherwise ``base`` is
the candidate, and that comparison never fails a run by itself (:mod:`regraft.gates.adaptation`). Of any number, dev rows choose
(:mod:`regraft.gates.choice`). The chosen one then
answers the policy's gates, one finding each, in their order (:mod:`regraft.gates.judging`): what a gate asks, and when
it passes, fails or stays open, says the module that judges it.
"""

from __future__ import annotations

from regraft.evaluation.stats.paired import align
from regraft.gates import adaptation, choice, class_change, judging, seeds
from regraft.gates.case import Case, Policy
from regraft.gates.comparison import Comparison
from regraft.gates.verdict import Finding, Model, Verdict, conclude
from regraft.gates.words import listed

__all__ = ["MUST_BE_FINITE", "Case", "Policy", "choose", "evaluate", "judge"]
MUST_BE_FINITE = ("adapted", "base", "tfidf")


def judge(case: Case) -> Verdict:
    """The verdict on ``case``: always one, whatever is wrong with the champion."""
    return evaluate(case)[0]


def evaluate(case: Case) -> tuple[Verdict, Comparison | None]:
    """:func:`judge`, and all that was compared; None where the predictions cannot be used."""
    chosen = choice.choose(case) if case.dev is not None else None
    broken = [_not_finite(model, case) for model in case.must_be_finite if case.predictions[model].unusable] + seeds.not_finite(case)
    if broken:
        accused = "adapted" if any(finding.against == "adapted" for finding in broken) else "base"
        return _verdict(case, chosen.name if chosen else accused, broken), None
    problem, usable = case.champion_problem, dict(case.predictions)
    if "champion" in usable and usable["champion"].unusable:
        problem = {"code": "not_finite", "rows": listed(usable["champion"].unusable)}
    if case.champion is None or problem:
        usable.pop("champion", None)
    partly = "champion" in usable and not case.champion_answers_all
    comparison = Comparison(case, align({model: table for model, table in usable.items() if model != "champion" or not partly}), problem)
    finding = chosen.finding if chosen else adaptation.judge(comparison)
    comparison.candidate = chosen.name if chosen else adaptation.elected(finding)
    if partly:
        class_change.share(comparison)
    return _verdict(case, comparison.candidate, [finding, *judging.findings(comparison)]), comparison


def choose(case: Case) -> str | None:
    """The candidate that :func:`evaluate` would judge; None where the predictions cannot be used."""
    if case.dev is not None:
        return choice.choose(case).name
    if any(case.predictions[model].unusable for model in MUST_BE_FINITE) or seeds.not_finite(case):
        return None
    candidates = {model: case.predictions[model] for model in ("adapted", "base")}
    return adaptation.elected(adaptation.judge(Comparison(case, align(candidates))))


def _verdict(case: Case, candidate: str, findings: list[Finding]) -> Verdict:
    return Verdict(
        pipeline=case.pipeline,
        outcome=conclude(findings),
        candidate=Model(candidate, case.digests[candidate]),
        champion=case.champion,
        rows=case.rows,
        policy_digest=case.policy.digest,
        findings=tuple(findings),
    )


def _not_finite(model: str, case: Case) -> Finding:
    rows = listed(case.predictions[model].unusable)
    return Finding.without_number("finite", case.rows.n, "fail", "not_finite", against=model, seed=None, rows=rows)
