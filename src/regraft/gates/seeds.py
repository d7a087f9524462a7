"""``seeds``: asks nothing itself, and makes every metric of a verdict the mean of several seeds (:mod:`regraft.gates.repeats`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.seeded import SeededMeasured
from regraft.gates import words
from regraft.gates.case import Case
from regraft.gates.comparison import Comparison
from regraft.gates.finding import measured_finding, undefined
from regraft.gates.options import GateOptions
from regraft.gates.repeats import SEEDED, one, unusable
from regraft.gates.verdict import Finding


def judge(_: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's mean over the seeds, held against the one model that would be registered; it informs and decides nothing."""
    metric, confidence = comparison.case.policy.adaptation
    candidate = comparison.candidate
    if problem := undefined(comparison, metric, (candidate,)):
        return Finding.without_number("seeds", comparison.n, "info", "undefined", metric=metric, **problem)
    first = one(candidate, 1) if comparison.repeats else candidate
    score = comparison.score(candidate, metric, confidence, comparison.single[first][metric])
    others = [model for model in ("champion", "tfidf") if model in comparison.paired.preds]
    return finding(candidate, metric, comparison.n, score, float(comparison.resampled(metric)[first].std()), others)


def finding(model: str, metric: str, n: int, score: Measured, row_error: float, others: Sequence[str]) -> Finding:
    """The finding about the mean ``score`` of ``model``.

    ``row_error``: standard error of the registered model's score by rows alone; ``others``: models compared with that have one seed.
    """
    if not isinstance(score, SeededMeasured):
        return Finding.without_number("seeds", n, "inconclusive", "not_trained", metric=metric)
    facts = {"model": model, "deviation": float(np.std(score.each, ddof=1)), "row_error": row_error, "others": list(others)}
    return measured_finding("seeds", None, metric, score, n, "info", **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    if f["code"] == "undefined":
        return f"{words.undefined(f)}."
    if f["code"] == "not_trained":
        return "the further seeds that the gate asks for were not trained, so the noise of the seeds is in no interval."
    facts, number = f["facts"], words.number
    each = facts["each"]
    text = f"{words.model(facts['model'])} scores {number(f['value'])} {words.metric(f['metric'])} in the mean of {len(each)} seeds"
    text += f" ({words.spread(f)}), from {number(min(each))} to {number(max(each))}"
    text += f"; the model that would be registered, the first, {number(each[0])}"
    text += f". Standard deviation by seed {number(facts['deviation'])}, by test rows {number(facts['row_error'])}"
    if others := facts["others"]:
        names, verb = " and ".join(map(words.model, others)), "have" if len(others) > 1 else "has"
        text += f"; {names} {verb} one seed"
    return f"{text}. What is no metric of all or of clean rows is about the registered model alone."


def not_finite(case: Case) -> list[Finding]:
    """A finding for every model of a further seed whose answers cannot be used."""
    return [
        Finding.without_number("finite", case.rows.n, "fail", "not_finite", against=model, seed=number, rows=words.listed(rows))
        for model, number, rows in unusable(case)
    ]


def measured(comparison: Comparison, metrics: Collection[str] = ()) -> dict[str, Any] | None:
    """Every metric, or ``metrics``, by seed: of both models, and of the candidate against every other; None where there is one seed."""
    repeats = comparison.repeats
    if repeats is None:
        return None
    candidate = comparison.candidate
    return {
        "number": repeats.count,
        "scores": [row for model in SEEDED for row in _by_seed(comparison, model, None, metrics)],
        "differences": [row for against in comparison.others for row in _by_seed(comparison, candidate, against, metrics)],
    }


def _by_seed(comparison: Comparison, model: str, against: str | None, metrics: Collection[str]) -> Iterator[dict[str, Any]]:
    """``each``: for each seed, the registered model's first; ``deviation``: of those; ``row_error``: of the first, by rows alone.

    Differences above 0 are better for every metric.
    """
    for metric in metrics or comparison.scores[model]:
        if not comparison.defined(metric, (model, against or model)):
            continue
        sign = -1.0 if against and metric in words.LOWER_IS_BETTER else 1.0
        each = sign * (comparison.by_seed(model, metric) - (comparison.by_seed(against, metric) if against else 0.0))
        first = [one(name, 1) if name in SEEDED else name for name in (model, against) if name]
        rows = [comparison.resampled(metric)[name] for name in first]
        row_error = float((rows[0] - rows[1] if against else rows[0]).std())
        numbers = {"deviation": rounded(float(each.std(ddof=1))), "row_error": rounded(row_error)}
        yield {"model": model, "against": against, "metric": metric, "each": [rounded(value) for value in each.tolist()], **numbers}
