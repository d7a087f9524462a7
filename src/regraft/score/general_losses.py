"""What general text cost every stage, as the step ``forgetting`` left it and as a decision keeps it: ``general.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regraft import files
from regraft.config import GateOptions
from regraft.gates.case import GeneralLosses
from regraft.gates.forgetting import STAGES

FILE = "general.parquet"


def keep(scores_out: Path, evidence: Path, gates: Sequence[GateOptions]) -> GeneralLosses | None:
    """Copy the losses that a gate asks for into the evidence; None where none asks, or the step left none."""
    source = scores_out.parents[1] / "forgetting" / "out" / "losses.parquet"
    if not any(gate.forgetting for gate in gates) or not source.is_file():
        return None
    files.write_bytes(evidence / FILE, source.read_bytes())
    return read(evidence / FILE)


def read(path: Path) -> GeneralLosses:
    """The losses, a sequence a row."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {name: np.asarray(table[name].to_numpy()) for name in ("masked", *STAGES)}
    return GeneralLosses(columns.pop("masked").astype(np.int64), {name: each.astype(np.float64) for name, each in columns.items()})
