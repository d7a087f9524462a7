"""``non_inferior_by`` with ``slices``: no slice may be worse by the margin (:mod:`regraft.evaluation.stats.slices`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from regraft.evaluation.stats.power import POWER
from regraft.evaluation.stats.slices import Slice, SliceResult, compare, decisive, members, split_by_size
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def results(gate: GateOptions, comparison: Comparison) -> tuple[list[SliceResult], list[Slice]]:
    """(every slice that is judged, the slices that are too small for it)."""
    table, paired = comparison.case.slices, comparison.paired
    large, small = split_by_size(list(members(paired, table, gate.slices or ())) if table else [], gate.min_rows)
    now, before = paired.right(comparison.candidate), paired.right(gate.against)
    margin, power = gate.non_inferior_by or 0.0, comparison.case.policy.power or POWER
    return compare(large, now, before, margin=margin, confidence=gate.confidence, power=power), small


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The slice that settles the gate, and how all of them came out."""
    judged, small = results(gate, comparison)
    if not judged:
        sentence = f"no slice by {', '.join(gate.slices or ())} has {gate.min_rows} rows; {words.too_small(small)}."
        return Finding.in_words("slices", comparison.n, "inconclusive", sentence, against=gate.against, metric="accuracy")
    worst = decisive(judged)  # fails if any fails, passes if all pass: its outcome is the gate's
    sentence = f"{words.slice_result(comparison.candidate, gate.against, worst)}; {words.slice_gate(judged, small)}."
    lead = worst.measured
    numbers = (lead.value, lead.low, lead.high, lead.threshold)
    return Finding("slices", gate.against, "accuracy", *numbers, worst.n, worst.outcome, sentence)


def measured(number: int, comparison: Comparison) -> dict[str, Any]:
    """Gate ``number`` of the policy in full, for measurements.json: its finding names the worst slice only."""
    gate = comparison.case.policy.gates[number]
    judged, small = results(gate, comparison)
    return {
        "gate": number,
        "against": gate.against,
        "min_rows": gate.min_rows,
        "judged": [_row(result) for result in judged],
        "too_small": {"slices": len(small), "rows": sum(part.n for part in small)},
    }


def _row(result: SliceResult) -> dict[str, Any]:
    return {**{key: value for key, value in asdict(result).items() if key != "measured"}, **asdict(result.measured)}
