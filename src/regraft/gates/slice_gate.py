"""``non_inferior_by`` with ``slices``: no slice may be worse by the margin (:mod:`regraft.evaluation.stats.slices`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from regraft.evaluation.stats.power import POWER
from regraft.evaluation.stats.slices import Slice, SliceResult, compare, decisive, members, split_by_size
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import facts_of
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
    few = {"slices": len(small), "rows": sum(part.n for part in small)}
    if not judged:
        facts = {"columns": list(gate.slices or ()), "min_rows": gate.min_rows, "small": few}
        return Finding.without_number("slices", comparison.n, "inconclusive", "too_few", against=gate.against, metric="accuracy", **facts)
    worst = decisive(judged)  # fails if any fails, passes if all pass: its outcome is the gate's
    outcomes = {outcome: words.listed([_named(r) for r in judged if r.outcome == outcome]) for outcome in ("fail", "inconclusive", "pass")}
    lead = worst.measured
    numbers = (lead.value, lead.low, lead.high, lead.threshold)
    facts = {**facts_of(lead), "model": comparison.candidate, "slice": _named(worst), "slices": outcomes, "small": few}
    facts |= {"more_rows": worst.more_rows} if worst.outcome == "inconclusive" else {}
    return Finding("slices", gate.against, "accuracy", *numbers, worst.n, worst.outcome, facts=facts)


def _named(part: SliceResult) -> str:
    return f"{part.column} = {part.value}"


def sentence(f: words.Document) -> str:
    """The finding in words: the slice that settles it, and how all came out."""
    facts = f["facts"]
    if f["code"] == "too_few":
        return f"no slice by {', '.join(facts['columns'])} has {facts['min_rows']} rows; {_too_small(facts['small'])}."
    value = f["value"]
    gap = f"{words.number(abs(value))} {'above' if value > 0 else 'below'}" if value else "exactly as good as"
    text = f"on {facts['slice']} ({f['n']:,} rows) {words.model(facts['model'])} is {gap} {words.model(f['against'])} in accuracy"
    text += f" ({words.spread(f)}{words.shown(facts)}), {words.margin(f)}"
    if f["outcome"] == "inconclusive":
        more = facts["more_rows"]
        remedy = "no sensible number of rows decides that"
        text += f"; {remedy if more is None else f'label about {words.roundly(more):,} more of this slice for 80 % power'}"
    return f"{text}; {_all(facts)}."


def _all(facts: words.Document) -> str:
    """How all slices of the gate came out."""
    parts = []
    for outcome, word in (("fail", "worse"), ("inconclusive", "open"), ("pass", "good enough")):
        if count := facts["slices"][outcome]["count"]:
            parts.append(f"{count} {word}" + (f" ({words.some(facts['slices'][outcome])})" if outcome != "pass" else ""))
    total = sum(each["count"] for each in facts["slices"].values())
    text = f"of {total} slice{'s' * (total != 1)} {', '.join(parts)}"
    return f"{text}; {_too_small(facts['small'])}" if facts["small"]["slices"] else text


def _too_small(small: words.Document) -> str:
    return f"{small['slices']:,} with too few rows ({small['rows']:,} in all) not judged"


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
