"""Predictions that exist are never made again: a store keyed by (model digest, test-rows digest).

``<root>/<model digest>/<rows digest>.parquet``. A file says inside whose predictions it holds, so one that was moved
or damaged is a miss, and a miss is only slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation import predictions


@dataclass(frozen=True)
class PredictionStore:
    """Creating it touches nothing. Safe for any number of processes: files appear whole, and equal keys mean equal content."""

    root: Path

    def path(self, model: str, rows: str) -> Path:
        return self.root / model / f"{rows}.parquet"

    def get(self, model: str, rows: str) -> Path | None:
        """The file, or None when there is none that can be believed."""
        path = self.path(model, rows)
        if not path.is_file():
            return None
        try:
            table = predictions.read(path)
        except EnvironmentFault:
            return None
        return path if (table.model, table.rows) == (model, rows) else None

    def put(self, model: str, rows: str, source: Path) -> Path:
        """Keep the predictions in ``source`` under their key; what is there already stays as it is."""
        if stored := self.get(model, rows):
            return stored
        predictions.write(self.path(model, rows), predictions.read(source), model=model, rows=rows)
        return self.path(model, rows)

    def keep(self, scores_out: Path) -> None:
        """Keep every candidate of a decision: whichever becomes champion need not be scored on these rows again."""
        digests = files.read_json(scores_out / "digests.json")
        for candidate in digests.keys() - {"tfidf", "rows"}:
            if not (scores_out / f"{candidate}.parquet").is_file():  # its answers stay closed
                continue
            self.put(digests[candidate], digests["rows"], scores_out / f"{candidate}.parquet")
