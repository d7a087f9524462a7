"""A candidate is asked what a policy asks, gate by gate, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from regraft.gates import class_change, decontaminated
from regraft.gates.comparison import Comparison
from regraft.gates.finding import undefined
from regraft.gates.new_classes import BY_DEFAULT
from regraft.gates.options import GateOptions, MetricOptions, is_clean
from regraft.gates.registry import gate_of
from regraft.gates.verdict import Finding


def findings(comparison: Comparison) -> Iterator[Finding]:
    """The policy's gates, asked of the candidate."""
    champion = comparison.case.champion
    if champion is not None and _is_champion(comparison):
        facts = {"model": comparison.candidate, "version": champion.version}
        yield Finding.without_number("identity", comparison.n, "pass", "already_champion", against="champion", **facts)
    gates = comparison.case.policy.gates
    if comparison.shared and not any(asked.gate == BY_DEFAULT.gate for asked in gates):
        gates = (*gates, BY_DEFAULT)
    for asked in gates:
        if not _skipped(asked, comparison):
            yield judge(asked, comparison)


def judge(asked: GateOptions, comparison: Comparison) -> Finding:
    """The finding of one gate; one without a number where what it asks for is not there.

    Of a champion that lacks a class it is about the rows of classes that both know, and says so.
    """
    against = gate_of(asked).against(asked)
    if against is not None and comparison.case.same.get(against, against) == comparison.candidate:
        facts = {"model": comparison.candidate, "asked": asked.gate}
        return Finding.without_number("identity", comparison.n, "info", "itself", against=against, **facts)
    there = comparison.against(against)
    found = _judge(asked, there)
    if against != "champion" or "champion" not in there.paired.preds:
        return found
    return replace(found, facts={**found.facts, **class_change.facts(there, comparison)})


def _judge(asked: GateOptions, comparison: Comparison) -> Finding:
    if (problem := _without_an_answer(asked, comparison)) is not None:
        return problem
    if is_clean(asked):
        return decontaminated.judge(asked, comparison, _judge)
    return gate_of(asked).judge(asked, comparison)


def measurable(comparison: Comparison) -> Iterator[tuple[int, GateOptions]]:
    """(number, line) of the policy's gates that could be asked of the candidate, for what they measure beyond their finding."""
    for number, asked in enumerate(comparison.case.policy.gates):
        there = comparison.against(gate_of(asked).against(asked))
        if not _skipped(asked, comparison) and _without_an_answer(asked, there) is None:
            yield number, asked


def _skipped(asked: GateOptions, comparison: Comparison) -> bool:
    """Whether a candidate that is the champion itself would be compared with itself."""
    return gate_of(asked).against(asked) == "champion" and _is_champion(comparison)


def _is_champion(comparison: Comparison) -> bool:
    champion = comparison.case.champion
    return champion is not None and champion.digest == comparison.case.digests[comparison.candidate]


def _without_an_answer(asked: GateOptions, comparison: Comparison) -> Finding | None:
    """What is said where the model to compare with is missing, or the metric is not defined; None where the gate can be judged."""
    against = gate_of(asked).against(asked)
    metric = asked.metric if isinstance(asked, MetricOptions) else None
    if against == "champion" and "champion" not in comparison.paired.preds:
        return _no_champion(asked.gate, metric, comparison)
    models = (comparison.candidate, *([against] if against else []))
    if metric and (problem := undefined(comparison, metric, models)):
        return Finding.without_number(asked.gate, comparison.n, "inconclusive", "undefined", against=against, metric=metric, **problem)
    return None


def _no_champion(gate: str, metric: str | None, comparison: Comparison) -> Finding:
    champion, n = comparison.case.champion, comparison.n
    if champion is None:
        return Finding.without_number(gate, n, "info", "no_champion", against="champion", metric=metric)
    facts = {"version": champion.version, "problem": comparison.problem or {"code": "not_scored"}}
    return Finding.without_number(gate, n, "inconclusive", "incomparable", against="champion", metric=metric, **facts)
