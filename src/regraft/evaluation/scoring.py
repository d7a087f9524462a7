"""Run a model folder on held-out rows: a candidate in the step ``score``, the champion in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from regraft.core import progress
from regraft.evaluation.loading import loaded
from regraft.evaluation.predictions import Table, rows_digest

if TYPE_CHECKING:
    import pandas as pd

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
    def of(cls, rows: pd.DataFrame) -> HeldOut:
        """Those of ``rows``, whose columns id, text and label are text."""
        ordered = rows.sort_values("id")
        return cls(ordered["id"].tolist(), ordered["text"].tolist(), ordered["label"].tolist())

    @classmethod
    def read(cls, path: Path) -> HeldOut:
        """Read a file that ``held_out`` left."""
        columns = pq.read_table(path, columns=["id", "text", "label"]).to_pydict()
        return cls(columns["id"], columns["text"], columns["label"])


def score_folder(folder: Path, rows: HeldOut) -> Table:
    """Predictions of the model in ``folder``. EnvironmentFault when it does not load or does not predict."""
    with loaded(folder) as (model, machine):
        progress.current().facts.update(device=machine.device, threads=machine.threads, precision="fp32")
        p = model.predict(rows.texts, BATCH_SIZE)
    return Table.of(rows.ids, rows.labels, np.asarray(p, dtype=np.float32), model.labels)
