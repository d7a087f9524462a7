"""``calibration``: budgets for how far the candidate's probabilities are from how often it is right, and for how often it abstains."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.power import POWER, detectable
from regraft.evaluation.stats.proportions import wilson
from regraft.gates import words
from regraft.gates.budgets import Held, finding
from regraft.gates.calibration_error import Calibrated, Sure, measure, sure
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

CONFIDENCE = 0.95
"""Confidence of what is reported where no gate asks."""


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """ECE, Brier score and coverage, as far as the gate holds a budget for them."""
    options, name = gate.calibration, words.MODELS[comparison.candidate]
    answers = sure(comparison, comparison.candidate)
    if options is None or answers is None:
        return _open(comparison, f"{name} gave no probabilities, so nothing is known of their calibration.")
    parts: list[tuple[Held, str]] = []
    if options.max_ece or options.max_brier:
        calibrated = measure(comparison, answers, gate.confidence, options.max_ece or 0.0, options.max_brier or 0.0)
        parts += _budgets(calibrated, options.max_ece, options.max_brier)
    if options.min_coverage:
        if (abstain := _served(comparison).get("abstain")) is None:
            sentence = f"{name} has no threshold below which it abstains: it was trained before `abstain` was asked for."
            return _open(comparison, sentence)
        coverage = _coverage(comparison, answers, abstain, options.min_coverage, gate.confidence)
        parts.append((coverage, words.percent(options.min_coverage)))
    return finding("calibration", f"{name} on {comparison.n:,} test rows: ", parts)


def _open(comparison: Comparison, sentence: str) -> Finding:
    return Finding.in_words("calibration", comparison.n, "inconclusive", sentence)


def _served(comparison: Comparison) -> dict[str, Any]:
    """What the candidate's folder says of its calibration: temperature, abstaining; empty where it says nothing."""
    return (comparison.case.calibration or {}).get(comparison.candidate) or {}


def _budgets(calibrated: Calibrated, max_ece: float | None, max_brier: float | None) -> Iterator[tuple[Held, str]]:
    n, bins = calibrated.sure.n, calibrated.sure.count
    ece, brier = calibrated.ece, calibrated.brier
    over = f"{bins} bins of equally many rows" if bins > 1 else "1 bin of all rows"
    if max_ece:
        sentence = f"probabilities are off by {words.number(ece.value)} (ECE over {over}, {words.spread(ece)})"
        yield Held("ece", ece, n, sentence, open_end=words.undecided(n, ece)), words.number(max_ece)
    if max_brier:
        sentence = f"the Brier score is {words.number(brier.value)} ({words.spread(brier)})"
        yield Held("brier", brier, n, sentence, open_end=words.undecided(n, brier)), words.number(max_brier)


def _coverage(comparison: Comparison, answers: Sure, abstain: dict[str, Any], least: float, confidence: float) -> Held:
    answered = answers.p >= abstain["below"]
    count, hits, n = int(answered.sum()), int(answers.right[answered].sum()), answers.n
    share, (low, high) = count / n, wilson(count, n, confidence)
    error = sqrt(max(share, 1 / n) * max(1 - share, 1 / n) / n)
    power = comparison.case.policy.power or POWER
    effect = rounded(detectable(error, confidence, power))
    coverage = Measured(rounded(share), rounded(low), rounded(high), rounded(least), confidence, power, effect)
    interval = f"{confidence * 100:.4g} % interval {words.percent(low)} to {words.percent(high)}"
    sentence = f"{words.percent(share)} are answered ({interval})"
    if count:
        low, high = wilson(hits, count, confidence)
        sentence += f", and {words.percent(hits / count)} of those right ({words.percent(low)} to {words.percent(high)}; "
        sentence += f"{words.percent(abstain['precision'])} wanted)"
    return Held("coverage", coverage, n, sentence, floor=True, open_end=words.undecided(n, coverage))


def measured(comparison: Comparison) -> dict[str, Any]:
    """``{"calibration": ...}`` of the candidate for ``measurements.json``; nothing where neither a gate nor `abstain` asks."""
    gate = next((gate for gate in comparison.case.policy.gates if gate.calibration), None)
    if not comparison.case.calibration and gate is None:
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
