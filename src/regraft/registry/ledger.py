"""The ledger: which questions a set of test rows has answered, counted because every answer wears it out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from regraft.core import files
from regraft.registry.journal import whoami

SCHEMA = 1


class FileLedger:
    """``<state>/ledger/<test-rows digest>/<question digest>.json``: which different questions a test set has answered.

    A holdout wears out: every decision taken on it tells a little of it to whoever trains the next model (Dwork et al.
    2015, "The reusable holdout", Science 349). A test set is known by the digest of its content, so a renamed file is
    the same one, whichever pipeline reads it. The same question again tells nothing new and is counted once.
    """

    def __init__(self, state: Path) -> None:
        self.folder = state / "ledger"

    def record(self, rows: str, question: object, *, pipeline: str, run: str) -> int:
        """Note that ``question`` is asked of the test rows with digest ``rows``; how many different ones were, this one included."""
        path = self.folder / rows / f"{files.sha256_text(files.canonical(question))}.json"
        if not path.is_file():
            at = datetime.now(UTC).isoformat(timespec="seconds")
            files.write_json(path, {"schema": SCHEMA, "at": at, "pipeline": pipeline, "run": run, "by": whoami()})
        return self.count(rows)

    def count(self, rows: str) -> int:
        """How many different questions the test rows with digest ``rows`` have answered."""
        folder = self.folder / rows
        return sum(1 for path in folder.glob("*.json") if not path.name.startswith(".")) if folder.is_dir() else 0
