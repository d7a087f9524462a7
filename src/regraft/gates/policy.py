"""What a candidate has to prove, and the function that decides whether it did.

Two candidates exist. ``adapted`` is chosen only if its interval against ``base`` lies above 0; otherwise ``base`` is
the candidate, and that comparison never fails a run by itself. The chosen one then answers the policy's gates, one
finding each (:mod:`regraft.gates.comparison`):

- ``at_least``: the interval must not reach below the floor (fails when all of it lies below);
- ``beats``: the interval of the difference must lie above 0 (fails when all of it lies below). A first model has no
  champion to beat; a champion that cannot be scored leaves the question open;
- ``non_inferior_by``: the same against minus a margin; with ``slices`` on every slice (:mod:`regraft.evaluation.stats.slices`);
- ``negative_flips``: the interval of the share of rows that got worse must lie within a budget;
- ``holdout``: the test rows must not have decided more often than they may;
- ``fairness``, ``robustness``, ``counterfactual``, ``templates``: what differs between groups of rows, and what changes with
  a text that says the same, must lie within a budget (:mod:`regraft.gates.fairness`, :mod:`regraft.gates.probes`);
- ``forgetting``: the interval of what general text costs more than it did must lie within a budget (:mod:`regraft.gates.forgetting`);
- ``earlier_tasks``: on every one the interval of the accuracy that was lost must lie within a budget (:mod:`regraft.gates.earlier_tasks`);
- ``calibration``: probabilities must be as right as they say (:mod:`regraft.gates.calibration`);
- ``cost``: serving must take no more than it may (:mod:`regraft.gates.cost`);
- ``seeds``: asks nothing itself, and makes every metric above the mean of several seeds (:mod:`regraft.gates.seeds`).

One set of resamples serves every model and gate, so the findings of one verdict never contradict one another.
"""

from __future__ import annotations

from regraft.evaluation.stats.paired import align
from regraft.gates import seeds, words
from regraft.gates.case import Case, Policy
from regraft.gates.comparison import Court
from regraft.gates.verdict import Finding, Model, Verdict, conclude

__all__ = ["MUST_BE_FINITE", "Case", "Policy", "choose", "hear", "judge"]
MUST_BE_FINITE = ("adapted", "base", "tfidf")


def judge(case: Case) -> Verdict:
    """The verdict on ``case``: always one, whatever is wrong with the champion."""
    return hear(case)[0]


def hear(case: Case) -> tuple[Verdict, Court | None]:
    """:func:`judge`, and the court with all that was compared; None where the predictions cannot be used."""
    broken = [_not_finite(model, case) for model in MUST_BE_FINITE if case.predictions[model].unusable] + seeds.not_finite(case)
    if broken:
        return _verdict(case, "adapted" if any(found.against == "adapted" for found in broken) else "base", broken), None
    problem, usable = case.champion_problem, dict(case.predictions)
    if "champion" in usable and usable["champion"].unusable:
        problem = _named("its probabilities are not finite", usable["champion"].unusable)
    if case.champion is None or problem:
        usable.pop("champion", None)
    court = Court(case, align(usable), problem)
    adaptation = court.adaptation()
    court.candidate = _elected(adaptation)
    return _verdict(case, court.candidate, [adaptation, *court.findings()]), court


def choose(case: Case) -> str | None:
    """The candidate that :func:`hear` would judge; None where the predictions cannot be used."""
    if any(case.predictions[model].unusable for model in MUST_BE_FINITE) or seeds.not_finite(case):
        return None
    return _elected(Court(case, align({model: case.predictions[model] for model in ("adapted", "base")})).adaptation())


def _elected(adaptation: Finding) -> str:
    return "adapted" if (adaptation.low or 0.0) > 0 else "base"


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
    reason = _named(f"{words.MODELS[model]} gives probabilities that are not finite", case.predictions[model].unusable)
    return Finding.in_words("finite", case.rows.n, "fail", f"{reason}; its training went wrong, and nothing was compared.", against=model)


def _named(reason: str, rows: tuple[str, ...]) -> str:
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    return f"{reason} for {'row' if len(rows) == 1 else 'rows'} {', '.join(rows[:3])}{more}"
