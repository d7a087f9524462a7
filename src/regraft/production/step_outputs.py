"""What the steps left of every candidate, brought together in the folders that a decision reads.

A step that runs for each candidate leaves one folder for each; :func:`regraft.gates.decide.decide` compares them, so it gets
one folder a step, in which a file or a column is named after the candidate.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.config.candidates import Candidate, candidates_in
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.gates.registry import read_all, tables

FINETUNED = {"adapted": "finetune", "base": "finetune_base"}
"""Candidate -> what a decision calls the stage after its fine-tuning."""
KEYS = ("gate", "kind", "id", "change", "expect", "label", "task", "masked", "came", "adapted")
"""Columns that are the same whichever candidate a step ran for."""


def gather(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], into: Path) -> Path:
    """Bring together what the steps of ``pipeline`` left; the folder ``scores/out`` below ``into``."""
    shutil.rmtree(into, ignore_errors=True)
    candidates = candidates_in(resolved)
    outs = {candidate.name: _out(workspace, pipeline, candidate.instance("score")) for candidate in candidates}
    held_out, scores = _out(workspace, pipeline, "held_out"), into / "scores" / "out"
    for name in ("labels.json", "slices.parquet", "tfidf.parquet"):
        files.write_bytes(scores / name, (held_out / name).read_bytes())
    files.write_bytes(scores / "rows.parquet", (held_out / "test.parquet").read_bytes())
    for name, out in outs.items():
        files.write_bytes(scores / f"{name}.parquet", (out / "test.parquet").read_bytes())
    said, rows = {name: files.read_json(out / "digests.json") for name, out in outs.items()}, files.read_json(held_out / "digests.json")
    digests = {**{name: digests["model"] for name, digests in said.items()}, "tfidf": rows["tfidf"], "rows": rows["test"]}
    files.write_json(scores / "digests.json", digests)
    calibrations = {name: files.read_json(path) if (path := out / "calibration.json").is_file() else None for name, out in outs.items()}
    if any(calibrations.values()):
        files.write_json(scores / "calibration.json", calibrations)
    _gates_steps(workspace, pipeline, resolved, candidates, into)
    return scores


def _gates_steps(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], candidates: Sequence[Candidate], into: Path) -> None:
    """What only some gates ask for, a step at a time."""
    for table in tables(read_all(resolved["gates"])):
        if table.step is None or (target := into / table.step / "out" / table.path).exists():
            continue
        if table.step in resolved:
            shutil.copytree(_out(workspace, pipeline, table.step), into / table.step / "out")
        sources = {c.name: _out(workspace, pipeline, name) / table.path for c in candidates if (name := c.instance(table.step)) in resolved}
        if sources:
            _beside(sources, target)
    for candidate in candidates:
        if (name := candidate.instance("seeds")) not in resolved:
            continue
        out, target = _out(workspace, pipeline, name), into / "seeds" / "out"
        for path in out.glob("*.parquet"):
            files.write_bytes(target / f"{candidate.name}.{path.name}", path.read_bytes())
        files.write_bytes(target / "digests.json", (out / "digests.json").read_bytes())


def _beside(sources: Mapping[str, Path], target: Path) -> None:
    """One table of one for each candidate: what they share once, and what a candidate said under its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    for candidate, path in sources.items():
        table = pq.read_table(path)
        for name in table.column_names:
            stage = FINETUNED.get(candidate, f"finetune-{candidate}") if name == "finetuned" else f"{candidate}_{name}"
            columns.setdefault(name if name in KEYS else stage, table.column(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), target, compression="zstd", write_page_checksum=True)


def _out(workspace: Workspace, pipeline: str, step: str) -> Path:
    return workspace.artifacts(pipeline, step) / "out"
