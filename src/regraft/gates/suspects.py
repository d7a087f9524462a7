"""Flips on rows whose label is suspect, told apart from the others.

A row on which the champion agreed with a wrong label and the candidate does not is counted as a negative flip, and may
be an improvement. The budget holds all flips, because a suspicion is no proof; what is left without the suspect rows
stands beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.proportions import wilson
from regraft.gates import words
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from regraft.gates.comparison import Court


def apart(court: Court, found: Finding) -> Finding:
    """A finding about negative flips, with those on suspect labels told apart where anybody looked for such labels."""
    lost = _lost(court, "champion")
    if court.case.doubts.suspects is None or not lost.any():
        return found
    count, suspect = int(lost.sum()), int((lost & _suspect(court)).sum())
    return replace(found, sentence=f"{found.sentence.removesuffix('.')}; {_told(count, suspect, court.n)}.")


def _told(lost: int, suspect: int, n: int) -> str:
    """How many of the ``lost`` rows, at least one, are suspect, and what share of all ``n`` the others are."""
    if lost == 1:
        return f"its label is {'suspect' if suspect else 'not suspect'}"
    if suspect in (0, lost):
        return f"{'all' if suspect else 'none'} of the {lost:,} have a suspect label"
    rest = words.percent((lost - suspect) / n)
    return f"{suspect:,} of the {lost:,} {'has' if suspect == 1 else 'have'} a suspect label, the others are {rest} of the test rows"


def measured(court: Court, confidence: float) -> dict[str, Any]:
    """For ``measurements.json``: the flips by whether the label is suspect; nothing where nobody looked."""
    if court.case.doubts.suspects is None:
        return {}
    doubtful, flips = _suspect(court), {}
    for against in (model for model in ("champion", "base", "tfidf") if model in court.paired.preds and model != court.candidate):
        lost, gained = _lost(court, against), court.paired.right(court.candidate) & ~court.paired.right(against)
        rest = int((lost & ~doubtful).sum())
        low, high = wilson(rest, court.n, confidence)
        flips[against] = {
            "gained_on_suspects": int((gained & doubtful).sum()),
            "lost_on_suspects": int((lost & doubtful).sum()),
            "share_lost_elsewhere": {"value": rounded(rest / court.n), "low": rounded(low), "high": rounded(high)},
        }
    return {"suspects": {"test_rows": int(doubtful.sum()), "flips": flips}}


def _lost(court: Court, against: str) -> NDArray[np.bool_]:
    """[n] rows that only ``against`` gets right."""
    return court.paired.right(against) & ~court.paired.right(court.candidate)


def _suspect(court: Court) -> NDArray[np.bool_]:
    """[n] rows whose label is suspect."""
    known = court.case.doubts.suspects or {}
    return np.array([row in known for row in court.paired.ids], dtype=np.bool_)
