"""Rows that drops left in quarantine, and what people decided about them.

A row is known as ``<version>:<n>``, the n-th row that was set aside of that version's drop. What is decided stands in ``decided.json``
beside the versions, with person and reason; nothing of it is ever taken out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.suggest import unknown
from regraft.data.handoff.history import History
from regraft.data.rows import present

DECIDED = "decided.json"
RELEASED = "released"
"""Where the record of a version has the rows that were released into it, in its diff."""
What = Literal["released", "dropped", "mended"]


@dataclass(frozen=True)
class Decision:
    """What became of a row that was set aside."""

    key: str
    what: What
    """``mended``: a later drop had a row of that id which was taken in."""
    at: str
    by: str
    reason: str
    version: int | None = None
    """The version that has the row."""


@dataclass(frozen=True)
class Aside:
    """A row that was set aside."""

    key: str
    file: str
    row: int | None
    id: str | None
    rule: str
    reason: str
    raw: Any
    """As it was read: columns and values, or what could not be told apart."""
    decision: Decision | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def values(self) -> dict[str, str | None] | None:
        """Its columns as text; None: they cannot be told apart."""
        if not isinstance(self.raw, dict):
            return None
        return {name: text_of_value(value) for name, value in self.raw.items() if name.strip()}


def text_of_value(value: Any) -> str | None:
    """A value as it was read, as text; None: it is missing."""
    if value is None:
        return None
    return present(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False))


class Quarantine:
    """The rows that were set aside of one pipeline's drops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def decisions(self) -> dict[str, Decision]:
        """What was decided, by row. A release is known by its version, too, should the process have been killed before it stood here."""
        path = self.folder / DECIDED
        written = {item["key"]: Decision(**item) for item in files.read_json(path)} if path.is_file() else {}
        return {item.key: item for item in self._released()} | written

    def _released(self) -> Iterator[Decision]:
        for version in History(self.folder).versions():
            for key in version.diff.get(RELEASED, ()):
                yield Decision(key, "released", version.at, version.by, version.reason or "", version.number)

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Write down what was decided."""
        known = self.decisions() | {item.key: item for item in decisions}
        files.write_json(self.folder / DECIDED, [asdict(item) for item in known.values()])

    def rows(self, *, everything: bool = False) -> Iterator[Aside]:
        """The rows, newest drop first; ``everything``: also those that were decided about."""
        import pyarrow.parquet as pq

        decisions = self.decisions()
        for version in reversed(History(self.folder).versions()):
            path = History(self.folder).place(version.number) / "quarantine.parquet"
            for number, item in enumerate(pq.read_table(path).to_pylist() if path.is_file() else (), start=1):
                decision = decisions.get(key := f"{version.number}:{number}")
                if decision is None or everything:
                    yield Aside(key, item["file"], item["row"], item["id"], item["rule"], item["reason"], json.loads(item["raw"]), decision)

    def chosen(self, keys: Collection[str], pipeline: str) -> list[Aside]:
        """The rows called ``keys``; ConfigError where one is not there, or was decided about."""
        known = {row.key: row for row in self.rows(everything=True)}
        fix = f"regraft quarantine list {pipeline}"
        for key in keys:
            if key not in known:
                raise ConfigError(unknown("row in quarantine", key, list(known)[:20]), fix=fix)
            if decision := known[key].decision:
                raise ConfigError(f"{key} was {decision.what} by {decision.by} on {decision.at[:10]}: {decision.reason}", fix=fix)
        return [known[key] for key in dict.fromkeys(keys)]
