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

from regraft.evaluation.retention import GeneralLosses
from regraft.evaluation.stats.bootstrap import interval
from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.evaluation.stats.paired import Floats, Strata
from regraft.evaluation.stats.power import POWER, detectable, more_rows
from regraft.evaluation.stats.resampling import Additive, resampled
from regraft.gates import words
from regraft.gates.case import Case
from regraft.gates.comparison import Comparison
from regraft.gates.finding import facts_of
from regraft.gates.options import GateOptions
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
        return Finding.without_number("forgetting", 0, "inconclusive", "not_measured")
    n = len(losses.masked)
    if problem := _not_finite(losses, path):
        return Finding.without_number("forgetting", n, "fail", "not_finite", **problem)
    table = LossTable.of(losses, case.policy.seed, case.policy.resamples)
    increase = table.increase(path[-1], options.max_loss_increase, gate.confidence, case.policy.power)
    outcome = at_most(increase)
    facts = {
        "text": options.text,
        "stages": [{"stage": stage, "loss": table.loss(stage)} for stage in path],
        "masked_tokens": int(losses.masked.sum()),
    }
    if outcome == "inconclusive":
        more = more_rows(n, increase.value - increase.threshold, increase.detectable)
        facts |= {"sequences": None if more is None else n + max(10, round(more, -1))}
    numbers = (increase.value, increase.low, increase.high, increase.threshold)
    return Finding("forgetting", None, None, *numbers, n, outcome, facts={**facts_of(increase), **facts})


def _not_finite(losses: GeneralLosses, stages: tuple[str, ...]) -> dict[str, Any] | None:
    """Which sequences a stage gives no usable loss for, or None."""
    for stage in stages:
        rows = np.flatnonzero(~np.isfinite(losses.nats[stage])).tolist()
        if rows:
            return {"stage": stage, "sequences": words.listed(list(map(str, rows)))}
    return None


def sentence(f: words.Document) -> str:
    """The finding in words."""
    facts, number = f["facts"], words.number
    if f["code"] == "not_measured":
        return "nothing was measured on general text, so nothing is known of what was forgotten."
    if f["code"] == "not_finite":
        sequences = facts["sequences"]
        listing = f"sequence{'s' * (sequences['count'] > 1)} {words.some(sequences)}"
        return f"the loss on general text {STAGE_WORDS[facts['stage']]} is not finite ({listing}); its training went wrong."
    costs = ", ".join(f"{number(each['loss'])} {STAGE_WORDS[each['stage']]}" for each in facts["stages"])
    size = f"{words.counted(facts['masked_tokens'], 'masked token')} in {words.counted(f['n'], 'held-out sequence')}"
    change = f"{number(abs(f['value']))} {'more' if f['value'] > 0 else 'less'} than" if f["value"] else "the same as"
    text = f"guessing a masked token of {text_called(facts['text'])} costs, in nats, {costs}: {change} at first"
    text += f" ({words.spread(f)}{words.shown(facts)}; {size}), {words.SIDES[f['outcome']]} the budget of {number(f['threshold'])}"
    if f["outcome"] != "inconclusive":
        return f"{text}."
    if facts["sequences"] is None:
        return f"{text}; that does not decide, and the distance is too small for any sensible amount of text to."
    return f"{text}; that does not decide; `sequences: {facts['sequences']}` would with {100 * (facts['power'] or POWER):g} % power."


def text_called(path: str | None) -> str:
    """The general text, called what it is; None: nobody named one."""
    return f"the general text in {path}" if path else "general technical English (the docstrings of Python's standard library)"


def measured(case: Case) -> dict[str, Any]:
    """The part of ``measurements.json``: every stage's loss and how it differs from the base model as it came; nothing without the gate."""
    gate = next((gate for gate in case.policy.gates if gate.forgetting is not None), None)
    if gate is None or gate.forgetting is None or case.general is None:
        return {}
    table = LossTable.of(case.general, case.policy.seed, case.policy.resamples)
    stages = [_stage(table, stage, gate.forgetting.max_loss_increase, gate.confidence) for stage in STAGES]
    sizes = {"sequences": len(case.general.masked), "masked_tokens": int(case.general.masked.sum())}
    budget = {"max_loss_increase": gate.forgetting.max_loss_increase, "confidence": gate.confidence}
    return {"forgetting": {"text": text_called(gate.forgetting.text), **sizes, **budget, "stages": stages}}


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
