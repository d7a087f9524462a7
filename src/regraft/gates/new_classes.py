"""``new_classes``: a floor for each class that the champion does not know; fails when one lies below, passes when none does.

Where classes came, the comparison with the champion leaves their rows out (:mod:`regraft.gates.class_change`), so something has
to speak for them. It is asked of every such comparison, with these defaults where no line asks it: half a floor is better
than none, and a floor that a rare class could not reach would stop the commonest change there is. Every class is held
against the floor for itself: recall with Wilson's interval, all of them together at the confidence (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.power import POWER, detectable
from regraft.gates import budgets, words
from regraft.gates.budgets import Held, finding, side
from regraft.gates.finding import needed
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Floor(Strict):
    """What a model has to know of a class that is new to it."""

    min_recall: float = Field(0.3, gt=0, lt=1)
    """Share of a new class's test rows that the candidate has to get right; the lower end of the interval must reach it."""
    min_rows: int = Field(10, ge=5)
    """New classes with fewer test rows are counted and not judged."""


class NewClasses(GateOptions):
    """A floor for classes that the champion does not know; asked with its defaults wherever there are such."""

    gate: ClassVar[str] = "new_classes"
    new_classes: Floor
    """How well the candidate has to know them."""
    confidence: Confidence = CONFIDENCE


def judge(asked: NewClasses, comparison: Comparison) -> Finding:
    """Every new class with enough rows against the floor; the worst one settles it."""
    change = comparison.case.classes
    if change is None or not change.new:
        return Finding.without_number("new_classes", comparison.n, "info", "none_new")
    sizes = _sizes(comparison, change.new)
    large = [label for label, (n, _) in sizes.items() if n >= asked.new_classes.min_rows]
    small = [{"label": label, "rows": n} for label, (n, _) in sizes.items() if label not in large]
    facts: dict[str, Any] = {"model": comparison.candidate, "small": small, "min_rows": asked.new_classes.min_rows}
    if not large:
        return Finding.without_number("new_classes", sum(n for n, _ in sizes.values()), "info", "too_few", **facts)
    return finding("new_classes", list(_held(asked, sizes, large)), **facts)


def _sizes(comparison: Comparison, labels: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Label -> (its rows, those that the candidate gets right)."""
    answers = comparison.case.predictions[comparison.candidate]
    pairs = list(zip(answers.labels, answers.preds, strict=True))
    rows = {label: [pred == truth for truth, pred in pairs if truth == label] for label in labels}
    return {label: (len(right), sum(right)) for label, right in rows.items()}


def _held(asked: NewClasses, sizes: dict[str, tuple[int, int]], labels: list[str]) -> Iterator[Held]:
    from regraft.evaluation.stats.proportions import wilson

    confidence = 1 - (1 - asked.confidence) / len(labels)
    for label in labels:
        n, hits = sizes[label]
        share, (low, high) = hits / n, wilson(hits, n, confidence)
        effect = detectable(sqrt(max(share, 1 / n) * max(1 - share, 1 / n) / n), confidence)
        numbers = (rounded(share), rounded(low), rounded(high), rounded(asked.new_classes.min_recall))
        recall = Measured(*numbers, rounded(confidence), POWER, rounded(effect))
        held = Held("recall", recall, n, floor=True, facts={"label": label})
        yield held if held.outcome != "inconclusive" else Held("recall", recall, n, True, {"label": label, **needed(n, recall)})


def sentence(f: words.Document) -> str:
    """The finding in words: every new class."""
    if f["code"] == "none_new":
        return "the champion knows every class, so none is new."
    facts = f["facts"]
    few = ", ".join(f"{part['label']} ({words.counted(part['rows'], 'row')})" for part in facts["small"])
    if f["code"] == "too_few":
        return f"the new classes have fewer than {facts['min_rows']} test rows each, so nothing is known of them: {few}."
    right = "; ".join(map(_part, facts["parts"]))
    text = f"of the classes that the champion does not know, {words.model(facts['model'])} gets right: {right}"
    return f"{text}; too few rows to judge {few}." if few else f"{text}."


def _part(part: words.Document) -> str:
    rows = f"{part['facts']['label']} {words.percent(part['value'])} of {part['n']:,} rows ({words.spread(part, words.percent)})"
    return f"{rows}{side(part, words.percent)}{words.asked_for(part['facts'], 'such rows')}"


NEW_CLASSES = Gate(
    NewClasses,
    judge,
    sentence,
    show=words.percent,
    limit="at least",
    once="write one such gate; it is about all of them",
    change=lambda f: budgets.change_of("recall of the new class that decides", f, words.percent, floor=True),
    remedy="more test rows of the new classes",
    failed=lambda _: "it does not know a new class well enough",
    unsettled="the new classes have too few test rows to tell whether the new model knows them",
)
BY_DEFAULT = NewClasses(new_classes=Floor())
