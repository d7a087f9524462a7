"""A model's answers to variants, beside its answers to what they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from regraft.core.errors import EnvironmentFault
from regraft.data.tables import write_table
from regraft.evaluation.predictions import Table
from regraft.evaluation.scoring import HeldOut, score_folder
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.variants import Variant


def ask(folder: Path, variants: Sequence[Variant], known: Table) -> Answers:
    """What the model in ``folder`` says of every variant, in their order; ``known`` are its answers to the test rows.

    Equal texts have equal answers, also where a batch would round differently: each is asked about once.
    """
    originals = [variant.original for variant in variants if variant.original is not None]
    texts = list(dict.fromkeys([*(variant.text for variant in variants), *originals]))
    ids = [f"{number:09d}" for number in range(len(texts))]  # a table is sorted by id, so it keeps this order
    table = score_folder(folder, HeldOut(ids, texts, [""] * len(texts)))
    answer_to = dict(zip(texts, zip(table.preds, table.p.max(axis=1, initial=0.0), strict=True), strict=True))
    rows = dict(zip(known.ids, known.preds, strict=True))
    before = [answer_to[v.original][0] if v.original is not None else None if v.gate == "templates" else rows[v.id] for v in variants]
    answers = [answer_to[variant.text] for variant in variants]
    return Answers(before, [label for label, _ in answers], np.array([p for _, p in answers], dtype=np.float32))


@dataclass(frozen=True)
class Answers:
    """What one model said of n variants."""

    before: Sequence[str | None]
    """Its answer to the text that a variant was made from; None where there is none."""
    preds: Sequence[str]
    p: NDArray[np.float32]
    """[n] probability of ``preds``."""


def write(path: Path, variants: Sequence[Variant], answers: Answers) -> None:
    """Write ``variants`` and what one model answered, in their order; of test rows without their texts.

    Columns: gate, kind, id, change, expect, label, before, pred (strings) and p (float32).
    """
    names = ("gate", "kind", "id", "change", "expect", "label")
    columns = {name: [getattr(variant, name) for variant in variants] for name in names}
    write_table(path, {**columns, "before": answers.before, "pred": answers.preds, "p": answers.p}, p=pa.float32())


@dataclass(frozen=True)
class Probes:
    """n variants and the answers to them; parallel columns, in the order in which they were made."""

    gates: Sequence[str]
    kinds: Sequence[str]
    ids: Sequence[str]
    """Ids of the test rows; of a template, the number of its case."""
    changes: Sequence[str]
    expects: Sequence[str]
    """same, different or label."""
    labels: Sequence[str | None]
    """What the answer must be, where ``expects`` says label."""
    answers: Mapping[str, Answers]
    """Model, adapted or base -> its answers."""

    def check(self, predictions: Mapping[str, Predictions]) -> None:
        """EnvironmentFault when the variants are not those of the test rows that were predicted."""
        for model, answers in self.answers.items():
            predicted = dict(zip(predictions[model].ids, predictions[model].preds, strict=True))
            for gate, row, before in zip(self.gates, self.ids, answers.before, strict=True):
                if gate != "templates" and predicted.get(row) != before:
                    raise EnvironmentFault(f"the probes hold another answer of {model} to row {row!r} than the predictions do")

    def failed(self, gate: str, model: str) -> dict[str, dict[str, bool]]:
        """Test -> row -> whether one of its variants got a wrong answer, by tests and rows as they were made."""
        outcomes: dict[str, dict[str, bool]] = {}
        for i, owner in enumerate(self.gates):
            if owner == gate:
                rows = outcomes.setdefault(self.kinds[i], {})
                rows[self.ids[i]] = rows.get(self.ids[i], False) or self.wrong(i, model)
        return outcomes

    def wrong(self, i: int, model: str) -> bool:
        """Whether variant ``i`` got another answer than it should."""
        answers = self.answers[model]
        changed = answers.preds[i] != answers.before[i]
        return {"same": changed, "different": not changed, "label": answers.preds[i] != self.labels[i]}[self.expects[i]]

    def unusable(self, gate: str, model: str) -> list[str]:
        """Rows with a variant whose probability is not finite, as a sentence names them."""
        bad = ~np.isfinite(self.answers[model].p)
        rows = (f"{self.kinds[i]} {self.ids[i]}" for i in np.flatnonzero(bad).tolist() if self.gates[i] == gate)
        return list(dict.fromkeys(rows))
