"""``negative_flips``: a budget for rows that the champion gets right and the candidate gets wrong.

A row on which the champion agreed with a wrong label and the candidate does not is counted as a negative flip, and may
be an improvement. The budget holds all flips, because a suspicion is no proof; what is left without the rows whose label
is suspect stands beside it.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.evaluation.stats.power import POWER, detectable
from regraft.gates import budgets, words
from regraft.gates.finding import measured_finding
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.evaluation.label_issues import Suspect
    from regraft.evaluation.stats.paired import Mask
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for rows that the champion got right and the candidate gets wrong."""

    max: float = Field(ge=0, le=1)
    """Share of all test rows; the whole interval must lie at or below it."""


class NegativeFlips(GateOptions):
    """A limit to what a user sees get worse."""

    gate: ClassVar[str] = "negative_flips"
    negative_flips: Budget
    """The share of rows that the champion got right and the candidate gets wrong, held against a budget."""
    confidence: Confidence = CONFIDENCE


def _load(path: Any) -> dict[str, Suspect]:
    from regraft.gates.evidence.row_quality import load_suspects

    return load_suspects(path)


def _keep(source: Any, target: Any) -> bool:
    from regraft.gates.evidence.row_quality import keep_suspects

    return keep_suspects(source, target)


SUSPECTS = Table("suspects", "suspects.parquet", step="suspects", path="suspects.parquet", load=_load, optional=True, keep=_keep)


def judge(gate: NegativeFlips, comparison: Comparison) -> Finding:
    """The share of lost rows against its budget."""
    from regraft.evaluation.stats.proportions import wilson

    n, budget = comparison.n, gate.negative_flips.max
    lost = comparison.flipped("champion")[1]
    share, (low, high) = lost / n, wilson(lost, n, gate.confidence)
    power = comparison.case.policy.power
    effect = detectable(sqrt(max(share, 1 / n) * (1 - share) / n), gate.confidence, power or POWER)
    numbers = (rounded(share), rounded(low), rounded(high), rounded(budget))
    flips = Measured(*numbers, gate.confidence, power, rounded(effect))
    lost_rows = comparison.paired.lost(comparison.candidate, "champion")
    looked = comparison.case.row_quality.label_issues is not None
    facts = {"model": comparison.candidate, "lost": lost, "suspect": int((lost_rows & _suspect(comparison)).sum()) if looked else None}
    return measured_finding("negative_flips", "champion", None, flips, n, at_most(flips), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words; the lost rows with a suspect label are told apart where anybody looked for such."""
    facts, n = f["facts"], f["n"]
    rows = f"{words.model(facts['model'])} gets {facts['lost']:,} of {n:,} test rows wrong that the champion gets right"
    share = f"{words.percent(f['value'])} ({words.spread(f, words.percent)})"
    text = words.ended(f"{rows}: {share}, {words.SIDES[f['outcome']]} the budget of {words.percent(f['threshold'])}", f)
    if facts["suspect"] is None or not facts["lost"]:
        return text
    return f"{text.removesuffix('.')}; {_on_suspect_labels(facts['lost'], facts['suspect'], n)}."


def _on_suspect_labels(lost: int, suspect: int, n: int) -> str:
    """How many of the ``lost`` rows, at least one, are suspect, and what share of all ``n`` the others are."""
    if lost == 1:
        return f"its label is {'suspect' if suspect else 'not suspect'}"
    if suspect in (0, lost):
        return f"{'all' if suspect else 'none'} of the {lost:,} have a suspect label"
    share = words.percent((lost - suspect) / n)
    verb = "has" if suspect == 1 else "have"
    return f"{suspect:,} of the {lost:,} {verb} a suspect label, the others are {share} of the test rows"


def measured(comparison: Comparison) -> dict[str, Any]:
    """The part of ``measurements.json``: the flips by whether the label is suspect; nothing where nobody looked."""
    if comparison.case.row_quality.label_issues is None:
        return {}
    from regraft.evaluation.stats.proportions import wilson

    confidence = comparison.case.policy.adaptation[1]
    suspect, flips = _suspect(comparison), {}
    for against in comparison.others:
        lost = comparison.paired.lost(comparison.candidate, against)
        gained = comparison.paired.gained(comparison.candidate, against)
        lost_elsewhere = int((lost & ~suspect).sum())
        low, high = wilson(lost_elsewhere, comparison.n, confidence)
        flips[against] = {
            "gained_on_suspects": int((gained & suspect).sum()),
            "lost_on_suspects": int((lost & suspect).sum()),
            "share_lost_elsewhere": {"value": rounded(lost_elsewhere / comparison.n), "low": rounded(low), "high": rounded(high)},
        }
    return {"suspects": {"test_rows": int(suspect.sum()), "flips": flips}}


def _suspect(comparison: Comparison) -> Mask:
    """[n] rows whose label is suspect."""
    import numpy as np

    issues = comparison.case.row_quality.label_issues or {}
    return np.array([row in issues for row in comparison.paired.ids], dtype=np.bool_)


def _failed(f: words.Document) -> str:
    return f"it gets too many rows wrong that {words.spoken(f['against'])} gets right"


NEGATIVE_FLIPS = Gate(
    NegativeFlips,
    judge,
    sentence,
    show=words.percent,
    evidence=(SUSPECTS,),
    against=lambda _: "champion",
    measured=measured,
    change=lambda f: budgets.change_of("negative flips", f, words.percent),
    remedy="a champion that can be scored",
    failed=_failed,
)
