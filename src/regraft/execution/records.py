"""Questions to the records that steps leave (``record.json``), each answered in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regraft.config.step_names import kind_of
from regraft.core import files

Record = Mapping[str, Any]
"""The content of a record.json."""
MODEL = "model"
"""The folder below ``out/`` of a step that writes a model."""


def model_files(record: Record) -> dict[str, str]:
    """``{path: sha256}`` of the model folder that a step wrote; empty where it wrote none."""
    return {path.removeprefix(f"{MODEL}/"): sha for path, sha in record["outputs"].items() if path.startswith(f"{MODEL}/")}


def model_digest(record: Record) -> str | None:
    """Digest of the model folder that a step wrote; None where it wrote none."""
    return files.digest_of(written) if (written := model_files(record)) else None


def scoring(records: Mapping[str, Record]) -> Record | None:
    """Of the records of a run, by step, one that scored candidates: that of ``score``, or of ``scores`` in 0.2; None: it got not so far."""
    return next((record for step, record in records.items() if kind_of(step) in ("score", "scores")), None)


def external_inputs(records: Iterable[Record]) -> dict[str, dict[str, str]]:
    """``{name: {path, hash}}`` of what the steps read that no step wrote: the data."""
    return {
        name: dict(source)
        for record in records
        for name, source in sorted(record["inputs"].items())
        if not source["path"].startswith("artifacts/")
    }


def data_hashes(records: Iterable[Record]) -> dict[str, str]:
    """``{name: hash}`` of :func:`external_inputs`."""
    return {name: source["hash"] for name, source in external_inputs(records).items()}
