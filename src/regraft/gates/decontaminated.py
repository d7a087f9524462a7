"""Gates on the clean rows: the test rows that share no long run of words with what a model was trained on.

A model may be right about a row because it has read it. What decides is therefore the same question asked of the
clean rows alone, as if there were no others: lined up, resampled and held against the threshold anew. The answer on all
rows is told beside it (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C, reports both).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats.paired import Predictions, align
from regraft.gates import words
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Court

MIN_ROWS = 30
"""Fewer clean rows decide nothing: as with slices, intervals of fewer are too narrow."""
KINDS = {"exact": "word for word", "near": "nearly"}
SOURCES = {"train": "in the training rows", "corpus": "in the corpus"}
PASSED = {"pass": "would have passed", "fail": "would have failed", "inconclusive": "would have decided nothing"}


def clean_rows(court: Court) -> frozenset[str]:
    """Ids of the rows without overlap. EnvironmentFault when the overlaps are those of other rows."""
    overlaps = court.case.doubts.overlaps or {}
    if set(overlaps) != set(court.paired.ids):
        raise EnvironmentFault(f"the overlaps are those of {len(overlaps):,} rows, the predictions of {court.n:,}; they do not match")
    return frozenset(row for row, found in overlaps.items() if found.kind is None)


def on_clean_rows(court: Court) -> Court | None:
    """The same models and gates on the clean rows alone; None where those are too few."""
    rows = clean_rows(court)
    if len(rows) < MIN_ROWS:
        return None
    kept = {model: _only(court.case.predictions[model], rows) for model in court.paired.preds}
    seeds = court.case.seeds and {model: [_only(table, rows) for table in tables] for model, tables in court.case.seeds.items()}
    case = replace(court.case, predictions={**court.case.predictions, **kept}, seeds=seeds)
    return replace(court, case=case, paired=align(kept), asked_of="clean test rows", judged={}, _resampled={})


def finding(court: Court, position: int, gate: GateOptions) -> Finding:
    """The gate at ``position``, which asks of the clean rows, decided by them; the sentence names the number of all rows too."""
    against = None if gate.question == "at_least" else gate.beats or gate.against
    if court.case.doubts.overlaps is None:
        said = "nobody looked which test rows overlap with training texts, so none is known to be clean."
        return Finding.in_words(gate.question, court.n, "inconclusive", said, against=against, metric=gate.metric)
    if court.clean is None:
        n = len(clean_rows(court))
        said = f"only {n:,} of {court.n:,} test rows {'is' if n == 1 else 'are'} clean"
        said += f", and fewer than {MIN_ROWS} decide nothing: {_overlapping(court)}."
        return Finding.in_words(gate.question, n, "inconclusive", said, against=against, metric=gate.metric)
    decided, whole = court.beside[position] = _answer(court.clean, gate), _answer(court, gate)
    return replace(decided, sentence=f"{decided.sentence.removesuffix('.')}; {_beside(court, gate, decided, whole)}.")


def _answer(court: Court, gate: GateOptions) -> Finding:
    """What ``court`` says to the question of ``gate``, of all rows that it has."""
    seeds = [line for line in court.case.policy.gates if line.seeds]
    policy = replace(court.case.policy, gates=(*seeds, gate.model_copy(update={"rows": None})))
    return list(replace(court, case=replace(court.case, policy=policy)).findings())[-1]


def _only(predictions: Predictions, rows: frozenset[str]) -> Predictions:
    keep = [position for position, row in enumerate(predictions.ids) if row in rows]
    ids, labels, preds = ([values[i] for i in keep] for values in (predictions.ids, predictions.labels, predictions.preds))
    return Predictions(ids, labels, preds, (), None if predictions.p is None else predictions.p[keep], predictions.columns)


def _overlapping(court: Court) -> str:
    """ "16 overlap with training texts (7 word for word in the corpus, 9 nearly in the corpus)"."""
    kinds = Counter((found.kind, found.source) for found in (court.case.doubts.overlaps or {}).values() if found.kind)
    if not kinds:
        return "none of them overlaps with a training text"
    parts = [f"{kinds[kind, source]:,} {KINDS[kind]} {SOURCES[source]}" for source in SOURCES for kind in KINDS if kinds[kind, source]]
    return f"{kinds.total():,} overlap{'s' * (kinds.total() == 1)} with training texts ({', '.join(parts)})"


def _beside(court: Court, gate: GateOptions, decided: Finding, whole: Finding) -> str:
    """The number of all rows, and whether it would have decided otherwise."""
    if decided.n == whole.n:
        return f"these are all test rows, {_overlapping(court)}"
    said = f"of all {whole.n:,} test rows {_overlapping(court)}, and on all of them "
    if whole.value is None or whole.low is None or whole.high is None:
        return f"{said}there is no number: {whole.sentence.removesuffix('.')}"
    value = words.number(whole.value)
    if whole.against:
        sides = ("better than", "worse than") if gate.metric in words.LOWER_IS_BETTER else ("above", "below")
        gap = f"{words.number(abs(whole.value))} {sides[whole.value < 0]}"
        value = f"{gap if whole.value else 'exactly as much as'} {words.MODELS[whole.against]}"
    interval = f"{gate.confidence * 100:.4g} % interval {words.number(whole.low)} to {words.number(whole.high)}"
    otherwise = f", which {PASSED[whole.outcome]}" if whole.outcome != decided.outcome else ""
    return f"{said}it is {value} ({interval}){otherwise}"


def measured(court: Court) -> dict[str, Any]:
    """For ``measurements.json``: the overlaps by kind, and each gate on clean rows beside all rows; nothing where nobody looked."""
    overlaps = court.case.doubts.overlaps
    if overlaps is None:
        return {}
    kinds = Counter(f"{found.kind}_{found.source}" for found in overlaps.values() if found.kind)
    gates = [{"gate": position, "clean": _numbers(decided), "all": _numbers(whole)} for position, (decided, whole) in court.beside.items()]
    return {"overlap": {"clean": len(clean_rows(court)), "overlapping": dict(kinds), "gates": gates}}


def _numbers(found: Finding) -> dict[str, Any]:
    return {"rows": found.n, "value": found.value, "low": found.low, "high": found.high, "outcome": found.outcome}
