"""Everything measured on the way to a verdict, for people who want more than the gates asked: ``measurements.json``.

It decides nothing. Every number has an interval; every comparison and slice says the smallest true difference that
these rows would have shown (:mod:`regraft.gates.power`). Like a verdict it is the same bytes for the same evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np

from regraft.gates import calibration, clean, cost, earlier_tasks, fairness, forgetting, probes, seeds, suspects
from regraft.gates.bootstrap import class_counts, interval, row_counts
from regraft.gates.case import Case
from regraft.gates.court import REPORTED, Court
from regraft.gates.metrics import COUNTED, counts
from regraft.gates.paired import Floats
from regraft.gates.power import POWER, detectable, disagreement_error, quantile
from regraft.gates.proportions import tango_interval, wilson
from regraft.gates.ranking import RANKED, Ranking
from regraft.gates.slices import Slice, SliceResult, members, split_by_size
from regraft.gates.verdict import Measured, rounded

SCHEMA = 1
MIN_ROWS = 30
"""Smaller slices are counted and not listed."""
Json = dict[str, Any]


def measurements(case: Case, court: Court | None) -> Json:
    """The document. ``court`` is what :func:`regraft.gates.policy.hear` returned; None: the predictions could not be used."""
    confidence = case.policy.adaptation[1]
    head: Json = {"schema": SCHEMA, "pipeline": case.pipeline, "rows": case.rows.n, "confidence": confidence, "power": POWER}
    head |= {"seed": case.policy.seed, "resamples": case.policy.resamples, "decisions_on_these_rows": case.decisions}
    if court is None:
        return {**head, "candidate": None, "metrics": {}, "classes": [], "comparisons": [], "flips": {}, "slices": [], "slice_gates": []}
    court.resampled("accuracy", *COUNTED, *RANKED)
    others = [model for model in ("champion", "base", "tfidf") if model in court.paired.preds and model != court.candidate]
    return {
        **head,
        "candidate": court.candidate,
        "metrics": {model: dict(_metrics(court, model, confidence)) for model in court.paired.preds},
        "classes": _classes(court, confidence),
        "comparisons": [row for against in others for row in _comparisons(court, against, confidence)],
        "flips": {against: _flips(court, against, confidence) for against in others},
        "slices": _slices(court, others[0], confidence) if others else [],
        "slice_gates": [_slice_gate(court, number) for number in sorted(court.judged)],
        **fairness.measured(court, confidence),
        **probes.measured(court, confidence),
        **clean.measured(court),
        **suspects.measured(court, confidence),
        **({"seeds": seeds.document(court)} if court.repeats else {}),
        **calibration.measurements(court),
        **cost.measurements(court),
        **forgetting.measured(case),
        **earlier_tasks.measured(case),
    }


def _number(value: float, low: float, high: float) -> Json:
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _metrics(court: Court, model: str, confidence: float) -> Iterator[tuple[str, Json | None]]:
    """Every metric; None where it is not defined."""
    for metric, value in court.scores[model].items():
        if isnan(value):
            yield metric, None
        else:
            found = court.score(model, metric, confidence)
            yield metric, _number(found.value, found.low, found.high)


def _comparisons(court: Court, against: str, confidence: float) -> Iterator[Json]:
    """Candidate minus ``against``; above 0 is better for every metric."""
    for metric in court.scores[court.candidate]:
        if isnan(court.scores[court.candidate][metric]) or isnan(court.scores[against].get(metric, float("nan"))):
            continue
        found = court.difference(court.candidate, against, metric, confidence)
        yield {"against": against, "metric": metric, **_number(found.value, found.low, found.high), "detectable": found.detectable or None}


def _flips(court: Court, against: str, confidence: float) -> Json:
    gained, lost = court.flipped(against)
    return {"gained": gained, "lost": lost, "share_lost": _number(lost / court.n, *wilson(lost, court.n, confidence))}


def _classes(court: Court, confidence: float) -> list[Json]:
    """One line a class of the candidate, by label."""
    found, columns = counts(court.paired, court.candidate), _class_columns(court)
    table = []
    for k in np.argsort(np.array(court.paired.classes)).tolist():
        row: Json = {"label": court.paired.classes[k], "rows": int(found.sizes[k]), "predicted": int(found.named[k])}
        for name, (value, resampled) in columns.items():
            here = resampled[:, k][~np.isnan(resampled[:, k])]  # a resample in which nothing was given this class has no precision
            row[name] = None if isnan(value[k]) or not len(here) else _number(value[k], *interval(here, confidence))
        table.append(row)
    return table


def _class_columns(court: Court) -> dict[str, tuple[Floats, Floats]]:
    """name -> ([K] values, [resamples, K])."""
    policy, model = court.case.policy, court.candidate
    few = {"seed": policy.seed, "resamples": min(REPORTED, policy.resamples)}
    blocks = [drawn for _, _, drawn in class_counts(court.paired, [model], **few)]
    hits, named = np.concatenate([b.hits for b in blocks]), np.concatenate([b.named for b in blocks])
    here, sizes = counts(court.paired, model), court.paired.sizes
    columns = {
        "precision": (_share(here.hits, here.named), _share(hits, named)),
        "recall": (here.hits / sizes, hits / sizes),
        "f1": (2 * here.hits / (here.named + sizes), 2 * hits / (named + sizes)),
    }
    if model in court.paired.probabilities:
        ranking = Ranking(court.paired, model)
        every = ranking.areas(np.ones((1, court.n), dtype=np.int64))
        areas = [ranking.areas(drawn) for _, drawn in row_counts(court.paired, **few)]
        columns["roc_auc"] = (every.roc[0], np.concatenate([a.roc for a in areas]))
        columns["pr_auc"] = (every.pr[0], np.concatenate([a.pr for a in areas]))
    return columns


def _share(part: Floats | np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))


def _slices(court: Court, against: str, confidence: float) -> list[Json]:
    """Every slice with enough rows, each for itself: intervals are not corrected for being many."""
    table = court.case.slices
    if table is None:
        return []
    found, _ = split_by_size(list(members(court.paired, table, sorted(table.columns))), MIN_ROWS)
    return [_slice(court, part, against, confidence) for part in found]


def _slice(court: Court, part: Slice, against: str, confidence: float) -> Json:
    now, before = court.paired.right(court.candidate)[part.rows], court.paired.right(against)[part.rows]
    gained, lost, right = int((now & ~before).sum()), int((before & ~now).sum()), int(now.sum())
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


def _slice_gate(court: Court, number: int) -> Json:
    """A slice gate in full: its finding names the worst slice only."""
    gate, (results, small) = court.case.policy.gates[number], court.judged[number]
    return {
        "gate": number,
        "against": gate.against,
        "min_rows": gate.min_rows,
        "judged": [_judged(result) for result in results],
        "too_small": {"slices": len(small), "rows": sum(part.n for part in small)},
    }


def _judged(result: SliceResult) -> Json:
    found: Measured = result.measured
    return {**{key: value for key, value in asdict(result).items() if key != "measured"}, **asdict(found)}


def power_summary(document: Json) -> list[Json]:
    """What a plan says of the test rows: every comparison of accuracy and macro-F1, and the range over the slices of a column."""
    rows, power = document["rows"], document["power"]
    found = [
        {"against": row["against"], "metric": row["metric"], "rows": rows, "power": power, "detectable": row["detectable"]}
        for row in document["comparisons"]
        if row["metric"] in ("macro_f1", "accuracy")
    ]
    for column in sorted({row["column"] for row in document["slices"]}):
        parts = [row for row in document["slices"] if row["column"] == column]
        effects = [row["detectable"] for row in parts]
        of = {"against": parts[0]["against"], "metric": "accuracy", "rows": rows, "power": power, "detectable": min(effects)}
        found.append({**of, "slices": column, "count": len(parts), "detectable_at_worst": max(effects)})
    return found
