"""Gates on the clean rows: the test rows that share no long run of words with what a model was trained on.

A model may be right about a row because it has read it. What decides is therefore the same question asked of the
clean rows alone, as if there were no others: lined up, resampled and held against the threshold anew. The answer on all
rows is told beside it (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C, reports both).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from regraft.gates import words
from regraft.gates.options import CONFIDENCE, GateOptions, is_clean
from regraft.gates.registry import gate_of
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison

KINDS = {"exact": "word for word", "near": "nearly"}
SOURCES = {"train": "in the training rows", "corpus": "in the corpus"}
PASSED = {"pass": "would have passed", "fail": "would have failed", "inconclusive": "would have decided nothing"}
Judge = Callable[[GateOptions, "Comparison"], Finding]
Words = Callable[[words.Document], str]


def judge(gate: GateOptions, comparison: Comparison, of_all_rows: Judge) -> Finding:
    """``gate`` decided by the clean rows; the number of all rows stands beside it. ``of_all_rows`` judges a gate without `rows`."""
    from regraft.gates.comparison import MIN_CLEAN_ROWS

    about: dict[str, Any] = {"against": gate_of(gate).against(gate), "metric": getattr(gate, "metric", None)}
    if comparison.case.row_quality.overlaps is None:
        return Finding.without_number(gate.gate, comparison.n, "inconclusive", "nobody_looked", **about)
    overlaps = _overlaps(comparison)
    if comparison.clean is None:
        facts: dict[str, Any] = {"rows": comparison.n, "least": MIN_CLEAN_ROWS, "overlaps": overlaps}
        return Finding.without_number(gate.gate, len(comparison.clean_rows), "inconclusive", "few_clean", **about, **facts)
    clean, whole = _both(gate, comparison.clean, comparison, of_all_rows)
    beside = {"overlaps": overlaps, "confidence": getattr(gate, "confidence", CONFIDENCE), "finding": whole.document()}
    return replace(clean, facts={**clean.facts, "all_rows": beside})


def sentence(f: words.Document, of_all_rows: Words) -> str | None:
    """What is said of clean rows and all rows; ``of_all_rows`` puts a finding without them into words. None: it is not about clean rows."""
    facts = f["facts"]
    if f["code"] == "nobody_looked":
        return "nobody looked which test rows overlap with training texts, so none is known to be clean."
    if f["code"] == "few_clean":
        n = f["n"]
        text = f"only {n:,} of {facts['rows']:,} test rows {'is' if n == 1 else 'are'} clean"
        return f"{text}, and fewer than {facts['least']} decide nothing: {_overlapping(facts['overlaps'])}."
    if "all_rows" not in facts:
        return None
    plain = {**f, "facts": {key: value for key, value in facts.items() if key != "all_rows"}}
    return f"{of_all_rows(plain).removesuffix('.')}; {_beside(f, facts['all_rows'], of_all_rows)}."


def _both(gate: GateOptions, clean: Comparison, whole: Comparison, of_all_rows: Judge) -> tuple[Finding, Finding]:
    """What the clean rows say, and what all rows say."""
    plain = gate.model_copy(update={"rows": None})
    return of_all_rows(plain, clean), of_all_rows(plain, whole)


def _overlaps(comparison: Comparison) -> list[dict[str, Any]]:
    """How many rows overlap with training texts, by where and how."""
    overlaps = (comparison.case.row_quality.overlaps or {}).values()
    kinds = Counter((overlap.kind, overlap.source) for overlap in overlaps if overlap.kind)
    return [{"kind": kind, "source": source, "rows": kinds[kind, source]} for source in SOURCES for kind in KINDS if kinds[kind, source]]


def _overlapping(overlaps: Sequence[words.Document]) -> str:
    """ "16 overlap with training texts (7 word for word in the corpus, 9 nearly in the corpus)"."""
    if not overlaps:
        return "none of them overlaps with a training text"
    total = sum(part["rows"] for part in overlaps)
    parts = [f"{part['rows']:,} {KINDS[part['kind']]} {SOURCES[part['source']]}" for part in overlaps]
    return f"{total:,} overlap{'s' * (total == 1)} with training texts ({', '.join(parts)})"


def _beside(clean: words.Document, beside: words.Document, of_all_rows: Words) -> str:
    """The number of all rows, and whether it would have decided otherwise."""
    whole, overlapping = beside["finding"], _overlapping(beside["overlaps"])
    if clean["n"] == whole["n"]:
        return f"these are all test rows, {overlapping}"
    opening = f"of all {whole['n']:,} test rows {overlapping}, and on all of them "
    if whole["value"] is None:
        return f"{opening}there is no number: {of_all_rows(whole).removesuffix('.')}"
    value = words.number(whole["value"])
    if whole["against"]:
        sides = ("better than", "worse than") if whole["metric"] in words.LOWER_IS_BETTER else ("above", "below")
        gap = f"{words.number(abs(whole['value']))} {sides[whole['value'] < 0]}"
        value = f"{gap if whole['value'] else 'exactly as much as'} {words.model(whole['against'])}"
    interval = words.interval(beside["confidence"], words.number(whole["low"]), words.number(whole["high"]))
    otherwise = f", which {PASSED[whole['outcome']]}" if whole["outcome"] != clean["outcome"] else ""
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
        there = comparison.against(gate_of(gate).against(gate))
        if is_clean(gate) and there.clean is not None:
            clean, whole = _both(gate, there.clean, there, of_all_rows)
            rows.append({"gate": number, "clean": _numbers(clean), "all": _numbers(whole)})
    return {"overlap": {"clean": len(comparison.clean_rows), "overlapping": dict(kinds), "gates": rows}}


def _numbers(finding: Finding) -> dict[str, Any]:
    return {"rows": finding.n, "value": finding.value, "low": finding.low, "high": finding.high, "outcome": finding.outcome}
