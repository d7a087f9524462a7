"""A verdict: every question a policy asked, its number, its interval, its threshold and its words.

The rendered text is the contract: sorted keys, floats to six decimals, no clock and no run id, so that the same
predictions under the same policy give the same bytes years later. Decisions are taken on the rounded numbers, so the
text never says one thing and the outcome another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from regraft.evaluation.stats.measured import FindingOutcome, Outcome

SCHEMA = 1


@dataclass(frozen=True)
class Model:
    """A model by its digest; ``name`` is "adapted" or "base"."""

    name: str
    digest: str


@dataclass(frozen=True)
class Champion:
    """The registered version in production when the verdict was made."""

    version: str
    digest: str


@dataclass(frozen=True)
class Rows:
    """The test rows: digest of their content, and how many."""

    digest: str
    n: int


@dataclass(frozen=True)
class Finding:
    """One question. ``value``, ``low``, ``high`` and ``threshold`` are on the same scale: a score, or a difference of two."""

    gate: str
    """A question of :data:`regraft.gates.options.QUESTIONS`, or slices, adaptation, identity or finite."""
    against: str | None
    """The model compared with: champion, tfidf or base."""
    metric: str | None
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    n: int
    outcome: FindingOutcome
    sentence: str

    @classmethod
    def in_words(
        cls, gate: str, n: int, outcome: FindingOutcome, sentence: str, *, against: str | None = None, metric: str | None = None
    ) -> Finding:
        """A finding without a number."""
        return cls(gate, against, metric, None, None, None, None, n, outcome, sentence)


@dataclass(frozen=True)
class Verdict:
    """What was decided about one candidate, and why."""

    pipeline: str
    outcome: Outcome
    candidate: Model
    champion: Champion | None
    rows: Rows
    policy_digest: str
    findings: tuple[Finding, ...]

    @property
    def already_champion(self) -> bool:
        """The candidate is, byte for byte, what is in production: there is nothing to register."""
        return self.champion is not None and self.champion.digest == self.candidate.digest

    def document(self) -> dict[str, Any]:
        """The content of ``verdict.json``."""
        return {"schema": SCHEMA, **asdict(self)}


def conclude(findings: Iterable[Finding]) -> Outcome:
    """Any fail is a fail; else any inconclusive is inconclusive; else pass."""
    outcomes = {finding.outcome for finding in findings}
    return "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def render(verdict: Verdict) -> str:
    """The bytes of ``verdict.json``."""
    return json.dumps(verdict.document(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
