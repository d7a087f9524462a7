"""What the step ``corpus`` of 0.2 said of the splits becomes what the step ``splits`` left, so that nothing is trained again.

Both deal the labelled rows out by the same code, whose result a corpus does not change. The table is copied and not made anew:
another pyarrow might write the same rows in other bytes. What lies in ``corpus/out`` stays, where nobody reads it now.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import yaml

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats

FILE = "splits.parquet"
KEYS = ("pairs", "seed", "spent", "spent_digest", "split")
"""What of the section of ``corpus`` the splits depend on."""
COUNTS = ("train", "dev", "test", "dropped_labelled", "leaked_exact", "leaked_near")


def adopt(workspace: Workspace, pipeline: str, stages: Mapping[str, Any]) -> str | None:
    """Lay out the folder of ``splits`` from what ``corpus`` left; its stage as dvc.lock writes one. None: there is nothing to adopt.

    :param stages: those of dvc.lock. Of a ``corpus`` whose output is not the one named there nothing is adopted.
    """
    former, folder = workspace.artifacts(pipeline, "corpus"), workspace.artifacts(pipeline, "splits")
    stage, cache = stages.get(f"corpus@{pipeline}"), dvc_formats.cache_folder(workspace)
    if stage is None or f"splits@{pipeline}" in stages or not (former / "record.json").is_file():
        return None
    out = next(item for item in stage["outs"] if item["path"].endswith("/out"))
    if (dvc_formats.listing(cache, out["md5"]) or {}).get(FILE) != dvc_formats.md5_of(former / "out" / FILE):
        return None
    section = next(iter(stage["params"].values()))["corpus"]
    params = {key: section[key] for key in KEYS if key in section}
    record = files.read_json(former / "record.json")
    shutil.rmtree(folder, ignore_errors=True)
    files.write_bytes(folder / "out" / FILE, (former / "out" / FILE).read_bytes())
    for kept in ("dropped.parquet", "leaks.parquet"):  # rows, and documents among them, which readers leave out
        if (former / "evidence" / kept).is_file():
            files.write_bytes(folder / "evidence" / kept, (former / "evidence" / kept).read_bytes())
    metrics = {name: count for name, count in record["metrics"].items() if name in COUNTS}
    files.write_json(folder / "evidence" / "metrics.json", {"metrics": metrics, "seconds": record["seconds"]})
    files.write_json(folder / "record.json", {**record, **_own(record, params), "metrics": metrics})
    entry = {
        "cmd": f"regraft step splits --pipeline {pipeline} --step-version 1",
        "deps": [item for item in stage["deps"] if item["path"].endswith("/contract/out/texts.parquet")],
        "params": {f"pipelines/resolved/{pipeline}.yaml": {"splits": params}},
        "outs": [
            {"path": workspace.relative(folder / name), "hash": "md5", **dvc_formats.keep(cache, folder / name)}
            for name in ("evidence", "out", "record.json")
        ],
    }
    written = yaml.safe_dump({f"splits@{pipeline}": entry}, sort_keys=False)
    return "".join(f"  {line}" for line in written.splitlines(keepends=True))


def _own(record: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of ``splits`` says otherwise than that of ``corpus``."""
    inputs = {"texts": record["inputs"]["texts"]}
    identity = files.canonical([params, 1, {"texts": inputs["texts"]["hash"]}])
    outputs = {FILE: record["outputs"][FILE]}
    return {"step": "splits", "fingerprint": files.sha256_text(identity), "inputs": inputs, "params": params, "outputs": outputs}
