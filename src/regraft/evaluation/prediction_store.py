"""Predictions that exist are never made again: a store keyed by (model digest, test-rows digest).

``predictions/<model digest>/<rows digest>.parquet``. A file says inside whose predictions it holds, so one that was moved
or damaged is a miss, and a miss is only slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.key_values import KeyValues
from regraft.evaluation import predictions


@dataclass(frozen=True)
class PredictionStore:
    """Creating it touches nothing. Safe for any number of processes: files appear whole, and equal keys mean equal content."""

    values: KeyValues

    def get(self, model: str, rows: str) -> Path | None:
        """The file, which is only to be read, or None when there is none that can be believed."""
        path = self.values.file(_key(model, rows))
        if path is None:
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
        with TemporaryDirectory() as folder:
            whole = Path(folder) / "whole.parquet"
            predictions.write(whole, predictions.read(source), model=model, rows=rows)
            self.values.put(_key(model, rows), whole.read_bytes())
        if (kept := self.values.file(_key(model, rows))) is None:
            raise EnvironmentFault(f"{self.values.where(_key(model, rows))} was written and is not there: somebody removes what is kept")
        return kept

    def keep(self, scores_out: Path) -> None:
        """Keep every candidate of a decision: whichever becomes champion need not be scored on these rows again."""
        digests = files.read_json(scores_out / "digests.json")
        for candidate in digests.keys() - {"tfidf", "rows"}:
            if not (scores_out / f"{candidate}.parquet").is_file():  # its answers stay closed
                continue
            self.put(digests[candidate], digests["rows"], scores_out / f"{candidate}.parquet")


def _key(model: str, rows: str) -> str:
    return f"predictions/{model}/{rows}.parquet"
