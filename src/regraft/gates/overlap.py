"""Which test rows share long runs of words with what was trained on: what gates with ``rows: clean`` read, whatever they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regraft.gates.tables import Table

if TYPE_CHECKING:
    from regraft.data.contamination import Overlap


def _load(path: Any) -> dict[str, Overlap]:
    from regraft.gates.evidence.row_quality import load_overlap

    return load_overlap(path)


OVERLAP = Table("overlap", "overlap.parquet", step="overlap", path="overlap.parquet", load=_load)
