"""The question of one decision: what is asked (:class:`Policy`), and of what (:class:`Case`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from regraft.evaluation.stats.bootstrap import RESAMPLES
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.power import POWER
from regraft.evaluation.stats.slices import SliceTable
from regraft.gates.options import CONFIDENCE, GateOptions, MetricOptions
from regraft.gates.row_quality import RowQuality
from regraft.gates.tables import Table
from regraft.gates.verdict import Champion, ClassChange, Facts, Rows

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """The gates and everything else that a verdict depends on besides the predictions."""

    gates: tuple[GateOptions, ...]
    seed: int
    resamples: int = RESAMPLES
    power: float | None = POWER
    """How surely an effect is seen that a verdict calls detectable; None: it says nothing of power, as the first decisions did."""

    interval: str | None = None
    """``percentile_and_score``: intervals hold what rows leave open where none of them varies (:mod:`regraft.evaluation.stats.unseen`);
    None: they are the bootstrap's alone, as up to 0.2."""

    choose_on: str | None = None
    """``dev``: rows that :mod:`regraft.gates.choice` chooses the candidate on; None: test rows, by :mod:`regraft.gates.adaptation`."""

    def document(self) -> dict[str, Any]:
        choosing = {"choose_on": self.choose_on, "rule": "one_standard_error"} if self.choose_on else {}
        document = {
            "gates": [gate.model_dump(mode="json", exclude_none=True) for gate in self.gates],
            "seed": self.seed,
            "resamples": self.resamples,
            **choosing,
            **({"interval": self.interval} if self.interval else {}),
        }
        return document if self.power is None else {**document, "power": self.power}

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of :meth:`document`."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def adaptation(self) -> tuple[str, float]:
        """(metric, confidence) of adapted against base: those of the first gate that holds a metric of all rows."""
        first = next((gate for gate in self.gates if isinstance(gate, MetricOptions)), None)
        return (first.metric, getattr(first, "confidence", CONFIDENCE)) if first else ("macro_f1", CONFIDENCE)


@dataclass(frozen=True)
class Case:
    """All the evidence of one decision."""

    pipeline: str
    policy: Policy
    digests: Mapping[str, str]
    """Candidate -> digest of its model."""
    rows: Rows
    predictions: Mapping[str, Predictions]
    """What was predicted by the candidates that are compared, by tfidf, and by the champion where it could be scored."""
    champion: Champion | None = None
    champion_problem: Facts | None = None
    """Why the champion cannot be compared with, a ``code`` and what belongs to it: it does not load, its labels are others."""
    classes: ClassChange | None = None
    """Which classes came and went since the champion was trained; None: none, or it cannot be compared with."""
    slices: SliceTable | None = None
    """What the test rows are sliced by; None: by nothing."""
    decisions: int | None = None
    """How many different decisions were taken on these test rows, this one included; None: nobody counted."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Key of a table that a gate declares -> what was read of it; without those that nobody asked for or no step left."""
    seeds: Mapping[str, Sequence[Predictions]] | None = None
    """What adapted and base say under seeds 2, 3 ... k; None: there is one seed."""
    dev: Mapping[str, Predictions] | None = None
    """What every candidate says of dev rows, the cheapest first, where that chooses among them; None elsewhere."""
    withheld: Sequence[Facts] = ()
    """The candidates that were not trained, each with a ``code`` and the numbers that kept it out."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Model that a gate compares with -> the candidate that is the very same."""

    @property
    def must_be_finite(self) -> tuple[str, ...]:
        """The models whose answers have to be usable: the champion's are not among them."""
        return tuple(model for model in self.predictions if model != "champion")

    def found(self, table: Table[T]) -> T | None:
        """What is known of ``table``; None: nothing."""
        return self.evidence.get(table.key)

    @property
    def champion_answers_all(self) -> bool:
        """Whether the champion can be compared with on all rows: nothing is wrong with it, and no row has a class that it cannot answer."""
        return self.champion_problem is None and not (self.classes and self.classes.new)

    @property
    def row_quality(self) -> RowQuality:
        """What speaks against single test rows, where somebody looked."""
        return RowQuality(self.evidence.get("overlap"), self.evidence.get("suspects"))
