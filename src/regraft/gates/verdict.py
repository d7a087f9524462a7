"""A verdict: every question a policy asked, its number, its interval, its threshold, and the facts that words are made of.

It holds numbers, codes and names, and no sentence: a better word changes no stored decision. Sentences are made of a
finding by the gate that made it (:func:`regraft.gates.telling.sentence`); verdicts of schema 1, which held theirs, are
:mod:`regraft.gates.schema_1`'s. The rendered text is the contract: sorted keys, no clock and no run id, so that the same
predictions under the same policy give the same bytes years later. Decisions are taken on the rounded numbers, so the
text never says one thing and the outcome another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from regraft.evaluation.stats.measured import FindingOutcome, Outcome

SCHEMA = 2
Facts = Mapping[str, Any]
"""What a finding holds besides its number, as JSON."""


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
class ClassChange:
    """How the classes of today's labels differ from those that the champion knows; at least one class is in both."""

    new: tuple[str, ...]
    """The champion cannot answer these."""
    vanished: tuple[str, ...]
    """Only the champion answers these; no row has them."""


@dataclass(frozen=True)
class Finding:
    """One question. ``value``, ``low``, ``high`` and ``threshold`` are on the same scale: a score, or a difference of two."""

    gate: str
    """A gate of the policy, or adaptation, identity or finite."""
    against: str | None
    """The model compared with: champion, tfidf or base."""
    metric: str | None
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    n: int
    outcome: FindingOutcome
    code: str = "measured"
    """What is said: ``measured``, or why there is no number."""
    facts: Facts = field(default_factory=dict)

    @classmethod
    def without_number(
        cls, gate: str, n: int, outcome: FindingOutcome, code: str, *, against: str | None = None, metric: str | None = None, **facts: Any
    ) -> Finding:
        """A finding that has none, and why."""
        return cls(gate, against, metric, None, None, None, None, n, outcome, code, facts)

    def document(self) -> dict[str, Any]:
        """What a verdict stores of it."""
        return {**asdict(self), "facts": short(self.facts)}


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
        return {"schema": SCHEMA, **asdict(self), "findings": [finding.document() for finding in self.findings]}


def conclude(findings: Iterable[Finding]) -> Outcome:
    """Any fail is a fail; else any inconclusive is inconclusive; else pass."""
    outcomes = {finding.outcome for finding in findings}
    return "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def short(value: Any) -> Any:
    """``value`` with floats to six decimals, or to four digits where six decimals would leave less; no negative zero."""
    if isinstance(value, float):
        return (float(f"{value:.4g}") if abs(value) < 1e-3 else round(value, 6)) + 0.0
    if isinstance(value, Mapping):
        return {key: short(item) for key, item in value.items()}
    return [short(item) for item in value] if isinstance(value, list | tuple) else value


def render(verdict: Verdict) -> str:
    """The bytes of ``verdict.json``."""
    return text_of(verdict.document())


def text_of(document: Mapping[str, Any]) -> str:
    """The text of a document that has to be the same bytes again."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
