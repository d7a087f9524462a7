"""The question of one decision: what is asked (:class:`Policy`), and of what (:class:`Case`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.evaluation.probing import Probes
from regraft.evaluation.retention import EarlierAnswers, GeneralLosses
from regraft.evaluation.stats.bootstrap import RESAMPLES
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.power import POWER
from regraft.evaluation.stats.slices import SliceTable
from regraft.gates.options import GateOptions
from regraft.gates.row_quality import UNKNOWN, RowQuality
from regraft.gates.verdict import Champion, Facts, Rows


@dataclass(frozen=True)
class Policy:
    """The gates and everything else that a verdict depends on besides the predictions."""

    gates: tuple[GateOptions, ...]
    seed: int
    resamples: int = RESAMPLES
    power: float | None = POWER
    """How surely an effect is seen that a verdict calls detectable; None: it says nothing of power, as the first decisions did."""

    def document(self) -> dict[str, Any]:
        document = {
            "gates": [gate.model_dump(mode="json", exclude_none=True) for gate in self.gates],
            "seed": self.seed,
            "resamples": self.resamples,
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
        of_all_rows = (g for g in self.gates if g.question in ("beats", "at_least", "non_inferior_by") and not g.slices)
        first = next(of_all_rows, None)
        return (first.metric, first.confidence) if first else ("macro_f1", 0.95)


@dataclass(frozen=True)
class Case:
    """All the evidence of one decision."""

    pipeline: str
    policy: Policy
    digests: Mapping[str, str]
    """Digests of the two candidates: adapted, and base, which was fine-tuned without adaptation."""
    rows: Rows
    predictions: Mapping[str, Predictions]
    """What was predicted by adapted, base, tfidf, and by the champion where it could be scored."""
    champion: Champion | None = None
    champion_problem: Facts | None = None
    """Why the champion cannot be compared with, a ``code`` and what belongs to it: it does not load, its labels are others."""
    slices: SliceTable | None = None
    """What the test rows are sliced by; None: by nothing."""
    decisions: int | None = None
    """How many different decisions were taken on these test rows, this one included; None: nobody counted."""
    probes: Probes | None = None
    """What adapted and base said of changed texts; None: nobody asked."""
    row_quality: RowQuality = UNKNOWN
    """What speaks against single test rows, where somebody looked."""
    seeds: Mapping[str, Sequence[Predictions]] | None = None
    """What adapted and base say under seeds 2, 3 ... k; None: there is one seed."""
    calibration: Mapping[str, Any] | None = None
    """Candidate -> what its model folder says of its calibration; None where nothing asks."""
    cost: Mapping[str, Any] | None = None
    """What serving the candidate takes, as :mod:`regraft.evaluation.serving_cost` measured it, or why it could not be measured;
    None where no gate asks."""
    general: GeneralLosses | None = None
    """What general text costs, measured where a gate asks what was forgotten; None elsewhere."""
    earlier_tasks: Mapping[str, EarlierAnswers] | None = None
    """Task -> answers, where a gate asks of earlier tasks; None elsewhere."""
