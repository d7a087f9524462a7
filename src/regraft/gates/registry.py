"""Who judges which question of a policy, and the order in which a candidate is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from regraft.gates import (
    at_least,
    beats,
    calibration,
    cost,
    counterfactual,
    decontaminated,
    earlier_tasks,
    fairness,
    forgetting,
    holdout,
    negative_flips,
    non_inferior,
    robustness,
    seeds,
    slice_gate,
    templates,
)
from regraft.gates.comparison import Comparison
from regraft.gates.finding import undefined
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

Judge = Callable[[GateOptions, Comparison], Finding]
JUDGES: Mapping[str, Judge] = {
    "at_least": at_least.judge,
    "beats": beats.judge,
    "non_inferior_by": non_inferior.judge,
    "negative_flips": negative_flips.judge,
    "holdout": holdout.judge,
    "fairness": fairness.judge,
    "robustness": robustness.judge,
    "counterfactual": counterfactual.judge,
    "templates": templates.judge,
    "seeds": seeds.judge,
    "calibration": calibration.judge,
    "cost": cost.judge,
    "forgetting": forgetting.judge,
    "earlier_tasks": earlier_tasks.judge,
}
"""Question of :data:`regraft.gates.options.QUESTIONS` -> its judge."""


def findings(comparison: Comparison) -> Iterator[Finding]:
    """The policy's gates, asked of the candidate."""
    champion = comparison.case.champion
    if champion is not None and _is_champion(comparison):
        facts = {"model": comparison.candidate, "version": champion.version}
        yield Finding.without_number("identity", comparison.n, "pass", "already_champion", against="champion", **facts)
    for gate in comparison.case.policy.gates:
        if not _skipped(gate, comparison):
            yield judge(gate, comparison)


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The finding of one gate; one without a number where what it asks for is not there."""
    if (problem := _without_an_answer(gate, comparison)) is not None:
        return problem
    if gate.slices:
        return slice_gate.judge(gate, comparison)
    if gate.rows:
        return decontaminated.judge(gate, comparison, judge)
    return JUDGES[gate.question](gate, comparison)


def measurable(comparison: Comparison) -> Iterator[tuple[int, GateOptions]]:
    """(number, gate) of the policy's gates that could be asked of the candidate, for what they measure beyond their finding."""
    for number, gate in enumerate(comparison.case.policy.gates):
        if not _skipped(gate, comparison) and _without_an_answer(gate, comparison) is None:
            yield number, gate


def _skipped(gate: GateOptions, comparison: Comparison) -> bool:
    """Whether a candidate that is the champion itself would be compared with itself."""
    return _opponent(gate) == "champion" and _is_champion(comparison)


def _is_champion(comparison: Comparison) -> bool:
    champion = comparison.case.champion
    return champion is not None and champion.digest == comparison.case.digests[comparison.candidate]


def _without_an_answer(gate: GateOptions, comparison: Comparison) -> Finding | None:
    """What is said where the model to compare with is missing, or the metric is not defined; None where the gate can be judged."""
    against = _opponent(gate)
    if against == "champion" and "champion" not in comparison.paired.preds:
        return _no_champion(gate, comparison)
    models = (comparison.candidate, *([against] if against else []))
    if problem := undefined(comparison, gate.metric, models):
        about = {"against": against, "metric": gate.metric}
        return Finding.without_number(_name(gate), comparison.n, "inconclusive", "undefined", **about, **problem)
    return None


def _no_champion(gate: GateOptions, comparison: Comparison) -> Finding:
    champion, name, n = comparison.case.champion, _name(gate), comparison.n
    about = {"against": "champion", "metric": gate.metric if name in ("beats", "non_inferior_by") else None}
    if champion is None:
        return Finding.without_number(name, n, "info", "no_champion", **about)
    problem = comparison.problem or {"code": "not_scored"}
    return Finding.without_number(name, n, "inconclusive", "incomparable", **about, version=champion.version, problem=problem)


def _opponent(gate: GateOptions) -> str | None:
    """The model that a gate compares with; None where it asks about the candidate alone."""
    if gate.question == "negative_flips":
        return "champion"
    return gate.beats or gate.against if gate.question in ("beats", "non_inferior_by") else None


def _name(gate: GateOptions) -> str:
    return "slices" if gate.slices else gate.question
