"""The ledger: which questions a set of test rows has answered, counted because every answer wears it out."""

from __future__ import annotations

from datetime import UTC, datetime

from regraft.core import files
from regraft.core.key_values import KeyValues
from regraft.registry.journal import whoami

SCHEMA = 1


class Ledger:
    """``ledger/<test-rows digest>/<question digest>.json`` of a store: which different questions a test set has answered.

    A holdout wears out: every decision taken on it tells a little of it to whoever trains the next model (Dwork et al.
    2015, "The reusable holdout", Science 349). A test set is known by the digest of its content, so a renamed file is
    the same one, whichever pipeline reads it. The same question again tells nothing new and is counted once.
    """

    def __init__(self, values: KeyValues) -> None:
        self._values = values

    def record(self, rows: str, question: object, *, pipeline: str, run: str) -> int:
        """Note that ``question`` is asked of the test rows with digest ``rows``; how many different ones were, this one included."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        key = f"ledger/{rows}/{files.sha256_text(files.canonical(question))}.json"
        self._values.create(key, files.json_bytes({"schema": SCHEMA, "at": at, "pipeline": pipeline, "run": run, "by": whoami()}))
        return self.count(rows)

    def count(self, rows: str) -> int:
        """How many different questions the test rows with digest ``rows`` have answered."""
        return sum(1 for name in self._values.names(f"ledger/{rows}") if name.endswith(".json") and not name.startswith("."))
