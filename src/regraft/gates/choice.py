"""Which candidate answers the gates, where that is decided on dev rows: the cheapest that they do not show to be worse than the best.

Candidates stand in the order of what they cost. The first one that lies no more than one standard error of the difference below the
best is chosen (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3); the error is that of the resamples, so
it knows that all answered the same rows. Rows that choose do not judge: the gates ask about test rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from regraft.evaluation.stats.measured import rounded
from regraft.gates import words
from regraft.gates.finding import measured_finding, undefined
from regraft.gates.section import Cell, Section, SectionTable
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.evaluation.stats.paired import Predictions
    from regraft.gates.case import Case
    from regraft.gates.comparison import Comparison


@dataclass(frozen=True)
class Chosen:
    """Who answers the gates, and why."""

    name: str
    finding: Finding


def choose(case: Case) -> Chosen:
    """The candidate of ``case``, whose ``dev`` holds the answers of all, by cost; the first of them where nothing tells."""
    assert case.dev is not None
    chosen = _choose(case)
    withheld = {"withheld": [dict(item) for item in case.withheld]} if case.withheld else {}
    return replace(chosen, finding=replace(chosen.finding, facts={**chosen.finding.facts, **withheld}))


def _choose(case: Case) -> Chosen:
    assert case.dev is not None
    usable = {name: answers for name, answers in case.dev.items() if not answers.unusable and len(answers.ids)}
    if len(case.dev) == 1 or not usable:
        return _untold(next(iter(case.dev)), 0, "only_one" if len(case.dev) == 1 else "no_answers")
    if len(usable) == 1:
        return _untold(next(iter(usable)), 0, "only_usable")
    comparison, metric = _compared(case, usable), case.policy.adaptation[0]
    if problem := undefined(comparison, metric, tuple(usable)):
        return _untold(next(iter(usable)), comparison.n, "undefined", metric=metric, **problem)
    return _told(comparison, metric, [name for name in case.dev if name not in usable])


def _untold(name: str, n: int, code: str, metric: str | None = None, **facts: Any) -> Chosen:
    return Chosen(name, Finding.without_number("choice", n, "info", code, metric=metric, model=name, **facts))


def _told(comparison: Comparison, metric: str, unusable: list[str]) -> Chosen:
    """The first that lies within one standard error of the best; its lead over the best of the others is the finding's number."""
    names, sign = list(comparison.paired.preds), -1.0 if metric in words.LOWER_IS_BETTER else 1.0
    scores = {name: sign * comparison.scores[name][metric] for name in names}
    best = max(names, key=scores.__getitem__)  # of equals the first
    resampled = comparison.resampled(metric)
    errors = {name: float((resampled[best] - resampled[name]).std()) for name in names}
    name = next(name for name in names if rounded(scores[best] - scores[name]) <= rounded(errors[name]))
    rival = max((other for other in names if other != name), key=scores.__getitem__)
    rows = [{"model": each, "score": comparison.scores[each][metric], "error": rounded(errors[each])} for each in names]
    lead = comparison.difference(name, rival, metric, comparison.case.policy.adaptation[1])
    facts = {"model": name, "best": best, "scores": rows, "unusable": unusable}
    return Chosen(name, measured_finding("choice", rival, metric, lead, comparison.n, "info", **facts))


def _compared(case: Case, usable: Mapping[str, Predictions]) -> Comparison:
    """All candidates on the dev rows; what was asked of the test rows alone is not asked of them."""
    from regraft.evaluation.stats.paired import align
    from regraft.gates.comparison import Comparison

    on_dev = replace(case, predictions=usable, slices=None, evidence={}, seeds=None)
    return Comparison(on_dev, align(dict(usable)))


def section(f: words.Document) -> Section | None:
    """The choice as a table, a candidate a row; None where there was nobody to choose from."""
    scores, withheld, unusable = (f["facts"].get(key, ()) for key in ("scores", "withheld", "unusable"))
    if len(scores) + len(withheld) + len(unusable) < 2:
        return None
    rows = [_row(score, f["facts"], f["metric"]) for score in scores]
    rows += [(Cell(name), Cell("no usable answers", "no"), *[Cell("")] * 3) for name in unusable]
    rows += [(Cell(item["model"]), Cell("withheld", "muted"), *[Cell("")] * 3) for item in withheld]
    head = ("candidate", "", words.metric(f["metric"] or "macro_f1"), "behind the best", "standard error")
    note = (
        f"{words.counted(f['n'], 'dev row')} choose, and do not judge. The cheapest stands first; the first that lies no more than one "
        "standard error of the difference behind the best answers the gates."
    )
    end = " ".join(f"{item['model']} is withheld: {words.withheld(item)}." for item in withheld)
    table = SectionTable(head, tuple(rows), words=2, optional=(3, 4))
    return Section("Which candidate was chosen", "Candidates", note, tables=(table,), end=end)


def _row(score: words.Document, facts: words.Document, metric: str) -> tuple[Cell, ...]:
    name, value = score["model"], score["score"]
    (best,) = (each["score"] for each in facts["scores"] if each["model"] == facts["best"])
    behind = (value - best) if metric in words.LOWER_IS_BETTER else (best - value)
    near = rounded(behind) <= rounded(score["error"])
    result = Cell("chosen", "ok") if name == facts["model"] else Cell("as good, and dearer" if near else "worse", "muted")
    numbers = ("", "") if name == facts["best"] else (words.number(behind), words.number(score["error"]))
    return (Cell(name), result, Cell(words.number(value)), *map(Cell, numbers))


def sentence(f: words.Document) -> str:
    """The finding in words."""
    told = "".join(f" {item['model']} was withheld: {words.withheld(item)}." for item in f["facts"].get("withheld", ()))
    return f"{_choice(f)}{told}"


def _choice(f: words.Document) -> str:
    facts = f["facts"]
    chosen = facts["model"]  # as the pipeline file calls it
    match f["code"]:
        case "only_one":
            return f"{chosen} is the only candidate."
        case "only_usable":
            return f"{chosen} is the only candidate with usable answers to dev rows."
        case "no_answers":
            return f"no candidate has usable answers to dev rows, so the cheapest is the candidate: {chosen}."
        case "undefined":
            return f"{words.undefined(f)} on dev rows, so the cheapest is the candidate: {chosen}."
    scores = ", ".join(f"{row['model']} {words.number(row['score'])}" for row in facts["scores"])
    text = f"{words.metric(f['metric'])} on {words.counted(f['n'], 'dev row')}, cheapest first: {scores}"
    if facts["unusable"]:
        text += f" (no usable answers of {' and '.join(facts['unusable'])})"
    if facts["model"] == facts["best"] == facts["scores"][0]["model"]:
        return f"{text}; {chosen} is the best and the cheapest of them, so it is the candidate."
    if facts["model"] == facts["best"]:
        return f"{text}; {chosen} is best, and nothing cheaper lies within one standard error of it, so it is the candidate."
    (error,) = (row["error"] for row in facts["scores"] if row["model"] == facts["model"])
    near = f"within one standard error ({words.number(error)}) of the best, {facts['best']}"
    return f"{text}; {chosen} is the cheapest {near}, so it is the candidate."
