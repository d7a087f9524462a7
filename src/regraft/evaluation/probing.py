"""A model's answers to variants, beside its answers to what they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regraft.evaluation.predictions import Table
from regraft.evaluation.scoring import HeldOut, score_folder
from regraft.evaluation.variants import Variant
from regraft.gates.probes import Answers


def ask(folder: Path, variants: Sequence[Variant], known: Table) -> Answers:
    """What the model in ``folder`` says of every variant, in their order; ``known`` are its answers to the test rows.

    Equal texts have equal answers, also where a batch would round differently: each is asked about once.
    """
    originals = [variant.original for variant in variants if variant.original is not None]
    texts = list(dict.fromkeys([*(variant.text for variant in variants), *originals]))
    ids = [f"{number:09d}" for number in range(len(texts))]  # a table is sorted by id, so it keeps this order
    table = score_folder(folder, HeldOut(ids, texts, [""] * len(texts)))
    said = dict(zip(texts, zip(table.preds, table.p.max(axis=1, initial=0.0), strict=True), strict=True))
    rows = dict(zip(known.ids, known.preds, strict=True))
    before = [said[v.original][0] if v.original is not None else None if v.gate == "templates" else rows[v.id] for v in variants]
    answers = [said[variant.text] for variant in variants]
    return Answers(before, [label for label, _ in answers], np.array([p for _, p in answers], dtype=np.float32))
