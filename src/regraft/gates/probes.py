"""How often an answer changes that should stay, or stays that should change: what robustness, counterfactuals and templates share.

A row fails a test when one of its variants gets a wrong answer: another one than the row itself, or, of a template, not
the one that was asked for. What is counted is rows, not variants, so that the counts are independent. The tests of one
gate are a family: each failure rate is held against the budget by a score test, corrected by Holm, and its interval is
Wilson's, the inversion of that test, at the test's level of the correction. One finding a gate, about the test that
settles it.

adapted and base answered the same variants. What only adapted gets wrong was added by the adaptation; what both get
wrong was there before it, or comes from the fine-tuning rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

from regraft.evaluation.stats.measured import Measured, Outcome, at_most, rounded
from regraft.evaluation.stats.power import POWER, detectable, quantile
from regraft.gates import words
from regraft.gates.finding import measured_finding
from regraft.gates.stages import MODELS
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.evaluation.probing import Probes
    from regraft.gates.comparison import Comparison


def _load(path: Any) -> Probes:
    from regraft.gates.evidence.probes import load

    return load(path)


PROBES = Table("probes", "probes.parquet", step="probes", path="probes.parquet", load=_load)
ONCE = "write one such gate with all its tests"


@dataclass(frozen=True)
class Wording:
    """How a gate speaks of its family of tests."""

    test: str
    """One of the family: "test", "dimension"."""
    when: Callable[[str], str]
    """When the rows of a test change, to stand after "test rows"."""
    no_row: str
    """There is no test that changes any row."""
    too_few: str
    """What fewer rows do than a test needs."""


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
    import numpy as np

    from regraft.evaluation.stats.proportions import holm, two_sided, wilson

    if not failed:
        return []
    n = np.array([len(rows) for rows in failed.values()])
    hits = np.array([sum(rows.values()) for rows in failed.values()])
    levels = holm(two_sided((hits - n * budget) / np.sqrt(n * budget * (1 - budget))), 1 - confidence).levels
    family = []
    for kind, size, failures, level in zip(failed, n.tolist(), hits.tolist(), levels.tolist(), strict=True):
        low, high = wilson(failures, size, 1 - level)
        share = max(failures, 1) / size
        effect = detectable(sqrt(share * (1 - min(share, 1 - 1 / size)) / size), 1 - level)
        numbers = (rounded(failures / size), rounded(low), rounded(high), rounded(budget))
        rate = Measured(*numbers, rounded(1 - level), POWER, rounded(effect))
        family.append(Rate(kind, size, failures, rate, at_most(rate)))
    return family


def settling(family: Sequence[Rate]) -> Rate:
    """The one that settles a gate: failed before open before passed, and of those the one that fails most."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    return min(family, key=lambda rate: (order[rate.outcome], -rate.measured.value, rate.kind))


def judge_family(question: str, comparison: Comparison, budget: float, min_rows: int, confidence: float) -> Finding:
    """The worst test of the candidate, of those that change at least ``min_rows`` rows."""
    candidate = comparison.candidate
    probes = answered(question, comparison)
    if isinstance(probes, Finding):
        return probes
    failed = probes.failed(question, candidate)
    large = {kind: rows for kind, rows in failed.items() if len(rows) >= min_rows}
    small = [{"test": kind, "rows": len(rows)} for kind, rows in failed.items() if kind not in large]
    family = rates(large, budget, confidence)
    if not family:
        few: dict[str, Any] = {"min_rows": min_rows, "sizes": [{"test": kind, "rows": len(rows)} for kind, rows in failed.items()]}
        return Finding.without_number(question, comparison.n, "inconclusive", "too_few", **few)
    worst = settling(family)
    facts = {
        "model": candidate,
        "test": worst.kind,
        "failed": worst.failed,
        **_together(probes, question, worst.kind),
        "tests": {outcome: [rate.kind for rate in family if rate.outcome == outcome] for outcome in ("fail", "inconclusive", "pass")},
        "small": small,
    }
    return finding(question, worst.measured, worst.n, worst.outcome, **facts)


def answered(question: str, comparison: Comparison) -> Probes | Finding:
    """The variants and the answers to them; the finding where nobody asked, or the candidate's answers cannot be used."""
    probes, candidate = comparison.case.found(PROBES), comparison.candidate
    if probes is None:
        return Finding.without_number(question, comparison.n, "inconclusive", "not_answered")
    rows = probes.unusable(question, candidate)
    if not rows:
        return probes
    return Finding.without_number(question, comparison.n, "fail", "not_finite", model=candidate, rows=words.listed(rows))


def finding(question: str, rate: Measured, n: int, outcome: Outcome, **facts: Any) -> Finding:
    """The finding about one failure rate."""
    return measured_finding(question, None, None, rate, n, outcome, **facts)


def unanswered(f: words.Document) -> str | None:
    """What is said where there are no usable answers; None where there are."""
    match f["code"]:
        case "not_answered":
            return "the step `probes` has not answered this question."
        case "not_finite":
            return f"{words.model(f['facts']['model'])} gives probabilities that are not finite for {words.some(f['facts']['rows'])}."
    return None


def sentence_of(f: words.Document, wording: Wording) -> str:
    """The finding of :func:`judge_family` in words."""
    if (problem := unanswered(f)) is not None:
        return problem
    facts = f["facts"]
    if f["code"] == "too_few":
        sizes = ", ".join(f"{part['test']} {part['rows']:,}" for part in facts["sizes"])
        few = f"fewer than {facts['min_rows']} test rows {wording.too_few} ({sizes}), so nothing is judged"
        return f"{few if facts['sizes'] else wording.no_row}."
    rows = f"{facts['failed']:,} of {f['n']:,} test rows {wording.when(facts['test'])}"
    text = f"{words.model(facts['model'])} changes its answer to {rows}: {words.percent(f['value'])} ({words.spread(f, words.percent)})"
    text += f", {words.SIDES[f['outcome']]} the {words.percent(f['threshold'])} allowed"
    text += f"; {_origin(facts)}" if "in_both" in facts else ""
    judged = sum(map(len, facts["tests"].values()))
    text += f"; {_family(facts, judged, wording)}" if judged + len(facts["small"]) > 1 else ""
    return f"{text}{words.asked_for(facts, 'such rows')}."


def _origin(facts: words.Document) -> str:
    """What was there before the adaptation, and what it added."""
    both = facts["in_both"]
    if facts["model"] == "adapted":
        added = f"{facts['only_adapted']:,} only since the adaptation"
        return f"{both:,} of these rows change with the fine-tuned-only model too, {added}, and {facts['only_base']:,} no longer do"
    return f"with adapted it is {words.counted(both + facts['only_adapted'], 'row')}" + (f", {both:,} of them the same" if both else "")


def _family(facts: words.Document, judged: int, wording: Wording) -> str:
    parts = []
    for outcome, word in (("fail", "above"), ("inconclusive", "open"), ("pass", "within")):
        if names := facts["tests"][outcome]:
            parts.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if outcome != "pass" else ""))
    family = f"of {judged} {wording.test}{'s' * (judged != 1)} {', '.join(parts)}"
    few = ", ".join(f"{part['test']} ({words.counted(part['rows'], 'row')})" for part in facts["small"])
    return f"{family}; too few rows for {few}" if facts["small"] else family


def _together(probes: Probes, question: str, kind: str) -> dict[str, int]:
    """Rows that fail with both models, only with adapted, only with base; empty where not both were asked."""
    if not {*MODELS} <= probes.answers.keys():
        return {}
    adapted, base = (probes.failed(question, model)[kind] for model in MODELS)
    return {
        "in_both": sum(adapted[row] and base[row] for row in adapted),
        "only_adapted": sum(adapted[row] and not base[row] for row in adapted),
        "only_base": sum(base[row] and not adapted[row] for row in adapted),
    }


def measured(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """The part of ``measurements.json``: every test of every gate, for itself, of both models, and what the adaptation added; nothing where
    nobody asked."""
    from regraft.evaluation.stats.proportions import tango_interval, wilson

    probes = comparison.case.found(PROBES)
    if probes is None:
        return {}
    confidence, table = comparison.case.policy.adaptation[1], []
    for question in dict.fromkeys(probes.gates):
        by_model = {model: probes.failed(question, model) for model in probes.answers}
        for kind, rows in next(iter(by_model.values())).items():
            failed = {model: sum(by_model[model][kind].values()) for model in by_model}
            shares = {m: {"failed": k, "rate": _number(k / len(rows), *wilson(k, len(rows), confidence))} for m, k in failed.items()}
            row = {"gate": question, "kind": kind, "rows": len(rows), **shares}
            if together := _together(probes, question, kind):
                gained, lost = together["only_adapted"], together["only_base"]
                low, high = tango_interval([gained], [lost], [len(rows)], quantile(confidence))
                row |= {**together, "added": _number((gained - lost) / len(rows), low[0], high[0])}
            table.append(row)
    return {"probes": table}


def _number(value: float, low: float, high: float) -> dict[str, float]:
    assert isfinite(value)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
