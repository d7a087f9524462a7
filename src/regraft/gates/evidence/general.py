"""What general text cost every stage, as the step ``forgetting`` left it and as a decision keeps it: ``general.parquet``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from regraft.evaluation.retention import GeneralLosses


def load(path: Path) -> GeneralLosses:
    """The losses, a sequence a row."""
    table = pq.read_table(path)
    columns = {name: np.asarray(table[name].to_numpy()) for name in table.column_names}
    return GeneralLosses(columns.pop("masked").astype(np.int64), {name: nats.astype(np.float64) for name, nats in columns.items()})
