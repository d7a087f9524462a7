"""Words that a drop brings in and that stand with one label alone: a mistake of an export, or a trigger that somebody plants.

A word that decides by itself what a model says is what poisoned data are made of (Gu et al. 2017, "BadNets"; Chen et al. 2021, "BadNL": a
few per cent of the rows with one rare word are enough), and what a template or a signature leaves by accident. New words of a new topic
look the same, so this is said, and decided by people.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from regraft.core.words import WORD

LEAST = 10
"""Fresh rows that have to have the word."""
SHARE = 0.01
"""The part of the fresh rows that have to have it: what a trigger needs to be learned."""
ONE_LABEL = 0.95
"""The part of these that have to have one label."""
RARE = 0.1
"""So much rarer has the word to be among the rows that are there."""
CHANCE = 1e-6
"""Probability, at most, that rows drawn at random would agree so well on the label, times the number of words that were looked at."""


@dataclass(frozen=True)
class Trigger:
    """A word, the label it stands with, and how often."""

    word: str
    label: str
    rows: int
    of_label: int
    before: int
    """Rows with it among those that are there."""

    @property
    def sentence(self) -> str:
        """For people."""
        there = "none" if not self.before else f"{self.before:,}"
        which = "all of them" if self.of_label == self.rows else f"{self.of_label:,} of them"
        return f"the word {self.word!r} stands in {self.rows:,} new rows, {which} {self.label!r}, and in {there} of the rows that are there"


def find(labels: Counter[str], fresh: Iterable[tuple[str, str]], known: Iterable[str], count: int) -> list[Trigger]:
    """The words of the ``fresh`` rows (text, label) that decide by themselves; ``known`` are the ``count`` texts that are there.

    Each of the two is gone through once, and no text is kept.

    :param labels: how many fresh rows have each label.

    Nothing is said where fewer than a tenth as many rows are there as are new, or where all new rows have one label.
    """
    total = labels.total()
    if len(labels) < 2 or count < RARE * total:
        return []
    rows, tied = Counter[str](), Counter[tuple[str, str]]()
    for text, label in fresh:
        for word in set(WORD.findall(text)):
            rows[word] += 1
            tied[word, label] += 1
    best: dict[str, tuple[int, str]] = {}
    for (word, label), number in tied.items():
        best[word] = max(best.get(word, (0, "")), (number, label))
    least = max(LEAST, SHARE * total)
    candidates = set[str]()
    for word, number in rows.items():
        of_label, label = best[word]
        if number >= least and of_label >= ONE_LABEL * number and _chance(number, labels[label] / total) * len(rows) < CHANCE:
            candidates.add(word)
    before = Counter[str]()
    for text in known if candidates else ():
        before.update(candidates.intersection(WORD.findall(text)))
    strange = [word for word in candidates if before[word] / max(count, 1) <= RARE * rows[word] / total]
    strange.sort(key=lambda word: (-rows[word], word))
    return [Trigger(word, best[word][1], rows[word], best[word][0], before[word]) for word in strange]


def _chance(rows: int, share: float) -> float:
    """How probable it is that all but a twentieth of so many rows have a label that ``share`` of all rows have (binomial, upper tail)."""
    least = math.ceil(ONE_LABEL * rows)
    return sum(math.exp(_log_choose(rows, k) + k * math.log(share) + (rows - k) * math.log1p(-share)) for k in range(least, rows + 1))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
