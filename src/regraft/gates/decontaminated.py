"""Gates on the clean rows: the test rows that share no long run of words with what a model was trained on.

A model may be right about a row because it has read it. What decides is therefore the same question asked of the
clean rows alone, as if there were no others: lined up, resampled and held against the threshold anew. The answer on all
rows is told beside it (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C, reports both).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from regraft.gates import words
from regraft.gates.comparison import MIN_CLEAN_ROWS, Comparison
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

KINDS = {"exact": "word for word", "near": "nearly"}
SOURCES = {"train": "in the training rows", "corpus": "in the corpus"}
PASSED = {"pass": "would have passed", "fail": "would have failed", "inconclusive": "would have decided nothing"}
Judge = Callable[[GateOptions, Comparison], Finding]


def judge(gate: GateOptions, comparison: Comparison, of_all_rows: Judge) -> Finding:
    """``gate`` decided by the clean rows; the sentence names the number of all rows too. ``of_all_rows`` judges a gate without `rows`."""
    against = None if gate.question == "at_least" else gate.beats or gate.against
    if comparison.case.row_quality.overlaps is None:
        sentence = "nobody looked which test rows overlap with training texts, so none is known to be clean."
        return Finding.in_words(gate.question, comparison.n, "inconclusive", sentence, against=against, metric=gate.metric)
    if comparison.clean is None:
        n = len(comparison.clean_rows)
        sentence = f"only {n:,} of {comparison.n:,} test rows {'is' if n == 1 else 'are'} clean"
        sentence += f", and fewer than {MIN_CLEAN_ROWS} decide nothing: {_overlapping(comparison)}."
        return Finding.in_words(gate.question, n, "inconclusive", sentence, against=against, metric=gate.metric)
    clean, whole = _both(gate, comparison.clean, comparison, of_all_rows)
    return replace(clean, sentence=f"{clean.sentence.removesuffix('.')}; {_beside(comparison, gate, clean, whole)}.")


def _both(gate: GateOptions, clean: Comparison, whole: Comparison, of_all_rows: Judge) -> tuple[Finding, Finding]:
    """What the clean rows say, and what all rows say."""
    plain = gate.model_copy(update={"rows": None})
    return of_all_rows(plain, clean), of_all_rows(plain, whole)


def _overlapping(comparison: Comparison) -> str:
    """ "16 overlap with training texts (7 word for word in the corpus, 9 nearly in the corpus)"."""
    overlaps = (comparison.case.row_quality.overlaps or {}).values()
    kinds = Counter((overlap.kind, overlap.source) for overlap in overlaps if overlap.kind)
    if not kinds:
        return "none of them overlaps with a training text"
    parts = [f"{kinds[kind, source]:,} {KINDS[kind]} {SOURCES[source]}" for source in SOURCES for kind in KINDS if kinds[kind, source]]
    return f"{kinds.total():,} overlap{'s' * (kinds.total() == 1)} with training texts ({', '.join(parts)})"


def _beside(comparison: Comparison, gate: GateOptions, clean: Finding, whole: Finding) -> str:
    """The number of all rows, and whether it would have decided otherwise."""
    if clean.n == whole.n:
        return f"these are all test rows, {_overlapping(comparison)}"
    opening = f"of all {whole.n:,} test rows {_overlapping(comparison)}, and on all of them "
    if whole.value is None or whole.low is None or whole.high is None:
        return f"{opening}there is no number: {whole.sentence.removesuffix('.')}"
    value = words.number(whole.value)
    if whole.against:
        sides = ("better than", "worse than") if gate.metric in words.LOWER_IS_BETTER else ("above", "below")
        gap = f"{words.number(abs(whole.value))} {sides[whole.value < 0]}"
        value = f"{gap if whole.value else 'exactly as much as'} {words.MODELS[whole.against]}"
    interval = f"{gate.confidence * 100:.4g} % interval {words.number(whole.low)} to {words.number(whole.high)}"
    otherwise = f", which {PASSED[whole.outcome]}" if whole.outcome != clean.outcome else ""
    return f"{opening}it is {value} ({interval}){otherwise}"


def measured(comparison: Comparison, gates: Iterable[tuple[int, GateOptions]], of_all_rows: Judge) -> dict[str, Any]:
    """The part of ``measurements.json``: overlaps by kind, and each of ``gates`` (number, gate) that asks of clean rows beside all rows;
    nothing where nobody looked."""
    overlaps = comparison.case.row_quality.overlaps
    if overlaps is None:
        return {}
    kinds = Counter(f"{overlap.kind}_{overlap.source}" for overlap in overlaps.values() if overlap.kind)
    rows = []
    for number, gate in gates:
        if gate.rows and comparison.clean is not None:
            clean, whole = _both(gate, comparison.clean, comparison, of_all_rows)
            rows.append({"gate": number, "clean": _numbers(clean), "all": _numbers(whole)})
    return {"overlap": {"clean": len(comparison.clean_rows), "overlapping": dict(kinds), "gates": rows}}


def _numbers(finding: Finding) -> dict[str, Any]:
    return {"rows": finding.n, "value": finding.value, "low": finding.low, "high": finding.high, "outcome": finding.outcome}
