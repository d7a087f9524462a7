"""What general text cost every stage, as the step ``forgetting`` left it and as a decision keeps it: ``general.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from regraft.core import files
from regraft.evaluation.retention import GeneralLosses
from regraft.gates.evidence import unchanged
from regraft.gates.options import GateOptions
from regraft.gates.stages import STAGES

FILE = "general.parquet"


def keep(artifacts: Path, evidence: Path, gates: Sequence[GateOptions]) -> str | None:
    """Copy the losses that a gate asks for into the evidence; their sha256, None where none asks or the step left none."""
    source = artifacts / "forgetting" / "out" / "losses.parquet"
    if not any(gate.forgetting for gate in gates) or not source.is_file():
        return None
    files.write_bytes(evidence / FILE, source.read_bytes())
    return files.sha256_file(evidence / FILE)


def read(evidence: Path, sha: str | None) -> GeneralLosses | None:
    """The losses, a sequence a row; None where none were kept. EnvironmentFault where the file is not the one that was kept."""
    if sha is None:
        return None
    table = pq.read_table(unchanged(evidence / FILE, sha))
    columns = {name: np.asarray(table[name].to_numpy()) for name in ("masked", *STAGES)}
    return GeneralLosses(columns.pop("masked").astype(np.int64), {name: nats.astype(np.float64) for name, nats in columns.items()})
