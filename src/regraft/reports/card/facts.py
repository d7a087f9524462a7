"""What a card tells, read from stored evidence: nothing is predicted, no weights are opened."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats import unseen
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Predictions, align
from regraft.evaluation.stats.proportions import wilson
from regraft.execution.records import Record, model_digest
from regraft.gates.decide import reevaluate
from regraft.gates.policy import Case
from regraft.registry.journal import Entry

CONFIDENCE = 0.95
_STEP = re.compile(r"artifacts/[^/]+/([^/]+)/")


@dataclass(frozen=True)
class ByClass:
    """One label on the test rows: rows that have it, rows that were given it, rows where both hold."""

    label: str
    rows: int
    named: int
    hits: int

    @property
    def precision(self) -> Measured | None:
        """The share of the answers with this label that are right; None: it was never given."""
        return share(self.hits, self.named)

    @property
    def recall(self) -> Measured | None:
        """The share of the rows with this label that were given it; None: there are no such rows."""
        return share(self.hits, self.rows)

    @property
    def f1(self) -> float:
        """2 hits / (rows + named), as in :func:`regraft.evaluation.stats.metrics.macro_f1`; 0 for a label that neither has."""
        return 2 * self.hits / (self.rows + self.named) if self.rows + self.named else 0.0


@dataclass(frozen=True)
class Facts:
    """Everything in a card that people did not write."""

    entry: Entry
    """The entry by which the version was registered."""
    version: str
    mlflow_run_id: str
    verdict: dict[str, Any]
    """Content of verdict.json, rebuilt from the predictions."""
    seed: int
    resamples: int
    labels: tuple[str, ...]
    scores: dict[str, dict[str, Measured]]
    """model -> metric -> value and interval on the test rows."""
    classes: tuple[ByClass, ...]
    """How the version does, one for each label."""
    records: dict[str, Record]
    """Step -> record, of every step of the run."""
    waived: tuple[Entry, ...] = ()
    """Promotions of the version on waivers."""

    @property
    def candidate(self) -> str:
        """adapted or base: what the version was called in its run."""
        return str(self.verdict["candidate"]["name"])

    @property
    def lineage(self) -> tuple[Record, ...]:
        """Records of the steps that led to the model, each after those it reads; the one that wrote it is the last."""
        writer = next((name for name, record in self.records.items() if model_digest(record) == self.entry.digest), None)
        reached: dict[str, Record] = {}
        if writer:
            _visit(writer, self.records, reached)
        return tuple(reached.values())


def gather(entry: Entry, mlflow_run_id: str, evidence: Path, records: Path) -> Facts:
    """The facts about the version that ``entry`` registered, from the two artifact folders of its run.

    Raises ``EnvironmentFault`` when the predictions are not those that were decided on, or the run decided about another model.
    """
    evaluation = reevaluate(evidence)
    case, verdict = evaluation.case, evaluation.verdict
    if verdict.candidate.digest != entry.digest or entry.to is None:
        raise EnvironmentFault(f"{evidence} is about the model {verdict.candidate.digest[:12]}, the journal about {entry.digest[:12]}")
    labels = tuple(files.read_json(evidence / "labels.json"))
    return Facts(
        entry=entry,
        version=entry.to["version"],
        mlflow_run_id=mlflow_run_id,
        verdict=json.loads(evaluation.verdict_text()),
        seed=case.policy.seed,
        resamples=case.policy.resamples,
        labels=labels,
        scores=_scores(case),
        classes=tuple(_by_class(case.predictions[verdict.candidate.name], labels)),
        records={path.stem: files.read_json(path) for path in sorted(records.glob("*.json"))},
    )


def _scores(case: Case) -> dict[str, dict[str, Measured]]:
    usable = {model: p for model, p in case.predictions.items() if not p.unusable and (model != "champion" or case.champion_answers_all)}
    paired = align(usable)
    value = {model: scores(paired, model) for model in usable}
    measured: dict[str, dict[str, Measured]] = {model: {} for model in usable}
    for metric, models in replicates(paired, seed=case.policy.seed, resamples=case.policy.resamples).items():
        for model, resampled in models.items():
            low, high = interval(resampled, CONFIDENCE)
            if case.policy.interval:
                low, high = unseen.opened((low, high), value[model][metric], len(paired.ids), CONFIDENCE, 0.0, 1.0)
            measured[model][metric] = Measured(rounded(value[model][metric]), rounded(low), rounded(high), 0.0, CONFIDENCE)
    return measured


def _by_class(predictions: Predictions, labels: Sequence[str]) -> Iterator[ByClass]:
    rows, named = Counter(predictions.labels), Counter(predictions.preds)
    hits = Counter(label for label, pred in zip(predictions.labels, predictions.preds, strict=True) if label == pred)
    for label in labels:
        yield ByClass(label, rows[label], named[label], hits[label])


def share(hits: int, n: int) -> Measured | None:
    """A share and its score interval; None where there are no rows."""
    if n == 0:
        return None
    low, high = wilson(hits, n, CONFIDENCE)
    return Measured(rounded(hits / n), rounded(low), rounded(high), 0.0, CONFIDENCE)


# --- lineage -----------------------------------------------------------------------------------------------------


def _visit(step: str, records: Mapping[str, Record], visited: dict[str, Record]) -> None:
    for item in records[step]["inputs"].values():
        source = _STEP.match(item["path"])
        if source and source[1] in records and source[1] not in visited:
            _visit(source[1], records, visited)
    visited[step] = records[step]


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``(dotted key, value)`` of nested parameters; a list of named things is told by their names."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from flat(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        yield prefix, ", ".join(str(item["name"]) if isinstance(item, dict) and "name" in item else str(item) for item in value)
    else:
        yield prefix, value
