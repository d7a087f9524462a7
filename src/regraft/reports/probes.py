"""What a page shows of changed texts and of groups: every test and rate of both models, and rows whose answer changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.gates.comparison import Comparison
from regraft.gates.probes import PROBES

A_TEST = 2
"""Changed rows shown of each test: those that the candidate is most sure about."""


@dataclass(frozen=True)
class ChangedRow:
    """One variant that got another answer than it should have."""

    gate: str
    kind: str
    id: str
    text: str | None
    """The text of the test row; None for a template, whose case is in ``change``, and where the run kept no texts."""
    change: str
    before: str | None
    now: str
    sure: float
    """Probability of ``now``."""
    wanted: str | None
    """The label that a template asked for; None where none was asked for."""


@dataclass(frozen=True)
class Probed:
    """The sections about changed texts and about groups; ``tests`` and ``groups`` as measurements.json has them."""

    candidate: str
    other: str | None
    """The other of adapted and base; None where that was not asked."""
    tests: tuple[dict[str, Any], ...]
    changed: tuple[ChangedRow, ...]
    groups: tuple[dict[str, Any], ...]


def probed(comparison: Comparison, measured: Mapping[str, Any], texts: Mapping[str, str]) -> Probed | None:
    """The sections, or None where no gate asked for them. ``texts``: test row -> its text."""
    tests, groups = measured.get("probes", []), measured.get("fairness", [])
    if not tests and not groups:
        return None
    other = comparison.counterpart
    return Probed(comparison.candidate, other, tuple(tests), tuple(_changed(comparison, texts)), tuple(groups))


def _changed(comparison: Comparison, texts: Mapping[str, str]) -> Iterator[ChangedRow]:
    variants = comparison.case.found(PROBES)
    if variants is None:
        return
    answers, counts = variants.answers[comparison.candidate], dict[tuple[str, str], int]()
    for i in np.argsort(-answers.p, kind="stable").tolist():
        test = (variants.gates[i], variants.kinds[i])
        if variants.wrong(i, comparison.candidate) and counts.setdefault(test, 0) < A_TEST:
            counts[test] += 1
            text = None if test[0] == "templates" else texts.get(variants.ids[i])
            now, sure = answers.preds[i], float(answers.p[i])
            yield ChangedRow(*test, variants.ids[i], text, variants.changes[i], answers.before[i], now, sure, variants.labels[i])
