"""How often an answer changes that should stay, or stays that should change: robustness, counterfactuals, templates.

A row fails a test when one of its variants gets a wrong answer: another one than the row itself, or, of a template, not
the one that was asked for. What is counted is rows, not variants, so that the counts are independent. The tests of one
gate are a family: each failure rate is held against the budget by a score test, corrected by Holm, and its interval is
Wilson's, the inversion of that test, at the test's level of the correction. One finding a gate, about the test that
settles it. Cases of templates are no sample of anything, so their failure rate is exact.

adapted and base answered the same variants. What only adapted gets wrong was added by the adaptation; what both get
wrong was there before it, or comes from the fine-tuning rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.config import PROBED, GateOptions
from regraft.errors import EnvironmentFault
from regraft.gates import words
from regraft.gates.paired import Predictions
from regraft.gates.power import POWER, detectable, quantile
from regraft.gates.proportions import holm, tango_interval, two_sided, wilson
from regraft.gates.verdict import Finding, Measured, Outcome, at_most, rounded

if TYPE_CHECKING:
    from regraft.gates.court import Court

MODELS = ("adapted", "base")
NAMED = {
    "typos": "after a typo",
    "case": "in other capitals",
    "punctuation": "after a change of the last mark",
    "whitespace": "after a line break",
    "length": "after one more sentence",
}
END = {"pass": "within", "fail": "above", "inconclusive": "on both sides of"}


@dataclass(frozen=True)
class Answers:
    """What one model said of n variants."""

    before: Sequence[str | None]
    """Its answer to the text that a variant was made from; None where there is none."""
    preds: Sequence[str]
    p: NDArray[np.float32]
    """[n] probability of ``preds``."""


@dataclass(frozen=True)
class Probes:
    """n variants and the answers to them; parallel columns, in the order in which they were made."""

    gates: Sequence[str]
    kinds: Sequence[str]
    ids: Sequence[str]
    """Of the test row; of a template, the number of its case."""
    changes: Sequence[str]
    expects: Sequence[str]
    """same, different or label."""
    labels: Sequence[str | None]
    """What the answer must be, where ``expects`` says label."""
    answers: Mapping[str, Answers]
    """Of adapted and base."""

    def check(self, predictions: Mapping[str, Predictions]) -> None:
        """EnvironmentFault when the variants are not those of the test rows that were predicted."""
        for model, said in self.answers.items():
            known = dict(zip(predictions[model].ids, predictions[model].preds, strict=True))
            for gate, row, before in zip(self.gates, self.ids, said.before, strict=True):
                if gate != "templates" and known.get(row) != before:
                    raise EnvironmentFault(f"the probes hold another answer of {model} to row {row!r} than the predictions do")

    def failed(self, gate: str, model: str) -> dict[str, dict[str, bool]]:
        """Test -> row -> whether one of its variants got a wrong answer, by tests and rows as they were made."""
        found: dict[str, dict[str, bool]] = {}
        for i, named in enumerate(self.gates):
            if named == gate:
                rows = found.setdefault(self.kinds[i], {})
                rows[self.ids[i]] = rows.get(self.ids[i], False) or self.wrong(i, model)
        return found

    def wrong(self, i: int, model: str) -> bool:
        """Whether variant ``i`` got another answer than it should."""
        said = self.answers[model]
        changed = said.preds[i] != said.before[i]
        return {"same": changed, "different": not changed, "label": said.preds[i] != self.labels[i]}[self.expects[i]]

    def unusable(self, gate: str, model: str) -> list[str]:
        """Rows with a variant whose probability is not finite, as a sentence names them."""
        bad = ~np.isfinite(self.answers[model].p)
        rows = (f"{self.kinds[i]} {self.ids[i]}" for i in np.flatnonzero(bad).tolist() if self.gates[i] == gate)
        return list(dict.fromkeys(rows))


@dataclass(frozen=True)
class Rate:
    """One test of a family: rows, how many of them failed, and that rate against the budget."""

    kind: str
    n: int
    failed: int
    measured: Measured
    outcome: Outcome


def rates(failed: Mapping[str, Mapping[str, bool]], budget: float, confidence: float) -> list[Rate]:
    """Every test against ``budget``, 0 < budget < 1, Holm's correction over all of them; each has at least one row."""
    if not failed:
        return []
    n = np.array([len(rows) for rows in failed.values()])
    hits = np.array([sum(rows.values()) for rows in failed.values()])
    levels = holm(two_sided((hits - n * budget) / np.sqrt(n * budget * (1 - budget))), 1 - confidence).levels
    found = []
    for kind, size, wrong, level in zip(failed, n.tolist(), hits.tolist(), levels.tolist(), strict=True):
        low, high = wilson(wrong, size, 1 - level)
        share = max(wrong, 1) / size
        effect = detectable(sqrt(share * (1 - min(share, 1 - 1 / size)) / size), 1 - level)
        asked = Measured(rounded(wrong / size), rounded(low), rounded(high), rounded(budget), rounded(1 - level), POWER, rounded(effect))
        found.append(Rate(kind, size, wrong, asked, at_most(asked)))
    return found


def settling(found: Sequence[Rate]) -> Rate:
    """The one that settles a gate: failed before open before passed, and of those the one that fails most."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    return min(found, key=lambda rate: (order[rate.outcome], -rate.measured.value, rate.kind))


def robustness(court: Court, gate: GateOptions) -> Finding:
    """Invariance tests of the candidate; the worst one is the finding."""
    options = gate.robustness
    assert options is not None
    return _judged(court, gate, options.max_failure_rate, options.min_rows)


def counterfactual(court: Court, gate: GateOptions) -> Finding:
    """Rows of the candidate that flip with the people in them; the worst dimension is the finding."""
    options = gate.counterfactual
    assert options is not None
    return _judged(court, gate, options.max_flip_rate, options.min_rows)


def _judged(court: Court, gate: GateOptions, budget: float, min_rows: int) -> Finding:
    question, probes = gate.question, court.case.probes
    if probes is None or (bad := probes.unusable(question, court.candidate)):
        return _not_measured(court, question, [] if probes is None else bad)
    failed = probes.failed(question, court.candidate)
    large = {kind: rows for kind, rows in failed.items() if len(rows) >= min_rows}
    small = {kind: len(rows) for kind, rows in failed.items() if kind not in large}
    found = rates(large, budget, gate.confidence)
    if not found:
        return Finding.in_words(question, court.n, "inconclusive", f"{_too_few(question, failed, min_rows)}.")
    worst = settling(found)
    said = f"{_said(question, court.candidate, worst)}; {_origin(probes, question, worst.kind, court.candidate)}"
    said += f"; {_family(question, found, small)}" if len(found) + len(small) > 1 else ""
    said += f"; {such_rows(worst.n, worst.measured)}" if worst.outcome == "inconclusive" else ""
    return _finding(question, worst.measured, worst.n, worst.outcome, f"{said}.")


def templates(court: Court, gate: GateOptions) -> Finding:
    """All cases of a user's templates; exact, so the interval is the number."""
    options, probes = gate.templates, court.case.probes
    assert options is not None
    if probes is None or (bad := probes.unusable("templates", court.candidate)):
        return _not_measured(court, "templates", [] if probes is None else bad)
    failed = probes.failed("templates", court.candidate)
    n, wrong = sum(map(len, failed.values())), sum(sum(rows.values()) for rows in failed.values())
    share = rounded(wrong / n)
    found = Measured(share, share, share, rounded(options.max_failure_rate), gate.confidence)
    outcome = at_most(found)
    said = f"{words.MODELS[court.candidate]} gets {wrong:,} of {words.counted(n, 'case')} of the templates wrong, {words.percent(share)}"
    said += f" (an exact count), {END[outcome]} the {words.percent(found.threshold)} allowed"
    worst = sorted((kind for kind, rows in failed.items() if any(rows.values())), key=lambda kind: -sum(failed[kind].values()))
    told = [f"{kind} ({sum(failed[kind].values()):,} of {len(failed[kind]):,})" for kind in worst[: words.NAMED]]
    said += (
        f"; {', '.join(told)}" + (f" and {words.counted(len(worst) - len(told), 'more test')}" if len(worst) > len(told) else "")
        if told
        else ""
    )
    return _finding("templates", found, n, outcome, f"{said}.")


def such_rows(n: int, found: Measured) -> str:
    """What an open question asks for: more rows of those that it is about, not of any."""
    return words.undecided(n, found).replace("more test rows", "more such rows")


def _said(question: str, model: str, rate: Rate) -> str:
    """One test, without what follows for the gate."""
    held = rate.measured
    when = NAMED[rate.kind] if question == "robustness" else f"when its terms of {rate.kind} are exchanged"
    said = f"{words.MODELS[model]} changes its answer to {rate.failed:,} of {rate.n:,} test rows {when}: {words.percent(held.value)}"
    interval = f"{held.confidence * 100:.4g} % interval {words.percent(held.low)} to {words.percent(held.high)}"
    return f"{said} ({interval}), {END[rate.outcome]} the {words.percent(held.threshold)} allowed"


def _origin(probes: Probes, question: str, kind: str, candidate: str) -> str:
    """What was there before the adaptation, and what it added."""
    both, only_adapted, only_base = _together(probes, question, kind)
    if candidate == "adapted":
        added = f"{only_adapted:,} only since the adaptation"
        return f"{both:,} of these rows change with the un-adapted base too, {added}, and {only_base:,} no longer do"
    return f"with adapted it is {words.counted(both + only_adapted, 'row')}" + (f", {both:,} of them the same" if both else "")


def _together(probes: Probes, question: str, kind: str) -> tuple[int, int, int]:
    """Rows that fail with both models, only with adapted, only with base."""
    adapted, base = (probes.failed(question, model)[kind] for model in MODELS)
    return (
        sum(adapted[row] and base[row] for row in adapted),
        sum(adapted[row] and not base[row] for row in adapted),
        sum(base[row] and not adapted[row] for row in adapted),
    )


def _family(question: str, found: Sequence[Rate], small: Mapping[str, int]) -> str:
    parts = []
    for outcome, word in (("fail", "above"), ("inconclusive", "open"), ("pass", "within")):
        if names := [rate.kind for rate in found if rate.outcome == outcome]:
            parts.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if outcome != "pass" else ""))
    said = f"of {len(found)} {'test' if question == 'robustness' else 'dimension'}{'s' * (len(found) != 1)} {', '.join(parts)}"
    few = ", ".join(f"{kind} ({words.counted(rows, 'row')})" for kind, rows in small.items())
    return f"{said}; too few rows for {few}" if small else said


def _too_few(question: str, failed: Mapping[str, Mapping[str, bool]], min_rows: int) -> str:
    if not failed:
        return "no test row holds a term of the list" if question == "counterfactual" else "no test row can be changed by these tests"
    told = ", ".join(f"{kind} {len(rows):,}" for kind, rows in failed.items())
    what = "hold terms of one dimension" if question == "counterfactual" else "can be changed by one test"
    return f"fewer than {min_rows} test rows {what} ({told}), so nothing is judged"


def _not_measured(court: Court, question: str, bad: Sequence[str]) -> Finding:
    """Variants were not asked about, or their answers cannot be used."""
    if not bad:
        return Finding.in_words(question, court.n, "inconclusive", "the step `probes` has not answered this question.")
    more = f" and {len(bad) - 3:,} more" if len(bad) > 3 else ""
    said = f"{words.MODELS[court.candidate]} gives probabilities that are not finite for {', '.join(bad[:3])}{more}."
    return Finding.in_words(question, court.n, "fail", said)


def _finding(gate: str, found: Measured, n: int, outcome: Outcome, sentence: str) -> Finding:
    return Finding(gate, None, None, found.value, found.low, found.high, found.threshold, n, outcome, sentence)


def measured(court: Court, confidence: float) -> dict[str, list[dict[str, Any]]]:
    """Every test of every gate, for itself: both models, and what the adaptation added; the key of measurements.json, if probed."""
    probes = court.case.probes
    if probes is None:
        return {}
    table = []
    for gate in PROBED:
        by_model = {model: probes.failed(gate, model) for model in MODELS}
        for kind, rows in by_model["adapted"].items():
            both, gained, lost = _together(probes, gate, kind)
            low, high = tango_interval([gained], [lost], [len(rows)], quantile(confidence))
            added = _number((gained - lost) / len(rows), low[0], high[0])
            failed = {model: sum(by_model[model][kind].values()) for model in MODELS}
            shares = {m: {"failed": k, "rate": _number(k / len(rows), *wilson(k, len(rows), confidence))} for m, k in failed.items()}
            told = {"gate": gate, "kind": kind, "rows": len(rows), **shares, "in_both": both, "only_adapted": gained, "only_base": lost}
            table.append({**told, "added": added})
    return {"probes": table}


def _number(value: float, low: float, high: float) -> dict[str, float]:
    assert isfinite(value)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
