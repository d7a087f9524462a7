"""``non_inferior_by`` with ``slices``: no slice may be worse by the margin (:mod:`regraft.evaluation.stats.slices`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from regraft.evaluation.stats.power import POWER
from regraft.gates import words
from regraft.gates.finding import facts_of
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.evaluation.stats.slices import Slice, SliceResult
    from regraft.gates.comparison import Comparison


class Slices(GateOptions):
    """On no part of the rows may the candidate be worse than another model by more than a margin; compared by accuracy."""

    gate: ClassVar[str] = "slices"
    slices: tuple[str, ...] = Field(min_length=1)
    """Every value of these columns is a part: columns of the labelled data, or text_length, text_script, text_oov, text_cluster."""
    non_inferior_by: float = Field(ge=0, le=1)
    """The interval of candidate minus `against` must lie above minus this margin, on every slice."""
    against: Literal["champion", "tfidf"] = "champion"
    """What the candidate must not be worse than."""
    min_rows: int = Field(30, ge=10)
    """Smaller slices are counted and not judged."""
    metric: str | None = Field(None, exclude=True)
    """`accuracy`, if anything: most classes have too few rows in a slice for another."""
    rows: str | None = Field(None, exclude=True)
    """Nothing: the clean rows of a slice are too few."""
    confidence: Confidence = CONFIDENCE

    @model_validator(mode="after")
    def _by_accuracy_of_all_rows(self) -> Self:
        if self.metric not in (None, "accuracy"):
            raise ValueError(f"slices are compared by accuracy, not {self.metric}: most classes have too few rows in a slice")
        if self.rows:
            raise ValueError("`rows` and `slices` exclude each other: the clean rows of a slice are too few; ask in two gates")
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("a column stands twice in `slices`")
        return self


def results(gate: Slices, comparison: Comparison) -> tuple[list[SliceResult], list[Slice]]:
    """(every slice that is judged, the slices that are too small for it)."""
    from regraft.evaluation.stats.slices import compare, members, split_by_size

    table, paired = comparison.case.slices, comparison.paired
    large, small = split_by_size(list(members(paired, table, gate.slices)) if table else [], gate.min_rows)
    now, before = paired.right(comparison.candidate), paired.right(gate.against)
    margin, power = gate.non_inferior_by, comparison.case.policy.power or POWER
    return compare(large, now, before, margin=margin, confidence=gate.confidence, power=power), small


def judge(gate: Slices, comparison: Comparison) -> Finding:
    """The slice that settles the gate, and how all of them came out."""
    from regraft.evaluation.stats.slices import decisive

    judged, small = results(gate, comparison)
    few = {"slices": len(small), "rows": sum(part.n for part in small)}
    if not judged:
        facts = {"columns": list(gate.slices), "min_rows": gate.min_rows, "small": few}
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


def measured(number: int, gate: Slices, comparison: Comparison) -> dict[str, Any]:
    """Gate ``number`` of the policy in full, for measurements.json: its finding names the worst slice only."""
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


def _failed(f: words.Document) -> str:
    return f"on a part of the rows it is worse than {words.spoken(f['against'])} by more than is allowed"


SLICES = Gate(
    Slices,
    judge,
    sentence,
    limit="above",
    against=lambda asked: asked.against,
    columns=lambda asked: asked.slices,
    column_key="slices",
    remedy="more test rows",
    failed=_failed,
    undecided="as good as the one in production everywhere",
)
