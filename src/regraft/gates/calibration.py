"""``calibration``: budgets for how far the candidate's probabilities are from how often it is right, and for how often it abstains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.power import POWER, detectable
from regraft.gates import budgets, words
from regraft.gates.budgets import Held, finding, side
from regraft.gates.finding import needed
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions, at_least_one
from regraft.gates.protocol import Gate, asked
from regraft.gates.section import Cell, IntervalPlot, Results, Section, SectionTable
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.calibration_error import Calibrated, Sure
    from regraft.gates.comparison import Comparison


class Budgets(Strict):
    """Budgets for how far probabilities are from how often they are right; at least one."""

    max_ece: float | None = Field(None, gt=0, le=1)
    """Expected calibration error: the mean gap between probability and share of right answers, over bins of equally many rows."""
    max_brier: float | None = Field(None, gt=0, le=2)
    """Brier score: mean over rows of the sum over classes of (probability - truth) squared. 0 is perfect, 2 the worst."""
    min_coverage: float | None = Field(None, gt=0, le=1)
    """Share of the test rows that the model has to answer; with `abstain` only."""

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        return at_least_one(self)


class Calibration(GateOptions):
    """Limits to how far probabilities may be wrong."""

    gate: ClassVar[str] = "calibration"
    calibration: Budgets
    """How far the candidate's probabilities can be trusted."""
    confidence: Confidence = CONFIDENCE


def _load(path: Any) -> dict[str, Any]:
    from regraft.gates.evidence.served import load

    return load(path)


TABLE = Table("calibration", "calibration.json", step="scores", path="calibration.json", load=_load, optional=True)
"""Candidate -> what its model folder says of its calibration."""


def judge(gate: Calibration, comparison: Comparison) -> Finding:
    """ECE, Brier score and coverage, as far as the gate holds a budget for them."""
    from regraft.gates.calibration_error import measure, sure

    options = gate.calibration
    answers = sure(comparison, comparison.candidate)
    if answers is None:
        return _open(comparison, "no_probabilities")
    parts: list[Held] = []
    if options.max_ece or options.max_brier:
        calibrated = measure(comparison, answers, gate.confidence, options.max_ece or 0.0, options.max_brier or 0.0)
        parts += _budgets(calibrated, options.max_ece, options.max_brier)
    if options.min_coverage:
        if (abstain := _served(comparison).get("abstain")) is None:
            return _open(comparison, "never_abstains")
        parts.append(_coverage(comparison, answers, abstain, options.min_coverage, gate.confidence))
    return finding("calibration", parts, model=comparison.candidate, rows=comparison.n)


def _open(comparison: Comparison, code: str) -> Finding:
    return Finding.without_number("calibration", comparison.n, "inconclusive", code, model=comparison.candidate)


def _served(comparison: Comparison) -> dict[str, Any]:
    """What the candidate's folder says of its calibration: temperature, abstaining; empty where it says nothing."""
    return (comparison.case.found(TABLE) or {}).get(comparison.candidate) or {}


def _budgets(calibrated: Calibrated, max_ece: float | None, max_brier: float | None) -> Iterator[Held]:
    n = calibrated.sure.n
    if max_ece:
        yield _held("ece", calibrated.ece, n, bins=calibrated.sure.count)
    if max_brier:
        yield _held("brier", calibrated.brier, n)


def _held(metric: str, measured: Measured, n: int, *, floor: bool = False, **facts: Any) -> Held:
    """One number, and what an open question asks for."""
    held = Held(metric, measured, n, floor)
    return replace(held, facts={**facts, **(needed(n, measured) if held.outcome == "inconclusive" else {})})


def _coverage(comparison: Comparison, answers: Sure, abstain: dict[str, Any], least: float, confidence: float) -> Held:
    from regraft.evaluation.stats.proportions import wilson

    answered = answers.p >= abstain["below"]
    count, hits, n = int(answered.sum()), int(answers.right[answered].sum()), answers.n
    share, (low, high) = count / n, wilson(count, n, confidence)
    error = sqrt(max(share, 1 / n) * max(1 - share, 1 / n) / n)
    power = comparison.case.policy.power or POWER
    effect = rounded(detectable(error, confidence, power))
    coverage = Measured(rounded(share), rounded(low), rounded(high), rounded(least), confidence, power, effect)
    right_low, right_high = wilson(hits, count, confidence) if count else (0.0, 1.0)
    right = {"value": hits / count, "low": right_low, "high": right_high} if count else None
    answered_share = {"value": share, "low": low, "high": high}
    return _held("coverage", coverage, n, floor=True, answered=answered_share, right=right, precision=abstain["precision"])


def sentence(f: words.Document) -> str:
    """The finding in words: every number of the gate."""
    name = words.model(f["facts"]["model"])
    if f["code"] == "no_probabilities":
        return f"{name} gave no probabilities, so nothing is known of their calibration."
    if f["code"] == "never_abstains":
        return f"{name} has no threshold below which it abstains: it was trained before `abstain` was asked for."
    return f"{name} on {f['facts']['rows']:,} test rows: {'; '.join(map(_part, f['facts']['parts']))}."


def _part(part: words.Document) -> str:
    facts, show = part["facts"], words.percent if part["floor"] else words.number
    spread, end = words.spread(part, show), f"{side(part, show)}{words.asked_for(facts)}"
    if part["metric"] == "ece":
        over = f"{facts['bins']} bins of equally many rows" if facts["bins"] > 1 else "1 bin of all rows"
        return f"probabilities are off by {words.number(part['value'])} (ECE over {over}, {spread}){end}"
    if part["metric"] == "brier":
        return f"the Brier score is {words.number(part['value'])} ({spread}){end}"
    text = f"{words.percent(part['value'])} are answered ({spread})"
    if right := facts["right"]:
        shares = {key: words.percent(value) for key, value in right.items()}
        text += f", and {shares['value']} of those right ({shares['low']} to {shares['high']}; {words.percent(facts['precision'])} wanted)"
    return f"{text}{end}"


def measured(comparison: Comparison) -> dict[str, Any]:
    """``{"calibration": ...}`` of the candidate for ``measurements.json``; nothing where neither a gate nor `abstain` asks."""
    from regraft.gates.calibration_error import measure, sure

    gate = next(asked(CALIBRATION, comparison.case.policy.gates), None)
    if not comparison.case.found(TABLE) and gate is None:
        return {}
    answers = sure(comparison, comparison.candidate)
    if answers is None:
        return {}
    confidence = gate.confidence if gate else CONFIDENCE
    calibrated, served = measure(comparison, answers, confidence), _served(comparison)
    document = {
        "model": comparison.candidate,
        "rows": answers.n,
        "confidence": confidence,
        "temperature": served.get("temperature"),
        "ece": {**_number(calibrated.ece), "plain": calibrated.plain_ece},
        "brier": _number(calibrated.brier),
        "bins": list(_bins(answers, confidence)),
    }
    if abstain := served.get("abstain"):
        document["abstain"] = {**abstain, **_answered(answers, abstain["below"], confidence)}
    return {"calibration": document}


def _number(measured: Measured) -> dict[str, float]:
    return {"value": measured.value, "low": measured.low, "high": measured.high}


def _share(hits: int, n: int, confidence: float) -> dict[str, float] | None:
    from regraft.evaluation.stats.proportions import wilson

    if not n:
        return None
    low, high = wilson(hits, n, confidence)
    return {"value": rounded(hits / n), "low": rounded(low), "high": rounded(high)}


def _bins(answers: Sure, confidence: float) -> Iterator[dict[str, Any]]:
    """The reliability table, the least sure bin first."""
    for number in range(answers.count):
        in_bin = answers.bins == number
        n = int(in_bin.sum())
        yield {"rows": n, "p": rounded(float(answers.p[in_bin].mean())), "right": _share(int(answers.right[in_bin].sum()), n, confidence)}


def _answered(answers: Sure, below: float, confidence: float) -> dict[str, Any]:
    answered = answers.p >= below
    n = int(answered.sum())
    return {"answered": _share(n, answers.n, confidence), "right": _share(int(answers.right[answered].sum()), n, confidence)}


def _section(results: Results) -> Section | None:
    """How sure answers are, beside how often they are right."""
    if (calibrated := results.measurements.get("calibration")) is None:
        return None
    bins, caption = calibrated["bins"], "Right answers by probability"
    points = tuple((each["p"], *(each["right"][key] for key in ("low", "value", "high"))) for each in bins)
    abstain = calibrated.get("abstain")
    mark = (abstain["below"], "abstains") if abstain and abstain["below"] <= 1 else None
    rows = tuple(map(_row, bins))
    folded = f"As a table, {words.counted(len(bins), 'bin')}{' of equally many rows' * (len(bins) > 1)}"
    return Section(
        "Can its probabilities be trusted?",
        "Probabilities",
        summary=(_errors(calibrated), *([_abstaining(abstain)] if abstain else [])),
        plot=IntervalPlot(caption, "probability of the answer", "share of right answers", points, mark),
        tables=(SectionTable(("probability", "rows", "right", "interval"), rows, words=0, folded=folded),),
    )


def _row(each: Mapping[str, Any]) -> tuple[Cell, ...]:
    right = each["right"]
    return Cell(f"{each['p']:.3f}"), Cell(f"{each['rows']:,}"), Cell(words.share(right["value"])), Cell(_spread(right), "muted")


def _errors(calibrated: Mapping[str, Any]) -> str:
    ece, brier = calibrated["ece"], calibrated["brier"]
    text = f"On average a probability is {ece['value']:.3f} away from the share of right answers "
    spread = words.interval(calibrated["confidence"], f"{ece['low']:.3f}", f"{ece['high']:.3f}")
    text += f"({spread}; ECE). "
    text += f"The Brier score is {brier['value']:.3f} ({brier['low']:.3f} to {brier['high']:.3f})."
    return text + (f" Temperature {calibrated['temperature']:.3g}, fitted on dev rows." if calibrated["temperature"] else "")


def _abstaining(abstain: Mapping[str, Any]) -> str:
    asked_for, right, answered = words.share(abstain["precision"]), abstain["right"], abstain["answered"]
    if not right:
        return f"It abstains from every test row: no threshold showed {asked_for} of right answers on the dev rows."
    text = f"It abstains below a probability of {abstain['below']:.3f}: {words.share(answered['value'])} of the test rows are "
    text += f"answered ({_spread(answered)}), {words.share(right['value'])} of those right ({_spread(right)})"
    return f"{text}; {asked_for} were asked for."


def _spread(share: Mapping[str, float]) -> str:
    return words.percents(share["low"], share["high"])


def _check(lines: Sequence[Calibration], other: Mapping[str, Any]) -> str | None:
    """Who abstains is held to a share of rows that have to be answered, and only who abstains."""
    covered = any(line.calibration.min_coverage for line in lines)
    abstains = other.get("abstain", covered)  # absent where it is at fault itself
    if abstains and not covered:
        return (
            "with `abstain` a model that answers nothing would pass; add `- {calibration: {min_coverage: 0.5}}`, "
            "or another share of the rows that have to be answered"
        )
    if covered and not abstains:
        return "`min_coverage` is about `abstain`, which is not there; add `abstain: {precision: 0.9}`, or take it out"
    return None


def _failed(f: words.Document) -> str:
    return "it abstains too often" if f["metric"] == "coverage" else "its probabilities are not as right as they say"


CALIBRATION = Gate(
    Calibration,
    judge,
    sentence,
    evidence=(TABLE,),
    check=_check,
    measured=measured,
    change=lambda f: budgets.change_of(f"calibration ({f['metric']})", f, words.number, floor=f["metric"] == "coverage"),
    remedy="the candidate measured",
    failed=_failed,
    section=_section,
)
