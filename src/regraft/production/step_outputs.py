"""What the steps left of every candidate, brought together in the folders that a decision reads.

A step that runs for each candidate leaves one folder for each; :func:`regraft.gates.decide.decide` compares them, so it gets
one folder a step, in which a file or a column is named after the candidate. Where dev rows choose, the answers of the others to
test rows stay closed: only those of the chosen one, and of models that a gate compares with, are among them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.config.candidates import Candidate, candidates_in
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution.withheld import withheld
from regraft.gates.decide import CHOICE, DEV, chosen
from regraft.gates.registry import gate_of, read_all, tables

FINETUNED = {"adapted": "finetune", "base": "finetune_base"}
"""Candidate -> what a decision calls the stage after its fine-tuning."""
KEYS = ("gate", "kind", "id", "change", "expect", "label", "task", "masked", "came", "adapted")
"""Columns that are the same whichever candidate a step ran for."""


def choose(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> str | None:
    """Who is chosen on dev rows, of which all candidates have been scored; None where test rows choose."""
    if "by_cost" not in resolved:
        return None
    absent = {item["model"] for item in withheld(workspace, pipeline, resolved)}
    dev = {name: _out(workspace, pipeline, f"score-{name}") / "dev.parquet" for name in resolved["by_cost"] if name not in absent}
    return chosen(resolved["gates"], resolved["seed"], dev)


def gather(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], into: Path) -> Path:
    """Bring together what the steps of ``pipeline`` left; the folder ``scores/out`` below ``into``."""
    shutil.rmtree(into, ignore_errors=True)
    without = withheld(workspace, pipeline, resolved)
    absent = {item["model"] for item in without}
    name, candidates = choose(workspace, pipeline, resolved), [each for each in candidates_in(resolved) if each.name not in absent]
    outs = {candidate.name: _out(workspace, pipeline, candidate.instance("score")) for candidate in candidates}
    opened = list(outs) if name is None else list(dict.fromkeys((name, *(other for other in _opponents(resolved) if other in outs))))
    held_out, scores = _out(workspace, pipeline, "held_out"), into / "scores" / "out"
    for file in ("labels.json", "slices.parquet", "tfidf.parquet"):
        files.write_bytes(scores / file, (held_out / file).read_bytes())
    files.write_bytes(scores / "rows.parquet", (held_out / "test.parquet").read_bytes())
    for each in opened:
        files.write_bytes(scores / f"{each}.parquet", (outs[each] / "test.parquet").read_bytes())
    said, rows = {each: files.read_json(out / "digests.json") for each, out in outs.items()}, files.read_json(held_out / "digests.json")
    digests = {**{each: of_model["model"] for each, of_model in said.items()}, "tfidf": rows["tfidf"], "rows": rows["test"]}
    files.write_json(scores / "digests.json", digests)
    calibrations = {each: _calibration(outs[each]) for each in opened}
    if any(calibrations.values()):
        files.write_json(scores / "calibration.json", calibrations)
    if name is not None:
        for each in outs:
            files.write_bytes(scores / DEV / f"{each}.parquet", (outs[each] / "dev.parquet").read_bytes())
        by_cost = [each for each in resolved["by_cost"] if each not in absent]
        same = {"tfidf": name} if _is_baseline(workspace, pipeline, name) else {}
        files.write_json(scores / CHOICE, {"by_cost": by_cost, "models": [*opened, "tfidf"], "withheld": without, "same": same})
    _gates_steps(workspace, pipeline, resolved, [each for each in candidates if name in (None, each.name)], into)
    return scores


def _is_baseline(workspace: Workspace, pipeline: str, candidate: str) -> bool:
    """Whether a candidate has the weights of the baseline; its calibration and its file about serving are its own."""
    baseline, own = (files.tree(_out(workspace, pipeline, step) / "model") for step in ("tfidf", f"finetune-{candidate}"))
    return baseline.items() <= own.items()


def _opponents(resolved: Mapping[str, Any]) -> set[str]:
    """The models that gates compare the candidate with."""
    return {model for line in read_all(resolved["gates"]) if (model := gate_of(line).against(line)) is not None}


def _calibration(out: Path) -> Any:
    path = out / "calibration.json"
    return files.read_json(path) if path.is_file() else None


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
