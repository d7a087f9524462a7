"""Forgetting: what guessing a masked token of general text costs a model before and after it learned a domain and a task.

The losses come from the step ``forgetting``, sequence by sequence, of four encoders under heads that were made and
warmed up in the same way. Compared is the loss a token, a ratio of sums over the same sequences, so that its interval
is a paired percentile bootstrap over sequences: that of :mod:`regraft.evaluation.stats.bootstrap` with one class. The
interval of what a token costs more than it did must lie within the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.data.options import GeneralText, LocalText
from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.evaluation.stats.power import POWER, detectable, more_rows
from regraft.gates import budgets, words
from regraft.gates.finding import facts_of
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate, Named, asked
from regraft.gates.section import Cell, Results, Section, SectionTable
from regraft.gates.stages import PRETRAINED, path_of, words_of
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.evaluation.retention import GeneralLosses
    from regraft.evaluation.stats.paired import Floats
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for what a model loses of general language while it learns a domain and a task."""

    max_loss_increase: float = Field(ge=0)
    """Nats a masked token of general text may cost the candidate's encoder more than the base model as it came; the whole
    interval must lie at or below it. Adaptation stops where it would spend more, so a change adapts again."""
    text: LocalText = Field(None, min_length=1)
    """General text: a file or folder, read like `data.corpus`; by default the docstrings of Python's standard library."""
    sequences: int = Field(128, ge=16)
    """Held-out sequences that are measured; more make the interval narrower."""

    def general(self, digest: str | None, column: str) -> GeneralText:
        """What is measured on: ``digest`` of the text that is named, None where none is; ``column`` of a table that holds it."""
        return GeneralText(text=self.text, digest=digest, column=column)


class Forgetting(GateOptions):
    """A limit to what a model may forget."""

    gate: ClassVar[str] = "forgetting"
    forgetting: Budget
    """What general text costs the candidate more than the base model as it came, held against a budget."""
    confidence: Confidence = CONFIDENCE


def _load(path: Any) -> GeneralLosses:
    from regraft.gates.evidence.general import load

    return load(path)


GENERAL = Table("general", "general.parquet", step="forgetting", path="losses.parquet", load=_load)
"""What general text cost every stage."""


@dataclass(frozen=True)
class LossTable:
    """What general text costs every stage, and how far that would move with other sequences."""

    losses: GeneralLosses
    resampled: Mapping[str, Floats]
    """Stage whose losses are finite -> [resamples] nats a masked token; position r belongs to the same sequences for each."""

    @classmethod
    def of(cls, losses: GeneralLosses, seed: int, resamples: int) -> LossTable:
        import numpy as np

        from regraft.evaluation.stats.paired import Strata
        from regraft.evaluation.stats.resampling import Additive, resampled

        finite = {stage: nats for stage, nats in losses.nats.items() if np.isfinite(nats).all()}
        costs = {stage: Additive(np.stack([nats, losses.masked], axis=-1), {"loss": _a_token}) for stage, nats in finite.items()}
        drawn = resampled(Strata.one(len(losses.masked)), costs, seed=seed, resamples=resamples)
        return cls(losses, drawn.get("loss", {}))

    def loss(self, stage: str) -> float:
        """What ``stage`` costs, in nats a masked token."""
        return float(self.losses.nats[stage].sum() / self.losses.masked.sum())

    def increase(self, stage: str, budget: float, confidence: float, power: float | None) -> Measured:
        """By how much ``stage`` lies above the base model as it came."""
        from regraft.evaluation.stats.bootstrap import interval

        moved = self.resampled[stage] - self.resampled[PRETRAINED]
        low, high = interval(moved, confidence)
        effect = detectable(float(moved.std()), confidence, power or POWER)
        numbers = (rounded(self.loss(stage) - self.loss(PRETRAINED)), rounded(low), rounded(high), rounded(budget))
        return Measured(*numbers, confidence, power, rounded(effect))


def _a_token(sums: Floats) -> Floats:
    import numpy as np

    return np.asarray(sums[..., 0] / sums[..., 1])


def judge(gate: Forgetting, comparison: Comparison) -> Finding:
    """The candidate's encoder, as it would be shipped, against the base model as it came."""
    options, case = gate.forgetting, comparison.case
    losses = case.found(GENERAL)
    if losses is None or not len(losses.masked):
        return Finding.without_number("forgetting", 0, "inconclusive", "not_measured")
    n, path = len(losses.masked), path_of(comparison.candidate, losses.nats)
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
    import numpy as np

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
        return f"the loss on general text {words_of(facts['stage'])} is not finite ({listing}); its training went wrong."
    costs = ", ".join(f"{number(each['loss'])} {words_of(each['stage'])}" for each in facts["stages"])
    size = f"{words.counted(facts['masked_tokens'], 'masked token')} in {words.counted(f['n'], 'held-out sequence')}"
    change = f"{number(abs(f['value']))} {'more' if f['value'] > 0 else 'less'} than" if f["value"] else "the same as"
    text = f"guessing a masked token of {text_called(facts['text'])} costs, in nats, {costs}: {change} at first"
    text += f" ({words.spread(f)}{words.shown(facts)}; {size}), {words.SIDES[f['outcome']]} the budget of {number(f['threshold'])}"
    if f["outcome"] != "inconclusive":
        return f"{text}."
    if facts["sequences"] is None:
        return f"{text}; undecided, and so close that no sensible amount of text would tell."
    return f"{text}; undecided; with `sequences: {facts['sequences']}` a decision is likely ({100 * (facts['power'] or POWER):g} %)."


def text_called(path: str | None) -> str:
    """The general text, called what it is; None: nobody named one."""
    return f"the general text in {path}" if path else "general technical English (the docstrings of Python's standard library)"


def measured(comparison: Comparison) -> dict[str, Any]:
    """The part of ``measurements.json``: every stage's loss and how it differs from the base model as it came; nothing without the gate."""
    case = comparison.case
    gate, losses = next(asked(FORGETTING, case.policy.gates), None), case.found(GENERAL)
    if gate is None or losses is None:
        return {}
    table = LossTable.of(losses, case.policy.seed, case.policy.resamples)
    stages = [_stage(table, stage, gate.forgetting.max_loss_increase, gate.confidence) for stage in losses.nats]
    sizes = {"sequences": len(losses.masked), "masked_tokens": int(losses.masked.sum())}
    budget = {"max_loss_increase": gate.forgetting.max_loss_increase, "confidence": gate.confidence}
    return {"forgetting": {"text": text_called(gate.forgetting.text), **sizes, **budget, "stages": stages}}


def _stage(table: LossTable, stage: str, budget: float, confidence: float) -> dict[str, Any]:
    """One stage in full; None for what its losses, or those of the base model, leave undefined."""
    from regraft.evaluation.stats.bootstrap import interval

    row: dict[str, Any] = {"stage": stage, "loss": None, "increase": None, "detectable": None}
    if stage in table.resampled:
        low, high = interval(table.resampled[stage], confidence)
        row["loss"] = {"value": rounded(table.loss(stage)), "low": rounded(low), "high": rounded(high)}
    if stage != PRETRAINED and {stage, PRETRAINED} <= table.resampled.keys():
        increase = table.increase(stage, budget, confidence, POWER)
        row["increase"] = {"value": increase.value, "low": increase.low, "high": increase.high}
        row["detectable"] = increase.detectable
    return row


def _section(results: Results) -> Section | None:
    """Every stage of the way, and whether adaptation had to end early."""
    if (found := results.measurements.get("forgetting")) is None:
        return None
    size = f"{words.counted(found['masked_tokens'], 'token')} in {words.counted(found['sequences'], 'held-out sequence')}"
    note = f"Nats that guessing a masked token of {found['text']} costs: {size}, heads warmed up the same way for all. Lower is better. "
    note += f"Intervals of {100 * found['confidence']:g} %; the difference is paired. The budget is {found['max_loss_increase']:+.3f}."
    most = max((stage["loss"]["high"] for stage in found["stages"] if stage["loss"]), default=1.0)
    rows = tuple(_row(stage, most, found["max_loss_increase"]) for stage in found["stages"])
    head = ("model", "nats", "interval", "", "against the first", "interval")
    table = SectionTable(head, rows, roomy=(3,))
    return Section("What was forgotten", "Forgetting", note, tables=(table,), end=_ended(results.metrics.get("pretrain", {})))


def _row(stage: Mapping[str, Any], most: float, budget: float) -> tuple[Cell, ...]:
    loss, increase, name = stage["loss"], stage["increase"], Cell(words_of(stage["stage"]))
    cells = (name, Cell("not finite"), Cell(""), Cell(""))
    if loss:
        spread = Cell(f"{loss['low']:.3f} to {loss['high']:.3f}", "muted")
        cells = (name, Cell(f"{loss['value']:.3f}"), spread, Cell("", bar=loss["value"] / most))
    if not increase:
        return (*cells, Cell(""), Cell(""))
    return (*cells, *budgets.cells(increase, budget))


def _ended(pretrain: Mapping[str, Any]) -> str:
    """Why adaptation ended early; empty: it did not, or had no budget."""
    if "stopped_early" not in pretrain:
        return ""
    before, kept, refused = (pretrain[f"general_loss{part}"] for part in ("_before", "", "_refused"))
    return (
        f"Adaptation ended early, with the weights of step {pretrain['steps']:g}: under the head as it stood, general text cost "
        f"{before:.3f} nats before, {kept:.3f} there and {refused:.3f} at the next look, which is more than the budget allows."
    )


def _read(gate: Forgetting, named: Named) -> str | None:
    """Digest of the general text that the gate names; None where it names none."""
    text = gate.forgetting.text
    otherwise = ", or leave the key out: then Python's own docstrings are measured on"
    return None if text is None else named.digest(text, "forgetting", "text", otherwise=otherwise)


FORGETTING = Gate(
    Forgetting,
    judge,
    sentence,
    evidence=(GENERAL,),
    of_encoder=True,
    families=frozenset({"encoder"}),  # it counts guesses of masked tokens
    hides_tokens=True,
    measured=measured,
    once="adaptation can keep to one budget only",
    reads=_read,
    change=lambda f: budgets.change_of("forgetting, in nats", f, words.number),
    remedy="a run of the step `forgetting`",
    failed=lambda _: "it lost more of its general language than is allowed",
    unsettled="the general text measured on is too little to tell what the new model has forgotten",
    section=_section,
)
