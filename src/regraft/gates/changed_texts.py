"""The section about changed texts, of all gates that ask about them: every test for both models, and rows whose answer changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from regraft.gates import words
from regraft.gates.probes import PROBES
from regraft.gates.section import Cell, Example, Remark, Results, Section, SectionTable

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison

A_TEST = 2
"""Changed rows shown of each test: those that the candidate is most sure about."""
EXACT = "templates"
"""The gate whose cases are no sample: a rate of them has no interval, and its rows no text of their own."""


def section(results: Results) -> Section | None:
    """The section, or None where no gate asked."""
    tests, comparison = results.measurements.get("probes", []), results.comparison
    if not tests or comparison is None:
        return None
    candidate, other = comparison.candidate, comparison.counterpart
    asked = f"{'both models were' if other else 'the candidate was'} asked again"
    note = f"Test rows were changed in a way that should not change their answer, and {asked}. Rows: those that a test could change. "
    note += "The bar is the 95 % interval of the share of them that got a wrong answer from the candidate"
    together = "Both: wrong before the adaptation and after it. Only adapted: added by the adaptation. Only base: mended by it."
    return Section(
        "Answers to changed texts",
        "Changed texts",
        f"{note} ({words.model(candidate)}).",
        tables=(_table(tests, candidate, other),),
        end=together if other else "",
        examples=tuple(_changed(comparison, results.texts)),
        examples_title="Some of them, those the candidate is most sure about",
    )


def _table(tests: list[Mapping[str, Any]], candidate: str, other: str | None) -> SectionTable:
    head = ("test", "asked by", "rows", "wrong", "interval", "0 to 100 %")
    rows = tuple(_row(test, candidate, other) for test in tests)
    if other is None:
        return SectionTable(head, rows, words=2, optional=(1, 4))
    return SectionTable((*head, words.model(other), "both", "only adapted", "only base"), rows, words=2, optional=(1, 4), roomy=(7, 8, 9))


def _row(test: Mapping[str, Any], candidate: str, other: str | None) -> tuple[Cell, ...]:
    rate = test[candidate]["rate"]
    exact = test["gate"] == EXACT
    spread = Cell("" if exact else words.percents(rate["low"], rate["high"]), "muted")
    bar = Cell("") if exact else Cell("", span=(rate["low"], rate["value"], rate["high"]))
    cells = (Cell(test["kind"]), Cell(test["gate"], "muted"), Cell(f"{test['rows']:,}"), Cell(words.share(rate["value"])), spread, bar)
    if other is None:
        return cells
    counts = (Cell(f"{test[key]:,}") for key in ("in_both", "only_adapted", "only_base"))
    return (*cells, Cell(words.share(test[other]["rate"]["value"]), "muted"), *counts)


def _changed(comparison: Comparison, texts: Mapping[str, str]) -> Iterator[Example]:
    import numpy as np

    variants = comparison.case.found(PROBES)
    if variants is None:
        return
    answers, shown = variants.answers[comparison.candidate], dict[tuple[str, str], int]()
    for i in np.argsort(-answers.p, kind="stable").tolist():
        test = (variants.gates[i], variants.kinds[i])
        if variants.wrong(i, comparison.candidate) and shown.setdefault(test, 0) < A_TEST:
            shown[test] += 1
            remarks = [Remark(f"{variants.kinds[i]}: ", variants.changes[i])]
            if answers.before[i] is not None:
                remarks.append(Remark("before ", str(answers.before[i]), "ok"))
            if variants.labels[i] is not None:
                remarks.append(Remark("wanted ", str(variants.labels[i]), "ok"))
            remarks.append(Remark("now ", answers.preds[i], "no", f" ({words.share(float(answers.p[i]))} sure)"))
            yield Example(variants.ids[i], None if test[0] == EXACT else texts.get(variants.ids[i]), tuple(remarks))
