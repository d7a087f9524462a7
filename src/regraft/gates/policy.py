"""What a candidate has to prove, and the function that decides whether it did.

Two candidates exist. ``adapted`` is chosen only if its interval against ``base`` lies above 0; otherwise ``base`` is
the candidate, and that comparison never fails a run by itself. The chosen one then answers the policy's gates:

- ``at_least``: the interval must not reach below the floor (fails when all of it lies below);
- ``beats``: the interval of the difference must lie above 0 (fails when all of it lies below). A first model has no
  champion to beat; a champion that cannot be scored leaves the question open.

One set of resamples serves every model and gate, so the findings of one verdict never contradict one another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from regraft.config import GateOptions
from regraft.gates import words
from regraft.gates.bootstrap import RESAMPLES, Replicates, interval, replicates
from regraft.gates.metrics import Floats, mcnemar, scores
from regraft.gates.paired import Paired, Predictions, align
from regraft.gates.verdict import Champion, Finding, Measured, Model, Part, Rows, Verdict, conclude, rounded

MUST_BE_FINITE = ("adapted", "base", "tfidf")


@dataclass(frozen=True)
class Policy:
    """The gates and everything else that a verdict depends on besides the predictions."""

    gates: tuple[GateOptions, ...]
    seed: int
    resamples: int = RESAMPLES

    def document(self) -> dict[str, Any]:
        return {
            "gates": [gate.model_dump(mode="json", exclude_none=True) for gate in self.gates],
            "seed": self.seed,
            "resamples": self.resamples,
        }

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of :meth:`document`."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def adaptation(self) -> tuple[str, float]:
        """(metric, confidence) of adapted against base: those of the first gate."""
        return (self.gates[0].metric, self.gates[0].confidence) if self.gates else ("macro_f1", 0.95)


@dataclass(frozen=True)
class Case:
    """All the evidence of one decision."""

    pipeline: str
    policy: Policy
    digests: Mapping[str, str]
    """Of the two candidates: adapted, and base, which was fine-tuned without adaptation."""
    rows: Rows
    predictions: Mapping[str, Predictions]
    """Of adapted, base, tfidf, and of the champion where it could be scored."""
    champion: Champion | None = None
    champion_problem: str | None = None
    """Why the champion cannot be compared with: it does not load, its labels are others."""


def judge(case: Case) -> Verdict:
    """The verdict on ``case``: always one, whatever is wrong with the champion."""
    broken = [_not_finite(model, case) for model in MUST_BE_FINITE if case.predictions[model].unusable]
    if broken:
        return _verdict(case, "adapted" if case.predictions["adapted"].unusable else "base", broken)
    problem, usable = case.champion_problem, dict(case.predictions)
    if "champion" in usable and usable["champion"].unusable:
        problem = _named("its probabilities are not finite", usable["champion"].unusable)
    if case.champion is None or problem:
        usable.pop("champion", None)
    court = _Court(case, align(usable))
    adaptation = court.adaptation()
    court.candidate = "adapted" if (adaptation.low or 0.0) > 0 else "base"
    return _verdict(case, court.candidate, [adaptation, *court.findings(problem)])


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
    return _words_only("finite", model, None, case.rows.n, "fail", f"{reason}; its training went wrong, and nothing was compared.")


def _named(reason: str, rows: tuple[str, ...]) -> str:
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    return f"{reason} for {'row' if len(rows) == 1 else 'rows'} {', '.join(rows[:3])}{more}"


def _words_only(gate: str, against: str | None, metric: str | None, n: int, outcome: Part, sentence: str) -> Finding:
    return Finding(gate, against, metric, None, None, None, None, n, outcome, sentence)


@dataclass
class _Court:
    """One decision under way: the models lined up, resampled once, and the candidate as soon as it is known."""

    case: Case
    paired: Paired
    candidate: str = "base"

    @cached_property
    def resampled(self) -> Replicates:
        return replicates(self.paired, seed=self.case.policy.seed, resamples=self.case.policy.resamples)

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        return {model: scores(self.paired, model) for model in self.paired.preds}

    @property
    def n(self) -> int:
        return len(self.paired.ids)

    def adaptation(self) -> Finding:
        """Adapted against base: decides who the candidate is, and nothing else."""
        metric, confidence = self.case.policy.adaptation
        found = self._difference("adapted", "base", metric, confidence)
        said = words.comparison("adapted", "base", metric, self.scores["adapted"][metric], self.n, found)
        paid = found.outcome() == "pass"
        end = f"adaptation {'paid' if paid else 'did not pay here'}, so {'adapted' if paid else 'base'} is the candidate"
        return self._finding("adaptation", "base", metric, found, "info", f"{said}: {end}.")

    def findings(self, problem: str | None) -> Iterator[Finding]:
        """The policy's gates, asked of the candidate."""
        champion = self.case.champion
        same = champion is not None and champion.digest == self.case.digests[self.candidate]
        if same and champion:
            said = f"{self.candidate} is already champion (version {champion.version}), byte for byte: there is nothing to register."
            yield _words_only("identity", "champion", None, self.n, "pass", said)
        for gate in self.case.policy.gates:
            if gate.at_least is not None:
                yield self._floor(gate, gate.at_least)
            elif gate.beats == "tfidf" or (gate.beats == "champion" and "champion" in self.paired.preds and not same):
                yield self._beats(gate, gate.beats)
            elif not same:
                yield self._no_champion(gate, problem)

    def _floor(self, gate: GateOptions, threshold: float) -> Finding:
        value, resampled = self.scores[self.candidate][gate.metric], self.resampled[gate.metric][self.candidate]
        held = self._measured(value, resampled, threshold, gate.confidence)
        outcome = held.outcome(or_equal=True)
        said = words.floor(self.candidate, gate.metric, self.n, held, outcome)
        said += f"; {words.undecided(self.n, held)}." if outcome == "inconclusive" else "."
        return self._finding("at_least", None, gate.metric, held, outcome, said)

    def _beats(self, gate: GateOptions, against: str) -> Finding:
        found = self._difference(self.candidate, against, gate.metric, gate.confidence)
        outcome = found.outcome()
        said = words.comparison(self.candidate, against, gate.metric, self.scores[self.candidate][gate.metric], self.n, found)
        if gate.metric == "accuracy":
            said += f", exact McNemar p = {self._mcnemar(against):.2g}"
        said += f"; {words.undecided(self.n, found)}." if outcome == "inconclusive" else "."
        return self._finding("beats", against, gate.metric, found, outcome, said)

    def _no_champion(self, gate: GateOptions, problem: str | None) -> Finding:
        if self.case.champion is None:
            return _words_only("beats", "champion", gate.metric, self.n, "info", "no champion yet: nothing to compare with.")
        said = f"champion version {self.case.champion.version} cannot be compared with: {problem or 'it was not scored on these rows'}."
        return _words_only("beats", "champion", gate.metric, self.n, "inconclusive", said)

    def _mcnemar(self, against: str) -> float:
        now, before = self.paired.right(self.candidate), self.paired.right(against)
        return mcnemar(int((now & ~before).sum()), int((before & ~now).sum()))

    def _difference(self, model: str, against: str, metric: str, confidence: float) -> Measured:
        resampled = self.resampled[metric][model] - self.resampled[metric][against]
        return self._measured(self.scores[model][metric] - self.scores[against][metric], resampled, 0.0, confidence)

    @staticmethod
    def _measured(value: float, resampled: Floats, threshold: float, confidence: float) -> Measured:
        low, high = interval(resampled, confidence)
        return Measured(rounded(value), rounded(low), rounded(high), rounded(threshold), confidence)

    def _finding(self, gate: str, against: str | None, metric: str, found: Measured, outcome: Part, sentence: str) -> Finding:
        return Finding(gate, against, metric, found.value, found.low, found.high, found.threshold, self.n, outcome, sentence)
