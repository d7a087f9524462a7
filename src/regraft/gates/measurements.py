"""Everything measured on the way to a verdict, for people who want more than the gates asked: ``measurements.json``.

It decides nothing. Every number has an interval; every comparison and slice says the smallest true difference that
these rows would have shown (:mod:`regraft.evaluation.stats.power`). Like a verdict it is the same bytes for the same evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

import numpy as np

from regraft.evaluation.stats import unseen
from regraft.evaluation.stats.bootstrap import class_counts, interval
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.metrics import COUNTED, counts
from regraft.evaluation.stats.paired import Floats
from regraft.evaluation.stats.power import POWER, detectable, disagreement_error, quantile
from regraft.evaluation.stats.proportions import tango_interval, wilson
from regraft.evaluation.stats.ranking import RANKED, Ranking
from regraft.evaluation.stats.resampling import row_counts
from regraft.evaluation.stats.slices import Slice, members, split_by_size
from regraft.gates import decontaminated, judging, seeds, slice_gate
from regraft.gates.case import Case
from regraft.gates.comparison import REPORTED, Comparison
from regraft.gates.registry import GATES

SCHEMA = 1
MIN_ROWS = 30
"""Smaller slices are counted and not listed."""
Json = dict[str, Any]


def measurements(case: Case, comparison: Comparison | None) -> Json:
    """The document. ``comparison`` is what :func:`regraft.gates.policy.evaluate` returned; None: the predictions could not be used."""
    confidence = case.policy.adaptation[1]
    head: Json = {"schema": SCHEMA, "pipeline": case.pipeline, "rows": case.rows.n, "confidence": confidence, "power": POWER}
    head |= {"seed": case.policy.seed, "resamples": case.policy.resamples, "decisions_on_these_rows": case.decisions}
    if comparison is None:
        return {**head, "candidate": None, "metrics": {}, "classes": [], "comparisons": [], "flips": {}, "slices": [], "slice_gates": []}
    comparison.resampled("accuracy", *COUNTED, *RANKED)
    others, asked = comparison.others, list(judging.measurable(comparison))
    return {
        **head,
        "candidate": comparison.candidate,
        "metrics": {model: dict(_metrics(comparison, model, confidence)) for model in comparison.paired.preds},
        "classes": _classes(comparison, confidence),
        "comparisons": [row for against in others for row in _comparisons(comparison, against, confidence)],
        "flips": {against: _flips(comparison, against, confidence) for against in others},
        "slices": _slices(comparison, others[0], confidence) if others else [],
        "slice_gates": [_of_slices(comparison, number, line) for number, line in asked if isinstance(line, slice_gate.Slices)],
        **decontaminated.measured(comparison, asked, judging.judge),
        **({"seeds": seeds.measured(comparison)} if comparison.repeats else {}),
        **of_gates(comparison),
        **({"shared": _shared(comparison.shared, confidence)} if comparison.shared else {}),
    }


def _of_slices(comparison: Comparison, number: int, line: slice_gate.Slices) -> Json:
    return slice_gate.measured(number, line, comparison.against(line.against))


def _shared(comparison: Comparison, confidence: float) -> Json:
    """What is measured against a champion that lacks a class, on the rows of classes that both know."""
    change = comparison.case.classes
    assert change is not None
    return {
        "rows": comparison.n,
        "new": list(change.new),
        "vanished": list(change.vanished),
        "comparisons": list(_comparisons(comparison, "champion", confidence)),
        "flips": _flips(comparison, "champion", confidence),
    }


def of_gates(comparison: Comparison) -> Json:
    """What gates measure beyond their findings: those that are asked, and those that find evidence of theirs."""
    parts: Json = {}
    for name in involved(comparison.case):
        parts |= GATES[name].measured(comparison)
    return parts


def involved(case: Case) -> list[str]:
    """The gates that are asked, and those that find evidence of theirs, in the order of the registry."""
    asked = {line.gate for line in case.policy.gates}
    return [name for name in GATES if name in asked or any(table.key in case.evidence for table in GATES[name].evidence)]


def _number(value: float, low: float, high: float) -> Json:
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _metrics(comparison: Comparison, model: str, confidence: float) -> Iterator[tuple[str, Json | None]]:
    """Every metric; None where it is not defined."""
    for metric, value in comparison.scores[model].items():
        if isnan(value):
            yield metric, None
        else:
            score = comparison.score(model, metric, confidence)
            yield metric, _number(score.value, score.low, score.high)


def _comparisons(comparison: Comparison, against: str, confidence: float) -> Iterator[Json]:
    """Candidate minus ``against``; above 0 is better for every metric."""
    for metric in comparison.scores[comparison.candidate]:
        if not comparison.defined(metric, (comparison.candidate, against)):
            continue
        lead = comparison.difference(comparison.candidate, against, metric, confidence)
        yield {"against": against, "metric": metric, **_number(lead.value, lead.low, lead.high), "detectable": lead.detectable or None}


def _flips(comparison: Comparison, against: str, confidence: float) -> Json:
    gained, lost = comparison.flipped(against)
    return {"gained": gained, "lost": lost, "share_lost": _number(lost / comparison.n, *wilson(lost, comparison.n, confidence))}


def _classes(comparison: Comparison, confidence: float) -> list[Json]:
    """One line a class of the candidate, by label."""
    of_all_rows, columns = counts(comparison.paired, comparison.candidate), _class_columns(comparison)
    table = []
    for k in np.argsort(np.array(comparison.paired.classes)).tolist():
        row: Json = {"label": comparison.paired.classes[k], "rows": int(of_all_rows.sizes[k]), "predicted": int(of_all_rows.named[k])}
        for name, (value, resampled) in columns.items():
            defined = resampled[:, k][~np.isnan(resampled[:, k])]  # a resample in which nothing was given this class has no precision
            if isnan(value[k]) or not len(defined):
                row[name] = None
                continue
            ends = interval(defined, confidence)
            if comparison.case.policy.interval:
                ends = unseen.opened(ends, value[k], row["predicted" if name == "precision" else "rows"], confidence, 0.0, 1.0)
            row[name] = _number(value[k], *ends)
        table.append(row)
    return table


def _class_columns(comparison: Comparison) -> dict[str, tuple[Floats, Floats]]:
    """name -> ([K] values, [resamples, K])."""
    policy, model = comparison.case.policy, comparison.candidate
    few = {"seed": policy.seed, "resamples": min(REPORTED, policy.resamples)}
    blocks = [drawn for _, _, drawn in class_counts(comparison.paired, [model], **few)]
    hits, named = np.concatenate([b.hits for b in blocks]), np.concatenate([b.named for b in blocks])
    of_all_rows, sizes = counts(comparison.paired, model), comparison.paired.sizes
    columns = {
        "precision": (_share(of_all_rows.hits, of_all_rows.named), _share(hits, named)),
        "recall": (of_all_rows.hits / sizes, hits / sizes),
        "f1": (2 * of_all_rows.hits / (of_all_rows.named + sizes), 2 * hits / (named + sizes)),
    }
    if model in comparison.paired.probabilities:
        ranking = Ranking(comparison.paired, model)
        every = ranking.areas(np.ones((1, comparison.n), dtype=np.int64))
        areas = [ranking.areas(drawn) for _, drawn in row_counts(comparison.paired.strata, **few)]
        columns["roc_auc"] = (every.roc[0], np.concatenate([a.roc for a in areas]))
        columns["pr_auc"] = (every.pr[0], np.concatenate([a.pr for a in areas]))
    return columns


def _share(part: Floats | np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))


def _slices(comparison: Comparison, against: str, confidence: float) -> list[Json]:
    """Every slice with enough rows, each for itself: intervals are not corrected for being many."""
    table = comparison.case.slices
    if table is None:
        return []
    large, _ = split_by_size(list(members(comparison.paired, table, sorted(table.columns))), MIN_ROWS)
    return [_slice(comparison, part, against, confidence) for part in large]


def _slice(comparison: Comparison, part: Slice, against: str, confidence: float) -> Json:
    paired, candidate = comparison.paired, comparison.candidate
    masks = (paired.gained(candidate, against), paired.lost(candidate, against), paired.right(candidate))
    gained, lost, right = (int((mask & part.rows).sum()) for mask in masks)
    low, high = tango_interval([gained], [lost], [part.n], quantile(confidence))
    return {
        "column": part.column,
        "value": part.value,
        "rows": part.n,
        "accuracy": _number(right / part.n, *wilson(right, part.n, confidence)),
        "against": against,
        "gained": gained,
        "lost": lost,
        "difference": _number((gained - lost) / part.n, low[0], high[0]),
        "detectable": rounded(detectable(disagreement_error(gained, lost, part.n), confidence)),
    }


def power_summary(document: Json) -> list[Json]:
    """What a plan says of the test rows: every comparison of accuracy and macro-F1, and the range over the slices of a column."""
    rows, power = document["rows"], document["power"]
    summary = [
        {"against": row["against"], "metric": row["metric"], "rows": rows, "power": power, "detectable": row["detectable"]}
        for row in document["comparisons"]
        if row["metric"] in ("macro_f1", "accuracy")
    ]
    for column in sorted({row["column"] for row in document["slices"]}):
        parts = [row for row in document["slices"] if row["column"] == column]
        effects = [row["detectable"] for row in parts]
        of = {"against": parts[0]["against"], "metric": "accuracy", "rows": rows, "power": power, "detectable": min(effects)}
        summary.append({**of, "slices": column, "count": len(parts), "detectable_at_worst": max(effects)})
    return summary
