"""Forgetting: what guessing a masked token of general text costs a model before and after it learned a domain and a task.

The losses come from the step ``forgetting``, sequence by sequence, of four encoders under heads that were made and
warmed up in the same way. Compared is the loss a token, a ratio of sums over the same sequences, so that its interval
is a paired percentile bootstrap over sequences: that of :mod:`regraft.evaluation.stats.bootstrap` with one class. The
interval of what a token costs more than it did must lie within the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.core.quantities import first_of
from regraft.evaluation.retention import GeneralLosses
from regraft.evaluation.stats.bootstrap import interval
from regraft.evaluation.stats.measured import FindingOutcome, Measured, at_most, rounded
from regraft.evaluation.stats.paired import Floats, Strata
from regraft.evaluation.stats.power import POWER, detectable, more_rows
from regraft.evaluation.stats.resampling import Additive, resampled
from regraft.gates import words
from regraft.gates.case import Case
from regraft.gates.comparison import Comparison
from regraft.gates.options import Forgetting, GateOptions
from regraft.gates.stages import PATHS, PRETRAINED, STAGE_WORDS, STAGES
from regraft.gates.verdict import Finding


@dataclass(frozen=True)
class LossTable:
    """What general text costs every stage, and how far that would move with other sequences."""

    losses: GeneralLosses
    resampled: Mapping[str, Floats]
    """Stage whose losses are finite -> [resamples] nats a masked token; position r belongs to the same sequences for each."""

    @classmethod
    def of(cls, losses: GeneralLosses, seed: int, resamples: int) -> LossTable:
        finite = {stage: nats for stage, nats in losses.nats.items() if np.isfinite(nats).all()}
        costs = {stage: Additive(np.stack([nats, losses.masked], axis=-1), {"loss": _a_token}) for stage, nats in finite.items()}
        drawn = resampled(Strata.one(len(losses.masked)), costs, seed=seed, resamples=resamples)
        return cls(losses, drawn.get("loss", {}))

    def loss(self, stage: str) -> float:
        """What ``stage`` costs, in nats a masked token."""
        return float(self.losses.nats[stage].sum() / self.losses.masked.sum())

    def increase(self, stage: str, budget: float, confidence: float, power: float | None) -> Measured:
        """By how much ``stage`` lies above the base model as it came."""
        moved = self.resampled[stage] - self.resampled[PRETRAINED]
        low, high = interval(moved, confidence)
        effect = detectable(float(moved.std()), confidence, power or POWER)
        numbers = (rounded(self.loss(stage) - self.loss(PRETRAINED)), rounded(low), rounded(high), rounded(budget))
        return Measured(*numbers, confidence, power, rounded(effect))


def _a_token(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's encoder, as it would be shipped, against the base model as it came."""
    options, case, path = gate.forgetting, comparison.case, PATHS[comparison.candidate]
    assert options is not None
    losses = case.general
    if losses is None or not len(losses.masked):
        sentence = "nothing was measured on general text, so nothing is known of what was forgotten."
        return Finding.in_words("forgetting", 0, "inconclusive", sentence)
    n = len(losses.masked)
    if problem := _not_finite(losses, path):
        return Finding.in_words("forgetting", n, "fail", problem)
    table = LossTable.of(losses, case.policy.seed, case.policy.resamples)
    increase = table.increase(path[-1], options.max_loss_increase, gate.confidence, case.policy.power)
    outcome = at_most(increase)
    sentence = _sentence(options, table, path, increase, outcome)
    numbers = (increase.value, increase.low, increase.high, increase.threshold)
    return Finding("forgetting", None, None, *numbers, n, outcome, sentence)


def _not_finite(losses: GeneralLosses, stages: tuple[str, ...]) -> str | None:
    """Which sequences a stage gives no usable loss for, or None."""
    for stage in stages:
        rows = np.flatnonzero(~np.isfinite(losses.nats[stage])).tolist()
        if rows:
            listing = f"sequence{'s' * (len(rows) > 1)} {first_of(list(map(str, rows)))}"
            return f"the loss on general text {STAGE_WORDS[stage]} is not finite ({listing}); its training went wrong."
    return None


def _sentence(options: Forgetting, table: LossTable, path: tuple[str, ...], increase: Measured, outcome: FindingOutcome) -> str:
    costs = ", ".join(f"{words.number(table.loss(stage))} {STAGE_WORDS[stage]}" for stage in path)
    tokens, sequences = int(table.losses.masked.sum()), len(table.losses.masked)
    size = f"{words.counted(tokens, 'masked token')} in {words.counted(sequences, 'held-out sequence')}"
    side = "the same as at first"
    if increase.value:
        direction = "more" if increase.value > 0 else "less"
        side = f"{words.number(abs(increase.value))} {direction} than at first"
    end = {"pass": "within", "fail": "above", "inconclusive": "on both sides of"}[outcome]
    sentence = f"guessing a masked token of {named(options)} costs, in nats, {costs}: {side}"
    spread, budget = f"{words.spread(increase)}{words.shown(increase)}", words.number(increase.threshold)
    sentence += f" ({spread}; {size}), {end} the budget of {budget}"
    if outcome != "inconclusive":
        return f"{sentence}."
    more = more_rows(sequences, increase.value - increase.threshold, increase.detectable)
    if more is None:
        return f"{sentence}; that does not decide, and the distance is too small for any sensible amount of text to."
    total = sequences + max(10, round(more, -1))
    return f"{sentence}; that does not decide; `sequences: {total}` would with {100 * (increase.power or POWER):g} % power."


def named(options: Forgetting) -> str:
    """The general text, called what it is."""
    return (
        f"the general text in {options.text}" if options.text else "general technical English (the docstrings of Python's standard library)"
    )


def measured(case: Case) -> dict[str, Any]:
    """The part of ``measurements.json``: every stage's loss and how it differs from the base model as it came; nothing without the gate."""
    gate = next((gate for gate in case.policy.gates if gate.forgetting is not None), None)
    if gate is None or gate.forgetting is None or case.general is None:
        return {}
    table = LossTable.of(case.general, case.policy.seed, case.policy.resamples)
    stages = [_stage(table, stage, gate.forgetting.max_loss_increase, gate.confidence) for stage in STAGES]
    sizes = {"sequences": len(case.general.masked), "masked_tokens": int(case.general.masked.sum())}
    budget = {"max_loss_increase": gate.forgetting.max_loss_increase, "confidence": gate.confidence}
    return {"forgetting": {"text": named(gate.forgetting), **sizes, **budget, "stages": stages}}


def _stage(table: LossTable, stage: str, budget: float, confidence: float) -> dict[str, Any]:
    """One stage in full; None for what its losses, or those of the base model, leave undefined."""
    row: dict[str, Any] = {"stage": stage, "loss": None, "increase": None, "detectable": None}
    if stage in table.resampled:
        low, high = interval(table.resampled[stage], confidence)
        row["loss"] = {"value": rounded(table.loss(stage)), "low": rounded(low), "high": rounded(high)}
    if stage != PRETRAINED and {stage, PRETRAINED} <= table.resampled.keys():
        increase = table.increase(stage, budget, confidence, POWER)
        row["increase"] = {"value": increase.value, "low": increase.low, "high": increase.high}
        row["detectable"] = increase.detectable
    return row
