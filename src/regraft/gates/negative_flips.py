"""``negative_flips``: a budget for rows that the champion gets right and the candidate gets wrong.

A row on which the champion agreed with a wrong label and the candidate does not is counted as a negative flip, and may
be an improvement. The budget holds all flips, because a suspicion is no proof; what is left without the rows whose label
is suspect stands beside it.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.evaluation.stats.paired import Mask
from regraft.evaluation.stats.power import POWER, detectable
from regraft.evaluation.stats.proportions import wilson
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.finding import measured_finding
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The share of lost rows against its budget."""
    n, budget = comparison.n, gate.negative_flips.max if gate.negative_flips else 0.0
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


def measured(comparison: Comparison, confidence: float) -> dict[str, Any]:
    """The part of ``measurements.json``: the flips by whether the label is suspect; nothing where nobody looked."""
    if comparison.case.row_quality.label_issues is None:
        return {}
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
    issues = comparison.case.row_quality.label_issues or {}
    return np.array([row in issues for row in comparison.paired.ids], dtype=np.bool_)
