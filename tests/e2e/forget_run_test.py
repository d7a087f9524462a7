"""Forgetting a row that a model was trained on: the log says which, and nothing that DVC and the steps keep has its text any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from everything import Ran

from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats


def holding(root: Path, text: str) -> list[str]:
    """The files below ``root`` in which ``text`` stands, Parquet unpacked."""
    import pyarrow.parquet as pq

    def content(path: Path) -> bytes:
        packed = path.read_bytes()
        return json.dumps(pq.read_table(path).to_pylist(), default=str).encode() if packed[:4] == b"PAR1" else packed

    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and text.encode() in content(path))


def test_nothing_that_was_computed_from_a_forgotten_row_is_kept(ran: Ran, cli: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(ran.root)
    workspace = Workspace(ran.root)
    row = json.loads((ran.root / "data/rows.jsonl").read_text().splitlines()[0])
    cache = dvc_formats.cache_folder(workspace)
    assert len(holding(ran.root / "artifacts", row["text"])) > 1
    assert len(holding(cache, row["text"])) > 1

    told = cli("data", "forget", "tiny", row["id"], "--yes", "--no-commit", "--json")
    assert told.code == 0, told.err
    assert told.json["versions"] == [{"version": 1, "rows": 1, "models": ["tiny/1"]}]
    assert holding(ran.root / "artifacts", row["text"]) == []
    assert holding(cache, row["text"]) == []
    assert holding(ran.root / ".regraft", row["text"]) == []
    assert holding(ran.root / "data", row["text"]) == []
    log = {line["number"]: line for line in cli("data", "log", "tiny", "--json").json["versions"]}
    assert (log[1]["models"], log[1]["purged"], log[2]["models"]) == (["tiny/1"], 2, [])
    plan = cli("plan", "tiny")
    assert plan.code == 0, plan.err
