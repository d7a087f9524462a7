"""Forgetting: what guessing a masked token of general text costs a model before and after it learned a domain and a task.

The losses come from the step ``forgetting``, sequence by sequence, of four encoders under heads that were made and
warmed up in the same way. Compared is the loss a token, a ratio of sums over the same sequences, so that its interval
is a paired percentile bootstrap over sequences: that of :mod:`regraft.evaluation.stats.bootstrap` with one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.evaluation.retention import GeneralLosses
from regraft.evaluation.stats.bootstrap import interval, row_counts
from regraft.evaluation.stats.measured import Measured, Part, at_most, rounded
from regraft.evaluation.stats.paired import Floats, Paired
from regraft.evaluation.stats.power import POWER, detectable, more_rows
from regraft.gates import words
from regraft.gates.case import Case
from regraft.gates.options import Forgetting, GateOptions
from regraft.gates.verdict import Finding

CAME = "came"
"""The base model as it came: what every other stage is held against."""
STAGES = (CAME, "adapted", "finetune", "finetune_base")
SAID = {
    CAME: "as the base model came",
    "adapted": "after adaptation",
    "finetune": "after adaptation and fine-tuning",
    "finetune_base": "after fine-tuning without adaptation",
}
PATHS = {"adapted": (CAME, "adapted", "finetune"), "base": (CAME, "finetune_base")}
"""Candidate -> the stages it went through."""
NAMED = 3
"""Sequences that a sentence names; the rest is counted."""


@dataclass(frozen=True)
class Bill:
    """What general text costs every stage, and how far that would move with other sequences."""

    losses: GeneralLosses
    resampled: Mapping[str, Floats]
    """Stage whose losses are finite -> [resamples] nats a masked token; position r belongs to the same sequences for each."""

    @classmethod
    def of(cls, losses: GeneralLosses, seed: int, resamples: int) -> Bill:
        n = len(losses.masked)
        one_class = Paired(tuple(map(str, range(n))), ("general",), np.zeros(n, dtype=np.int64), {})
        found: dict[str, list[Floats]] = {stage: [] for stage, nats in losses.nats.items() if np.isfinite(nats).all()}
        for _, drawn in row_counts(one_class, seed=seed, resamples=resamples):
            for stage, parts in found.items():
                # Not a matrix product: BLAS adds in another order on every processor.
                parts.append((drawn * losses.nats[stage]).sum(axis=1) / (drawn * losses.masked).sum(axis=1))
        return cls(losses, {stage: np.concatenate(parts) for stage, parts in found.items()})

    def loss(self, stage: str) -> float:
        """Nats a masked token."""
        return float(self.losses.nats[stage].sum() / self.losses.masked.sum())

    def increase(self, stage: str, budget: float, confidence: float, power: float | None) -> Measured:
        """By how much ``stage`` lies above the base model as it came."""
        moved = self.resampled[stage] - self.resampled[CAME]
        low, high = interval(moved, confidence)
        effect = detectable(float(moved.std()), confidence, power or POWER)
        found = (rounded(self.loss(stage) - self.loss(CAME)), rounded(low), rounded(high), rounded(budget))
        return Measured(*found, confidence, power, rounded(effect))


def finding(gate: GateOptions, case: Case, candidate: str) -> Finding:
    """The candidate's encoder, as it would be shipped, against the base model as it came."""
    asked, losses = gate.forgetting, case.general
    assert asked is not None
    if losses is None or not len(losses.masked):
        return Finding.in_words(
            "forgetting", 0, "inconclusive", "nothing was measured on general text, so nothing is known of what was forgotten."
        )
    n = len(losses.masked)
    if broken := _not_finite(losses, PATHS[candidate]):
        return Finding.in_words("forgetting", n, "fail", broken)
    bill = Bill.of(losses, case.policy.seed, case.policy.resamples)
    found = bill.increase(PATHS[candidate][-1], asked.max_loss_increase, gate.confidence, case.policy.power)
    outcome = at_most(found)
    said = _sentence(asked, bill, candidate, found, outcome)
    return Finding("forgetting", None, None, found.value, found.low, found.high, found.threshold, n, outcome, said)


def _not_finite(losses: GeneralLosses, stages: tuple[str, ...]) -> str | None:
    """Which sequences a stage gives no usable loss for, or None."""
    for stage in stages:
        rows = np.flatnonzero(~np.isfinite(losses.nats[stage])).tolist()
        if rows:
            more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
            which = f"sequence{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:NAMED]))}{more}"
            return f"the loss on general text {SAID[stage]} is not finite ({which}); its training went wrong."
    return None


def _sentence(asked: Forgetting, bill: Bill, candidate: str, found: Measured, outcome: Part) -> str:
    stages = PATHS[candidate]
    costs = ", ".join(f"{words.number(bill.loss(stage))} {SAID[stage]}" for stage in stages)
    tokens, sequences = int(bill.losses.masked.sum()), len(bill.losses.masked)
    size = f"{words.counted(tokens, 'masked token')} in {words.counted(sequences, 'held-out sequence')}"
    side = (
        f"{words.number(abs(found.value))} {'more' if found.value > 0 else 'less'} than at first" if found.value else "the same as at first"
    )
    end = {"pass": "within", "fail": "above", "inconclusive": "on both sides of"}[outcome]
    said = f"guessing a masked token of {named(asked)} costs, in nats, {costs}: {side} ({words.spread(found)}{words.shown(found)}; {size})"
    said += f", {end} the budget of {words.number(found.threshold)}"
    if outcome != "inconclusive":
        return f"{said}."
    more = more_rows(len(bill.losses.masked), found.value - found.threshold, found.detectable)
    if more is None:
        return f"{said}; that does not decide, and the distance is too small for any sensible amount of text to."
    total = len(bill.losses.masked) + max(10, round(more, -1))
    return f"{said}; that does not decide; `sequences: {total}` would with {100 * (found.power or POWER):g} % power."


def named(asked: Forgetting) -> str:
    """The general text, called what it is."""
    return f"the general text in {asked.text}" if asked.text else "general technical English (the docstrings of Python's standard library)"


def measured(case: Case) -> dict[str, Any]:
    """For ``measurements.json``: every stage's loss and how it differs from the base model as it came; nothing without the gate."""
    gate = next((gate for gate in case.policy.gates if gate.forgetting is not None), None)
    if gate is None or gate.forgetting is None or case.general is None:
        return {}
    bill = Bill.of(case.general, case.policy.seed, case.policy.resamples)
    stages = [_stage(bill, stage, gate.forgetting.max_loss_increase, gate.confidence) for stage in STAGES]
    sizes = {"sequences": len(case.general.masked), "masked_tokens": int(case.general.masked.sum())}
    budget = {"max_loss_increase": gate.forgetting.max_loss_increase, "confidence": gate.confidence}
    return {"forgetting": {"text": named(gate.forgetting), **sizes, **budget, "stages": stages}}


def _stage(bill: Bill, stage: str, budget: float, confidence: float) -> dict[str, Any]:
    """One stage in full; None for what its losses, or those of the base model, leave undefined."""
    row: dict[str, Any] = {"stage": stage, "loss": None, "increase": None, "detectable": None}
    if stage in bill.resampled:
        low, high = interval(bill.resampled[stage], confidence)
        row["loss"] = {"value": rounded(bill.loss(stage)), "low": rounded(low), "high": rounded(high)}
    if stage != CAME and {stage, CAME} <= bill.resampled.keys():
        found = bill.increase(stage, budget, confidence, POWER)
        row |= {"increase": {"value": found.value, "low": found.low, "high": found.high}, "detectable": found.detectable}
    return row
