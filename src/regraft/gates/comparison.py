"""Every model of a case on the same rows, resampled once: what a gate asks for in numbers comes from here. It judges nothing.

One set of resamples serves every model and gate, so the findings of one verdict never contradict one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isinf, isnan

import numpy as np

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats import metrics, ranking, unseen
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.metric import METRICS
from regraft.evaluation.stats.metrics import COUNTED
from regraft.evaluation.stats.paired import Floats, Paired, Predictions, align
from regraft.evaluation.stats.power import detectable, quantile
from regraft.evaluation.stats.seed_noise import measured_by_seeds, within_range
from regraft.gates.case import Case
from regraft.gates.options import MetricOptions
from regraft.gates.repeats import Repeats
from regraft.gates.verdict import Facts
from regraft.gates.words import LOWER_IS_BETTER

REPORTED = 1_999
"""Resamples of probability metrics that no gate asks for: they take K times as long as the others."""
MIN_CLEAN_ROWS = 30
"""Fewer clean rows decide nothing: as with slices, intervals of fewer are too narrow."""


@dataclass
class Comparison:
    """All that is measured of one case: the models that can be compared, and which of them is the candidate."""

    case: Case
    paired: Paired
    problem: Facts | None = None
    """Why the champion is not among the models, where there is one."""
    candidate: str = "base"
    clean_only: bool = False
    """Whether its rows are the clean ones alone."""
    shared: Comparison | None = None
    """The same, and the champion, on the rows of classes that both know; None where the champion knows all classes, or is not there."""
    _resampled: dict[str, dict[str, Floats]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.paired.ids)

    @property
    def others(self) -> list[str]:
        """The models that the candidate is compared with where everything is reported."""
        return [model for model in ("champion", "base", "tfidf") if model in self.paired.preds and model != self.candidate]

    @property
    def counterpart(self) -> str | None:
        """The other of adapted and base; None where that is not compared."""
        other = "base" if self.candidate == "adapted" else "adapted"
        return other if {other, self.candidate} == {"adapted", "base"} and other in self.paired.preds else None

    @cached_property
    def repeats(self) -> Repeats | None:
        """The models of all seeds; None where there is one seed."""
        return Repeats.of(self.case, tuple(self.paired.preds))

    @cached_property
    def single(self) -> dict[str, dict[str, float]]:
        """model of one seed -> metric -> value on all rows; NaN where rows of one class leave a metric undefined."""
        paired = self.repeats.paired if self.repeats else self.paired
        of_answers = {model: metrics.scores(paired, model) for model in paired.preds}
        return {m: {**values, **(ranking.scores(paired, m) if m in paired.probabilities else {})} for m, values in of_answers.items()}

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """model -> metric -> value, as :attr:`single`; the mean over the seeds where there are several."""
        return self.repeats.means(self.single) if self.repeats else self.single

    def defined(self, metric: str, models: Sequence[str]) -> bool:
        """Whether every one of ``models`` has a value of ``metric``."""
        return not any(isnan(self.scores[model].get(metric, float("nan"))) for model in models)

    def resampled(self, metric: str, *others: str) -> dict[str, Floats]:
        """model -> [resamples] of ``metric``; ``others`` are computed on the way."""
        missing = [m for m in (metric, *others) if m not in self._resampled]
        judged = {gate.metric for gate in self.case.policy.gates if isinstance(gate, MetricOptions)}
        for reported in (False, True):
            of_kind = [m for m in missing if (m not in COUNTED and m not in judged) is reported]
            paired = self.repeats.paired if self.repeats else self.paired
            models = [m for m in paired.preds if all(x in COUNTED for x in of_kind) or m in paired.probabilities]
            most = min(REPORTED, self.case.policy.resamples) if reported else self.case.policy.resamples
            if of_kind:
                drawn = replicates(paired, seed=self.case.policy.seed, resamples=most, metrics=of_kind, models=models)
                self._resampled.update({m: {**drawn[m], **(self.repeats.drawn(drawn[m]) if self.repeats else {})} for m in of_kind})
        return self._resampled[metric]

    def flipped(self, against: str) -> tuple[int, int]:
        """(rows right only with the candidate, rows right only with ``against``)."""
        gained, lost = self.paired.gained(self.candidate, against), self.paired.lost(self.candidate, against)
        return int(gained.sum()), int(lost.sum())

    def difference(self, model: str, against: str, metric: str, confidence: float, threshold: float = 0.0) -> Measured:
        """``model`` minus ``against``, or the other way round for a metric that is better when lower."""
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        resampled = self.resampled(metric)
        moved = sign * (resampled[model] - resampled[against])
        each = sign * (self.by_seed(model, metric) - self.by_seed(against, metric))
        value, span = sign * (self.scores[model][metric] - self.scores[against][metric]), METRICS[metric].most - METRICS[metric].least
        return self._opened(self.measured(value, moved, each, threshold, confidence), -span, span)

    def score(self, model: str, metric: str, confidence: float, threshold: float = 0.0) -> Measured:
        """``metric`` of ``model`` itself."""
        value, resampled = self.scores[model][metric], self.resampled(metric)[model]
        measured = within_range(self.measured(value, resampled, self.by_seed(model, metric), threshold, confidence), metric)
        return self._opened(measured, METRICS[metric].least, METRICS[metric].most)

    def _opened(self, measured: Measured, least: float, most: float) -> Measured:
        """``measured`` with what the rows leave open where none of them varies; as it is where the policy names no such interval."""
        if self.case.policy.interval is None or isinf(most):
            return measured
        ends = (measured.low, measured.high)
        low, high = map(rounded, unseen.opened(ends, measured.value, self.n, measured.confidence, least, most))
        if (low, high) == ends:
            return measured
        error = max(measured.value - low, high - measured.value) / quantile(measured.confidence)
        effect = detectable(error, measured.confidence, measured.power) if measured.power is not None else 0.0
        return replace(measured, low=low, high=high, detectable=max(measured.detectable, rounded(effect)))

    def by_seed(self, model: str, metric: str) -> Floats:
        """[k] scores of ``model`` under each seed; [1] where there is one."""
        names = self.repeats.models(model) if self.repeats else [model]
        return np.array([self.single[name][metric] for name in names])

    def measured(self, value: float, resampled: Floats, each: Floats, threshold: float, confidence: float) -> Measured:
        """A number with the interval of its resamples; ``each`` is the number for each seed."""
        power = self.case.policy.power
        if len(each) > 1:
            return measured_by_seeds(value, resampled, each, threshold, confidence, power)
        low, high = interval(resampled, confidence)
        effect = detectable(float(resampled.std()), confidence, power) if power is not None else 0.0
        return Measured(rounded(value), rounded(low), rounded(high), rounded(threshold), confidence, power, rounded(effect))

    @property
    def clean_rows(self) -> frozenset[str]:
        """Ids of the rows without overlap. EnvironmentFault when the overlaps are those of other rows."""
        overlaps = self.case.row_quality.overlaps or {}
        if set(overlaps) != set(self.paired.ids):
            raise EnvironmentFault(f"the overlaps are those of {len(overlaps):,} rows, the predictions of {self.n:,}; they do not match")
        return frozenset(row for row, overlap in overlaps.items() if overlap.kind is None)

    @cached_property
    def clean(self) -> Comparison | None:
        """The same models and gates on the clean rows alone; None where those are too few."""
        rows = self.clean_rows
        if len(rows) < MIN_CLEAN_ROWS:
            return None
        return replace(self.on(rows), clean_only=True)

    def on(self, rows: frozenset[str], *more: str) -> Comparison:
        """The same models, and those called ``more``, on ``rows`` alone: lined up and resampled as if there were no others."""
        models = (*self.paired.preds, *more)
        predictions = {model: _only(self.case.predictions[model], rows) for model in models}
        seeds = self.case.seeds and {model: [_only(table, rows) for table in tables] for model, tables in self.case.seeds.items()}
        evidence = dict(self.case.evidence)
        if overlaps := evidence.get("overlap"):
            evidence["overlap"] = {row: overlap for row, overlap in overlaps.items() if row in rows}
        slices = self.case.slices and self.case.slices.only(rows)
        case = replace(self.case, predictions={**self.case.predictions, **predictions}, seeds=seeds, evidence=evidence, slices=slices)
        return replace(self, case=case, paired=align(predictions), shared=None, _resampled={})

    def against(self, model: str | None) -> Comparison:
        """Where ``model`` is compared with: of a champion that lacks a class, on the rows of classes that both know."""
        return self.shared if model == "champion" and self.shared is not None else self


def _only(predictions: Predictions, rows: frozenset[str]) -> Predictions:
    keep = [position for position, row in enumerate(predictions.ids) if row in rows]
    ids, labels, preds = ([values[i] for i in keep] for values in (predictions.ids, predictions.labels, predictions.preds))
    return Predictions(ids, labels, preds, (), None if predictions.p is None else predictions.p[keep], predictions.columns)
