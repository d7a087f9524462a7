"""Variants and the answers to them as evidence: one Parquet file, the same bytes for the same numbers.

Columns: gate, kind, id, change, expect, label, and of adapted and base each <model>_before, <model>_pred (strings) and
<model>_p (float32, the probability of the answer), in the order in which the variants were made. Of test rows it holds
what was changed and not the text; of templates, which are a user's own, the whole case.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation.probing import Answers, Probes
from regraft.evaluation.variants import Variant
from regraft.gates.stages import MODELS

FILE = "probes.parquet"


def write(path: Path, variants: Sequence[Variant], answers: Mapping[str, Answers]) -> None:
    """Write ``variants`` and what adapted and base answered, in the same order."""
    columns = {
        "gate": [v.gate for v in variants],
        "kind": [v.kind for v in variants],
        "id": [v.id for v in variants],
        "change": [v.change for v in variants],
        "expect": [v.expect for v in variants],
        "label": [v.label for v in variants],
    }
    table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    for model in MODELS:
        of_model = answers[model]
        table |= {f"{model}_before": pa.array(of_model.before, pa.string()), f"{model}_pred": pa.array(of_model.preds, pa.string())}
        table[f"{model}_p"] = pa.array(of_model.p, pa.float32())
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, compression="zstd", write_page_checksum=True)
    files.write_bytes(path, buffer.getvalue())


def load(path: Path) -> Probes:
    """Read a file of :func:`write`. EnvironmentFault when it is not one, or its bytes changed on disk."""
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()), page_checksum_verification=True)
        c = {name: table.column(name).to_pylist() for name in table.column_names if not name.endswith("_p")}
        models = [name.removesuffix("_p") for name in table.column_names if name.endswith("_p")]
        answers = {model: Answers(c[f"{model}_before"], c[f"{model}_pred"], table.column(f"{model}_p").to_numpy()) for model in models}
        return Probes(c["gate"], c["kind"], c["id"], c["change"], c["expect"], c["label"], answers)
    except (OSError, pa.ArrowException, KeyError) as fault:
        raise EnvironmentFault(f"{path} does not hold probes that can be read: {fault}") from fault
