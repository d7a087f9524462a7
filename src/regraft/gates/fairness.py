"""How far apart a model's rates lie between groups of test rows.

The gap is the largest difference of a rate between two groups of one column (fairlearn's ``MetricFrame.difference``,
method "between_groups"): of accuracy, of one label's recall (equal opportunity, Hardt et al. 2016) or of its selection
rate (demographic parity, Dwork et al. 2012). Two groups share no rows, so a difference has Newcombe's hybrid score
interval (Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10), from
Wilson's for each. All pairs of all columns of a gate are asked at (1 - confidence) / pairs (Bonferroni), so that their
intervals hold together; then the largest gap lies between the largest low end and the largest high end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import Measured, Outcome, at_most, rounded
from regraft.evaluation.stats.power import POWER, detectable
from regraft.gates import budgets, words
from regraft.gates.finding import measured_finding
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate, asked
from regraft.gates.section import Cell, Results, Section, SectionTable
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for the gap between groups of test rows: the largest difference of their rates (fairlearn's `between_groups`)."""

    groups: tuple[str, ...] = Field(min_length=1)
    """Columns of the labelled data; each value is a group, rows without a value belong to none."""
    max_gap: float = Field(gt=0, lt=1)
    """Largest gap allowed; the whole interval must lie at or below it."""
    rate: Literal["accuracy", "recall", "selection_rate"] = "accuracy"
    """`accuracy`; `recall` of `label` (equal opportunity, Hardt et al. 2016); `selection_rate`, the share of rows that are given
    `label` (demographic parity, Dwork et al. 2012)."""
    label: str | None = None
    """The label that `recall` and `selection_rate` are about."""
    min_rows: int = Field(30, ge=10)
    """Groups with fewer rows are counted and not judged; of `recall`, rows that have the label."""

    @model_validator(mode="after")
    def _a_rate_of_a_label_names_it(self) -> Self:
        if self.rate == "accuracy" and self.label is not None:
            raise ValueError("accuracy is about every label; take `label` out, or ask for `rate: recall`")
        if self.rate != "accuracy" and self.label is None:
            raise ValueError(f"{self.rate} is about one label; name it: `label: ...`")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("a column stands twice in `groups`")
        return self


class Fairness(GateOptions):
    """A limit to how differently groups are served."""

    gate: ClassVar[str] = "fairness"
    fairness: Budget
    """The largest gap between groups of rows, held against a budget."""
    confidence: Confidence = CONFIDENCE


@dataclass(frozen=True)
class Group:
    """Rows with one value of one column: of ``n`` that count for the rate, ``hits``."""

    column: str
    value: str
    n: int
    hits: int

    @property
    def rate(self) -> float:
        return self.hits / self.n

    @property
    def name(self) -> str:
        return f"{self.column} = {self.value} ({words.counted(self.n, 'row')})"


@dataclass(frozen=True)
class Gap:
    """The largest gap of a family of pairs: the group that is better off, the other one, and the gap."""

    above: Group
    below: Group
    pairs: int
    measured: Measured
    outcome: Outcome


def newcombe(one: Group, other: Group, confidence: float) -> tuple[float, float]:
    """Interval of ``one.rate - other.rate``."""
    from regraft.evaluation.stats.proportions import wilson

    (low, high), (low_other, high_other) = wilson(one.hits, one.n, confidence), wilson(other.hits, other.n, confidence)
    difference = one.rate - other.rate
    down = sqrt((one.rate - low) ** 2 + (high_other - other.rate) ** 2)
    up = sqrt((high - one.rate) ** 2 + (other.rate - low_other) ** 2)
    return difference - down, difference + up


def groups(comparison: Comparison, model: str, options: Budget) -> list[Group]:
    """Every group of every column, by column and value, of at least one row that counts; rows without a value are in none."""
    import numpy as np

    from regraft.evaluation.stats.slices import MISSING, members

    table, paired = comparison.case.slices, comparison.paired
    truth, answers = paired.truth, paired.preds[model]
    counted, hit = np.ones(len(truth), dtype=bool), answers == truth
    if options.label is not None:
        place = paired.classes.index(options.label)
        counted, hit = (truth == place, hit) if options.rate == "recall" else (counted, answers == place)
    every = []
    for part in members(paired, table, options.groups) if table else ():
        rows = part.rows & counted
        if part.value != MISSING and rows.any():
            every.append(Group(part.column, part.value, int(rows.sum()), int((rows & hit).sum())))
    return every


def largest_gap(every: Sequence[Group], max_gap: float, confidence: float) -> Gap | None:
    """The largest gap of all pairs of groups of one column; None where no column has two groups."""
    pairs = [(a, b) if a.rate >= b.rate else (b, a) for a, b in combinations(every, 2) if a.column == b.column]
    if not pairs:
        return None
    pair_confidence = 1 - (1 - confidence) / len(pairs)
    ends = [newcombe(above, below, pair_confidence) for above, below in pairs]
    above, below = max(pairs, key=lambda pair: pair[0].rate - pair[1].rate)
    error = sqrt(sum(max(g.hits, 1) / g.n * (1 - min(g.rate, 1 - 1 / g.n)) / g.n for g in (above, below)))
    low, high = max(0.0, *(low for low, _ in ends)), max(high for _, high in ends)
    effect = detectable(error, pair_confidence)
    numbers = (rounded(above.rate - below.rate), rounded(low), rounded(high), rounded(max_gap))
    gap = Measured(*numbers, confidence, POWER, rounded(effect))
    return Gap(above, below, len(pairs), gap, at_most(gap))


def judge(gate: Fairness, comparison: Comparison) -> Finding:
    """The largest gap between groups, of the candidate."""
    options = gate.fairness
    if _absent(comparison, options):
        return _open(comparison, "label_absent", options)
    every = groups(comparison, comparison.candidate, options)
    large = [group for group in every if group.n >= options.min_rows]
    gap = largest_gap(large, options.max_gap, gate.confidence)
    if gap is None:
        few = {"columns": list(options.groups), "min_rows": options.min_rows, "groups": words.listed([group.name for group in every])}
        return _open(comparison, "few_groups", options, **few)
    small = [group for group in every if group.n < options.min_rows]
    facts = {
        "model": comparison.candidate,
        "rate": options.rate,
        "label": options.label,
        "groups": [{"column": group.column, "value": group.value, "rows": group.n, "rate": group.rate} for group in (gap.above, gap.below)],
        "judged": len(large),
        "small": {"groups": len(small), "rows": sum(group.n for group in small)},
        "other": _other(comparison, options, gap),
    }
    return measured_finding("fairness", None, None, gap.measured, gap.above.n + gap.below.n, gap.outcome, **facts)


def _absent(comparison: Comparison, options: Budget) -> bool:
    return options.label is not None and options.label not in comparison.paired.classes


def _open(comparison: Comparison, code: str, options: Budget, **facts: Any) -> Finding:
    facts |= {"rate": options.rate, "label": options.label}
    return Finding.without_number("fairness", comparison.n, "inconclusive", code, **facts)


def _called(rate: str, label: str | None) -> str:
    return rate.replace("_", " ") + (f" of {label}" if label is not None else "")


def _other(comparison: Comparison, options: Budget, gap: Gap) -> dict[str, Any] | None:
    """The same two groups under the other of adapted and base: what the adaptation changed; None where that is not compared."""
    if (other := comparison.counterpart) is None:
        return None
    rates = {(group.column, group.value): group.rate for group in groups(comparison, other, options)}
    return {"model": other, "rates": [rates[group.column, group.value] for group in (gap.above, gap.below)]}


def sentence(f: words.Document) -> str:
    """The finding in words."""
    facts = f["facts"]
    rate = _called(facts["rate"], facts["label"])
    if f["code"] == "label_absent":
        return f"no test row is labelled {facts['label']!r}, so there is no {rate}."
    if f["code"] == "few_groups":
        names = facts["groups"]
        listing = ", ".join(names["first"]) + (" and more" if names["count"] > words.NAMED else "")
        why = f"fewer than 2 groups of {' or '.join(facts['columns'])} have {facts['min_rows']} rows that count for {rate}"
        return f"{why}: {listing or 'there is none'}."
    rates = " and ".join(f"{words.number(group['rate'])} on {_group(group)}" for group in facts["groups"])
    text = f"{words.model(facts['model'])} has {rate} {rates}, a gap of {words.number(f['value'])} ({words.spread(f)}{words.shown(facts)})"
    text += f", {words.SIDES[f['outcome']]} the {words.number(f['threshold'])} allowed; the largest gap of {facts['judged']} groups"
    if small := facts["small"]["groups"]:
        text += f", {small} with too few rows ({facts['small']['rows']:,} in all) not judged"
    if other := facts["other"]:
        text += f"; with {words.model(other['model'])} these two are {' and '.join(map(words.number, other['rates']))}"
    return f"{text}{words.asked_for(facts, 'such rows')}."


def _group(group: words.Document) -> str:
    return f"{group['column']} = {group['value']} ({words.counted(group['rows'], 'row')})"


def _both(comparison: Comparison) -> list[str]:
    """Adapted and base, in this order; the candidate alone where it has no counterpart."""
    other = comparison.counterpart
    return sorted((comparison.candidate, other)) if other else [comparison.candidate]


def measured(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Every group of every fairness gate under both models, each for itself; the key of measurements.json, if there is a gate."""
    from regraft.evaluation.stats.proportions import wilson

    confidence, lines, table = comparison.case.policy.adaptation[1], comparison.case.policy.gates, []
    for gate in asked(FAIRNESS, lines):
        if _absent(comparison, gate.fairness):
            continue
        by_model = {model: groups(comparison, model, gate.fairness) for model in _both(comparison)}
        for parts in zip(*by_model.values(), strict=True):
            row: dict[str, Any] = {
                "gate": lines.index(gate),
                "rate": _called(gate.fairness.rate, gate.fairness.label),
                "column": parts[0].column,
                "value": parts[0].value,
            }
            row |= {"rows": parts[0].n, "judged": parts[0].n >= gate.fairness.min_rows}
            for model, group in zip(by_model, parts, strict=True):
                low, high = wilson(group.hits, group.n, confidence)
                row[model] = {"hits": group.hits, "value": rounded(group.rate), "low": rounded(low), "high": rounded(high)}
            table.append(row)
    return {"fairness": table} if any(asked(FAIRNESS, lines)) else {}


def _section(results: Results) -> Section | None:
    """Every group, by itself."""
    every, comparison = results.measurements.get("fairness", []), results.comparison
    if not every or comparison is None:
        return None
    candidate, other = comparison.candidate, comparison.counterpart
    note = f"Each rate with its own 95 % interval, for the candidate ({words.model(candidate)}). The requirement is about the largest gap "
    note += "between two groups of one column, over all pairs at once."
    head = ("group", "rate", "rows", "value", "interval", "0 to 100 %", *((words.model(other),) if other else ()))
    rows = tuple(_row(group, candidate, other) for group in every)
    return Section("How groups fare", "Groups", note, tables=(SectionTable(head, rows, words=2, optional=(4,)),))


def _row(group: dict[str, Any], candidate: str, other: str | None) -> tuple[Cell, ...]:
    own = group[candidate]
    size = f"{group['rows']:,}{'' if group['judged'] else ' (too few)'}"
    spread = Cell(words.percents(own["low"], own["high"]), "muted")
    bar = Cell("", span=(own["low"], own["value"], own["high"]))
    cells = (Cell(f"{group['column']} = {group['value']}"), Cell(group["rate"], "muted"), Cell(size), Cell(words.share(own["value"])))
    return (*cells, spread, bar, *((Cell(words.share(group[other]["value"]), "muted"),) if other else ()))


FAIRNESS = Gate(
    Fairness,
    judge,
    sentence,
    columns=lambda line: line.fairness.groups,
    column_key="fairness.groups",
    measured=measured,
    change=lambda f: budgets.change_of("the largest gap between groups", f, words.percent),
    remedy="test rows that it can be asked of",
    failed=lambda _: "it serves one group of rows much worse than another",
    section=_section,
)
