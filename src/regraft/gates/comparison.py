"""One decision under way: the models lined up, resampled once, the candidate, and a finding for every gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import isnan, sqrt

import numpy as np

from regraft.evaluation.stats import metrics, ranking
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.measured import Measured, Part, at_most, rounded
from regraft.evaluation.stats.metrics import COUNTED, mcnemar
from regraft.evaluation.stats.paired import Floats, Paired
from regraft.evaluation.stats.power import POWER, detectable
from regraft.evaluation.stats.proportions import wilson
from regraft.evaluation.stats.slices import Slice, SliceResult, compare, decisive, members, split_by_size
from regraft.gates import calibration, cost, decontaminated, earlier_tasks, fairness, forgetting, probes, seeds, suspects, words
from regraft.gates.case import Case
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

REPORTED = 1_999
"""Resamples of probability metrics that no gate asks for: they take K times as long as the others."""


@dataclass
class Court:
    """Everything that is said about one candidate, from one set of resamples."""

    case: Case
    paired: Paired
    problem: str | None = None
    """Why the champion is not among the models, where there is one."""
    candidate: str = "base"
    asked_of: str = "test rows"
    """What its rows are called where a sentence says something of all of them."""
    judged: dict[int, tuple[list[SliceResult], list[Slice]]] = field(default_factory=dict)
    """Number of a slice gate -> the slices it judged, and those too small for it."""
    beside: dict[int, tuple[Finding, Finding]] = field(default_factory=dict)
    """Number of a gate on clean rows -> what those say, and what all rows say."""
    _resampled: dict[str, dict[str, Floats]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.paired.ids)

    @cached_property
    def repeats(self) -> seeds.Repeats | None:
        """The models of all seeds, where there are several."""
        return seeds.Repeats.of(self.case, tuple(self.paired.preds))

    @cached_property
    def single(self) -> dict[str, dict[str, float]]:
        """model of one seed -> metric -> value on all rows; NaN where rows of one class leave a metric undefined."""
        paired = self.repeats.paired if self.repeats else self.paired
        of_answers = {model: metrics.scores(paired, model) for model in paired.preds}
        return {m: {**found, **(ranking.scores(paired, m) if m in paired.probabilities else {})} for m, found in of_answers.items()}

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """model -> metric -> value, as :attr:`single`; the mean over the seeds where there are several."""
        return self.repeats.means(self.single) if self.repeats else self.single

    @cached_property
    def clean(self) -> Court | None:
        """The same question of the clean rows alone; None where those are too few."""
        return decontaminated.on_clean_rows(self)

    def resampled(self, metric: str, *others: str) -> dict[str, Floats]:
        """model -> [resamples] of ``metric``; ``others`` are computed on the way."""
        wanted = [m for m in (metric, *others) if m not in self._resampled]
        asked = {gate.metric for gate in self.case.policy.gates if "metric" in gate.model_dump()}
        for reported in (False, True):
            here = [m for m in wanted if (m not in COUNTED and m not in asked) is reported]
            paired = self.repeats.paired if self.repeats else self.paired
            models = [m for m in paired.preds if all(x in COUNTED for x in here) or m in paired.probabilities]
            most = min(REPORTED, self.case.policy.resamples) if reported else self.case.policy.resamples
            if here:
                found = replicates(paired, seed=self.case.policy.seed, resamples=most, metrics=here, models=models)
                self._resampled.update({m: {**found[m], **(self.repeats.drawn(found[m]) if self.repeats else {})} for m in here})
        return self._resampled[metric]

    def adaptation(self) -> Finding:
        """Adapted against base: decides who the candidate is, and nothing else."""
        metric, confidence = self.case.policy.adaptation
        if undefined := self._undefined(metric, ("adapted", "base")):
            return Finding.in_words("adaptation", self.n, "info", f"{undefined}, so base is the candidate.", against="base", metric=metric)
        found = self.difference("adapted", "base", metric, confidence)
        said = words.comparison("adapted", "base", metric, self.scores["adapted"][metric], self.n, found)
        paid = found.outcome() == "pass"
        end = f"adaptation {'paid' if paid else 'did not pay here'}, so {'adapted' if paid else 'base'} is the candidate"
        return self._finding("adaptation", "base", metric, found, "info", f"{said}: {end}.")

    def findings(self) -> Iterator[Finding]:
        """The policy's gates, asked of the candidate."""
        champion = self.case.champion
        same = champion is not None and champion.digest == self.case.digests[self.candidate]
        if same and champion:
            said = f"{self.candidate} is already champion (version {champion.version}), byte for byte: there is nothing to register."
            yield Finding.in_words("identity", self.n, "pass", said, against="champion")
        for position, gate in enumerate(self.case.policy.gates):
            against = _opponent(gate)
            if against == "champion" and same:
                continue
            if against == "champion" and "champion" not in self.paired.preds:
                yield self._no_champion(gate)
            elif undefined := self._undefined(gate.metric, (self.candidate, *([against] if against else []))):
                yield Finding.in_words(_name(gate), self.n, "inconclusive", f"{undefined}.", against=against, metric=gate.metric)
            elif gate.slices:
                yield self._slices(position, gate, gate.slices)
            elif gate.rows:
                yield decontaminated.finding(self, position, gate)
            else:
                answers: dict[str, Callable[[GateOptions], Finding]] = {
                    "at_least": self._floor,
                    "beats": self._beats,
                    "non_inferior_by": self._non_inferior,
                    "negative_flips": self._flips,
                    "holdout": self._holdout,
                    "fairness": partial(fairness.fairness, self),
                    "robustness": partial(probes.robustness, self),
                    "counterfactual": partial(probes.counterfactual, self),
                    "templates": partial(probes.templates, self),
                    "seeds": self._seeds,
                    "calibration": partial(calibration.judge, self),
                    "cost": partial(cost.judge, self),
                    "forgetting": lambda asked: forgetting.finding(asked, self.case, self.candidate),
                    "earlier_tasks": lambda asked: earlier_tasks.judge(asked, self.case, self.candidate),
                }
                yield answers[gate.question](gate)

    def _floor(self, gate: GateOptions) -> Finding:
        held = self.score(self.candidate, gate.metric, gate.confidence, gate.at_least or 0.0)
        outcome = held.outcome(or_equal=True)
        said = words.floor(self.candidate, gate.metric, self.n, held, outcome)
        return self._finding("at_least", None, gate.metric, held, outcome, said)

    def _beats(self, gate: GateOptions) -> Finding:
        against = gate.beats or "champion"
        found = self.difference(self.candidate, against, gate.metric, gate.confidence)
        return self._finding("beats", against, gate.metric, found, found.outcome(), self._compared(against, gate.metric, found))

    def _non_inferior(self, gate: GateOptions) -> Finding:
        found = self.difference(self.candidate, gate.against, gate.metric, gate.confidence, -(gate.non_inferior_by or 0.0))
        outcome = found.outcome()
        said = f"{self._compared(gate.against, gate.metric, found)}, {words.margin(found, outcome)}"
        return self._finding("non_inferior_by", gate.against, gate.metric, found, outcome, said)

    def _compared(self, against: str, metric: str, found: Measured) -> str:
        said = words.comparison(self.candidate, against, metric, self.scores[self.candidate][metric], self.n, found)
        of_one = " of the first seed" if self.repeats else ""
        return f"{said}, exact McNemar p{of_one} = {self._mcnemar(against):.2g}" if metric == "accuracy" else said

    def _slices(self, position: int, gate: GateOptions, columns: Sequence[str]) -> Finding:
        table = self.case.slices
        found = list(members(self.paired, table, columns)) if table else []
        large, small = split_by_size(found, gate.min_rows)
        now, before = self.paired.right(self.candidate), self.paired.right(gate.against)
        asked = {"margin": gate.non_inferior_by or 0.0, "confidence": gate.confidence, "power": self.case.policy.power or POWER}
        results = compare(large, now, before, **asked)
        self.judged[position] = (results, small)
        if not results:
            said = f"no slice by {', '.join(columns)} has {gate.min_rows} rows; {words.too_small(small)}."
            return Finding.in_words("slices", self.n, "inconclusive", said, against=gate.against, metric="accuracy")
        worst = decisive(results)  # fails if any fails, passes if all pass: its outcome is the gate's
        said = f"{words.slice_result(self.candidate, gate.against, worst)}; {words.slice_gate(results, small)}."
        values = worst.measured
        return Finding(
            "slices",
            gate.against,
            "accuracy",
            values.value,
            values.low,
            values.high,
            values.threshold,
            worst.n,
            worst.outcome,
            said,
        )

    def _flips(self, gate: GateOptions) -> Finding:
        lost, budget = self.flipped("champion")[1], gate.negative_flips.max if gate.negative_flips else 0.0
        share, (low, high) = lost / self.n, wilson(lost, self.n, gate.confidence)
        effect = detectable(sqrt(max(share, 1 / self.n) * (1 - share) / self.n), gate.confidence, self.case.policy.power or POWER)
        shares = (rounded(share), rounded(low), rounded(high), rounded(budget))
        found = Measured(*shares, gate.confidence, self.case.policy.power, rounded(effect))
        outcome = at_most(found)
        said = words.flips(self.candidate, self.n, lost, found, outcome)
        return suspects.apart(self, self._finding("negative_flips", "champion", None, found, outcome, said))

    def _holdout(self, gate: GateOptions) -> Finding:
        taken, budget = self.case.decisions, gate.holdout.budget if gate.holdout else 0
        if taken is None:
            return Finding.in_words("holdout", self.n, "inconclusive", "decisions on these test rows were not counted.")
        outcome: Part = "pass" if taken <= budget else "inconclusive"
        counted = float(taken)  # exact, so its interval is itself
        said = f"{words.holdout(taken, budget)}."
        return Finding("holdout", None, None, counted, counted, counted, float(budget), self.n, outcome, said)

    def _seeds(self, _: GateOptions) -> Finding:
        metric, confidence = self.case.policy.adaptation
        if undefined := self._undefined(metric, (self.candidate,)):
            return Finding.in_words("seeds", self.n, "info", f"{undefined}.", metric=metric)
        first = seeds.one(self.candidate, 1) if self.repeats else self.candidate
        found = self.score(self.candidate, metric, confidence, self.single[first][metric])
        others = [model for model in ("champion", "tfidf") if model in self.paired.preds]
        return seeds.finding(self.candidate, metric, self.n, found, float(self.resampled(metric)[first].std()), others)

    def _no_champion(self, gate: GateOptions) -> Finding:
        metric = gate.metric if _name(gate) in ("beats", "non_inferior_by") else None
        if self.case.champion is None:
            return Finding.in_words(
                _name(gate), self.n, "info", "no champion yet: nothing to compare with.", against="champion", metric=metric
            )
        said = (
            f"champion version {self.case.champion.version} cannot be compared with: {self.problem or 'it was not scored on these rows'}."
        )
        return Finding.in_words(_name(gate), self.n, "inconclusive", said, against="champion", metric=metric)

    def flipped(self, against: str) -> tuple[int, int]:
        """(rows right only with the candidate, rows right only with ``against``)."""
        now, before = self.paired.right(self.candidate), self.paired.right(against)
        return int((now & ~before).sum()), int((before & ~now).sum())

    def _mcnemar(self, against: str) -> float:
        return mcnemar(*self.flipped(against))

    def _undefined(self, metric: str, models: Sequence[str]) -> str | None:
        """Why ``metric`` says nothing of ``models``, or None."""
        if not any(isnan(self.scores[model].get(metric, float("nan"))) for model in models):
            return None
        why = f"all {self.asked_of} have one label" if len(self.paired.classes) < 2 else "a model gave no probabilities"
        return f"{words.METRICS[metric]} is not defined: {why}"

    def difference(self, model: str, against: str, metric: str, confidence: float, threshold: float = 0.0) -> Measured:
        """``model`` minus ``against``, or the other way round for a metric that is better when lower."""
        sign = -1.0 if metric in words.LOWER_IS_BETTER else 1.0
        resampled = self.resampled(metric)
        moved = sign * (resampled[model] - resampled[against])
        each = sign * (self.by_seed(model, metric) - self.by_seed(against, metric))
        return self.measured(sign * (self.scores[model][metric] - self.scores[against][metric]), moved, each, threshold, confidence)

    def score(self, model: str, metric: str, confidence: float, threshold: float = 0.0) -> Measured:
        """``metric`` of ``model`` itself."""
        value, resampled = self.scores[model][metric], self.resampled(metric)[model]
        return seeds.within_range(self.measured(value, resampled, self.by_seed(model, metric), threshold, confidence), metric)

    def by_seed(self, model: str, metric: str) -> Floats:
        """[k] scores of ``model`` under each seed; [1] where there is one."""
        names = self.repeats.models(model) if self.repeats else [model]
        return np.array([self.single[name][metric] for name in names])

    def measured(self, value: float, resampled: Floats, each: Floats, threshold: float, confidence: float) -> Measured:
        """A number with the interval of its resamples; ``each`` is the number for each seed."""
        power = self.case.policy.power
        if len(each) > 1:
            return seeds.measured(value, resampled, each, threshold, confidence, power)
        low, high = interval(resampled, confidence)
        effect = detectable(float(resampled.std()), confidence, power) if power is not None else 0.0
        return Measured(rounded(value), rounded(low), rounded(high), rounded(threshold), confidence, power, rounded(effect))

    def _finding(self, gate: str, against: str | None, metric: str | None, found: Measured, outcome: Part, sentence: str) -> Finding:
        said = sentence.removesuffix(".")
        said += seeds.one_by_one(found)
        said += f"; {seeds.undecided(self.n, found)}." if outcome == "inconclusive" else "."
        return Finding(gate, against, metric, found.value, found.low, found.high, found.threshold, self.n, outcome, said)


def _opponent(gate: GateOptions) -> str | None:
    """The model that a gate compares with."""
    if gate.question == "negative_flips":
        return "champion"
    return gate.beats or gate.against if gate.question in ("beats", "non_inferior_by") else None


def _name(gate: GateOptions) -> str:
    return "slices" if gate.slices else gate.question
