"""Run a model folder on test rows: the two candidates in the step ``scores``, the champion in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from regraft.core import progress
from regraft.evaluation.loading import loaded
from regraft.evaluation.predictions import Table, rows_digest

BATCH_SIZE = 64


@dataclass(frozen=True)
class HeldOut:
    """Labelled rows that no model was trained on: parallel columns, sorted by id."""

    ids: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str]

    @property
    def digest(self) -> str:
        return rows_digest(self.ids, self.texts, self.labels)

    @classmethod
    def read(cls, path: Path) -> HeldOut:
        """Read the ``rows.parquet`` that ``scores`` leaves."""
        columns = pq.read_table(path, columns=["id", "text", "label"]).to_pydict()
        return cls(columns["id"], columns["text"], columns["label"])


def score_folder(folder: Path, rows: HeldOut) -> Table:
    """Predictions of the model in ``folder``. EnvironmentFault when it does not load or does not predict."""
    with loaded(folder) as (model, machine):
        progress.current().facts.update(device=machine.device, threads=machine.threads, precision="fp32")
        p = model.predict(rows.texts, BATCH_SIZE)
    return Table.of(rows.ids, rows.labels, np.asarray(p, dtype=np.float32), model.labels)
