"""``seeds``: no gate, but a line that makes every metric of a verdict the mean of several seeds (:mod:`regraft.gates.repeats`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.seeded import SeededMeasured
from regraft.gates import words
from regraft.gates.finding import measured_finding, undefined
from regraft.gates.options import GateOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.case import Case
    from regraft.gates.comparison import Comparison


class Seeds(GateOptions):
    """Several trainings in place of one; it fails nothing by itself."""

    gate: ClassVar[str] = "seeds"
    seeds: int = Field(ge=3, le=50)
    """Fine-tune adapted and base so many times, each time with another seed, and judge the mean: every interval of a metric then
    holds the noise of the seeds too. At most one such line; it fails nothing by itself."""


def judge(_: Seeds, comparison: Comparison) -> Finding:
    """The candidate's mean over the seeds, held against the one model that would be registered; it informs and decides nothing."""
    from regraft.gates.repeats import seed_name

    metric, confidence = comparison.case.policy.adaptation
    candidate = comparison.candidate
    if problem := undefined(comparison, metric, (candidate,)):
        return Finding.without_number("seeds", comparison.n, "info", "undefined", metric=metric, **problem)
    first = seed_name(candidate, 1) if comparison.repeats else candidate
    score = comparison.score(candidate, metric, confidence, comparison.single[first][metric])
    others = [model for model in ("champion", "tfidf") if model in comparison.paired.preds]
    return finding(candidate, metric, comparison.n, score, float(comparison.resampled(metric)[first].std()), others)


def finding(model: str, metric: str, n: int, score: Measured, row_error: float, others: Sequence[str]) -> Finding:
    """The finding about the mean ``score`` of ``model``.

    ``row_error``: standard error of the registered model's score by rows alone; ``others``: models compared with that have one seed.
    """
    import numpy as np

    if not isinstance(score, SeededMeasured):
        return Finding.without_number("seeds", n, "inconclusive", "not_trained", metric=metric)
    facts = {"model": model, "deviation": float(np.std(score.each, ddof=1)), "row_error": row_error, "others": list(others)}
    return measured_finding("seeds", None, metric, score, n, "info", **facts)


def sentence(f: words.Document) -> str:
    """The finding in words."""
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
    from regraft.gates.repeats import unusable

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
        "scores": [row for model in comparison.case.seeds or () for row in _by_seed(comparison, model, None, metrics)],
        "differences": [row for against in comparison.others for row in _by_seed(comparison, candidate, against, metrics)],
    }


def _by_seed(comparison: Comparison, model: str, against: str | None, metrics: Collection[str]) -> Iterator[dict[str, Any]]:
    """``each``: for each seed, the registered model's first; ``deviation``: of those; ``row_error``: of the first, by rows alone.

    Differences above 0 are better for every metric.
    """
    from regraft.gates.repeats import seed_name

    for metric in metrics or comparison.scores[model]:
        if not comparison.defined(metric, (model, against or model)):
            continue
        sign = -1.0 if against and metric in words.LOWER_IS_BETTER else 1.0
        each = sign * (comparison.by_seed(model, metric) - (comparison.by_seed(against, metric) if against else 0.0))
        first = [seed_name(name, 1) if name in (comparison.case.seeds or ()) else name for name in (model, against) if name]
        rows = [comparison.resampled(metric)[name] for name in first]
        row_error = float((rows[0] - rows[1] if against else rows[0]).std())
        numbers = {"deviation": rounded(float(each.std(ddof=1))), "row_error": rounded(row_error)}
        yield {"model": model, "against": against, "metric": metric, "each": [rounded(value) for value in each.tolist()], **numbers}


def _check(lines: Sequence[Seeds], _: Mapping[str, Any]) -> str | None:
    if len(lines) < 2:
        return None
    listed = " and ".join(f"`seeds: {line.seeds}`" for line in lines)
    return f"{listed} stand there; the number of seeds is one for the whole pipeline, so keep one of the lines"


SEEDS = Gate(
    Seeds,
    judge,
    sentence,
    step="seeds",
    check=_check,
    change=lambda _: "",
    remedy="a run of the step `seeds`",
)
