"""Rows that had to go for good: found wherever a version or a quarantine has them, taken out of what is kept of drops, and known again.

What is remembered of a person is no more than a salted digest, enough to refuse a drop that brings the same rows back.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.data.handoff.history import History, Version
from regraft.data.handoff.set_aside import text_of_value
from regraft.data.made_ids import of_text
from regraft.data.options import MADE_ID

NAME = "forgotten.json"
GONE = "(forgotten)"
"""What stands in the place of a value that was forgotten."""
BEFORE = r"(?:(?<=: )|(?<=, )|(?<=\()|(?<=the row )|(?<=the test row )|(?<=the dev row )|(?<=the train row )|(?<='))"
AFTER = r"(?= \(| '| of this drop| and [\d,]+ more|[,;)']|$)"
"""What messages write around an id or a value that they name; ``7 rows`` and ``17 %`` are no names."""
NODE = re.compile(r"<(?P<tag>/?\w+)(?P<attributes>[^>]*)>(?P<text>[^<]+)")
CUT = " …"
"""How a page ends a value that is too long for it."""


@dataclass(frozen=True)
class Wanted:
    """Which rows are to be forgotten: those with one of the ``values`` in ``column``."""

    column: str
    values: frozenset[str]

    @classmethod
    def of(cls, column: str, values: Iterable[str]) -> Wanted:
        """Those with one of the ``values``; an id that was made of a text means every row with that text."""
        return cls(column, frozenset(_name(column, value) for value in values))

    def has(self, values: Mapping[str, str | None]) -> bool:
        """Whether a row is among them."""
        value = values.get(self.column)
        return value is not None and _name(self.column, value) in self.values

    def is_aside(self, item: Mapping[str, Any]) -> bool:
        """Whether a row of a quarantine is among them; of one whose columns could not be told apart, whether a value stands in it."""
        raw = json.loads(item["raw"])
        if self.column == MADE_ID:
            return item["id"] is not None and of_text(item["id"]) in self.values
        if isinstance(raw, dict):
            return any(name == self.column and text_of_value(value) in self.values for name, value in raw.items())
        text = json.dumps(raw, ensure_ascii=False)
        return any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) for value in self.values)


def _name(column: str, value: str) -> str:
    """By what a row is known that has ``value`` in ``column``."""
    return of_text(value) if column == MADE_ID else value


class Remembered:
    """What was forgotten of one pipeline's data, as digests."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._known: dict[str, Any] = files.read_json(self._path) if self._path.is_file() else {"salt": "", "digests": {}}
        columns = sorted({column for column, _ in self._known["digests"].values()})
        self._salted = [(column, hashlib.sha256(f"{self._known['salt']}\x1f{column}\x1f".encode())) for column in columns]

    def __bool__(self) -> bool:
        return bool(self._known["digests"])

    def add(self, wanted: Wanted, version: int) -> None:
        """Remember what version ``version`` forgot."""
        salt = self._known["salt"] or secrets.token_hex(16)
        fresh = {self._digest(salt, wanted.column, value): [wanted.column, version] for value in sorted(wanted.values)}
        files.write_json(self._path, {"salt": salt, "digests": {**self._known["digests"], **fresh}})

    def version_of(self, values: Mapping[str, str | None]) -> int | None:
        """The version that forgot such a row; None: none did. 2 µs for every column by which rows were forgotten."""
        for column, salted in self._salted:
            if (value := values.get(column)) is not None:
                digest = salted.copy()
                digest.update(_name(column, value).encode("utf8", "surrogatepass"))
                if known := self._known["digests"].get(digest.hexdigest()):
                    return int(known[1])
        return None

    @staticmethod
    def _digest(salt: str, column: str, value: str) -> str:
        return files.sha256_text(f"{salt}\x1f{column}\x1f{value}")


def set_aside(history: History, wanted: Wanted) -> tuple[int, set[str]]:
    """How many such rows lie in quarantines, and the ids of those that have one."""
    items = [item for folder in _folders(history) for item in _quarantined(folder) if wanted.is_aside(item)]
    return len(items), {item["id"] for item in items if item["id"] is not None}


def redact(history: History, wanted: Wanted, ids: Iterable[str]) -> list[str]:
    """Take such rows out of pages, quarantines, records of versions and of an inbox; the folders, by name, that had something of them."""
    gone = {*ids, *wanted.values}
    names = re.compile(f"{BEFORE}(?:{'|'.join(re.escape(name) for name in sorted(gone, key=len, reverse=True))}){AFTER}", re.MULTILINE)
    redacted = [folder.name for folder in _folders(history) if _redact(folder, wanted, set(ids), names, gone)]
    return [*redacted, *(["inbox"] if _redact_inbox(history.folder / "inbox", names) else [])]


def _redact_inbox(folder: Path, names: re.Pattern[str]) -> bool:
    """Why drops of an inbox were refused; whether something was taken out."""
    changed = False
    for path in sorted(folder.glob("*.json")):
        record = files.read_json(path)
        if record["refused"] and (text := names.sub(GONE, record["refused"])) != record["refused"]:
            files.write_json(path, {**record, "refused": text})
            changed = True
    return changed


def shows(page: str, names: re.Pattern[str], gone: Iterable[str]) -> bool:
    """Whether a page, as HTML, names one of ``gone``: as a whole cell, which may be cut short, or where a message writes a name."""
    for node in NODE.finditer(page):
        text = html.unescape(node["text"]).strip()
        is_number = node["tag"] == "dd" or 'class="n"' in node["attributes"]
        if not is_number and (names.search(text.removesuffix(".")) or any(_is(text, name) for name in gone)):
            return True
    return False


def _is(text: str, name: str) -> bool:
    return text == name.strip() or (text.endswith(CUT) and len(text) > len(CUT) and name.startswith(text.removesuffix(CUT)))


def _folders(history: History) -> list[Path]:
    return [*(history.place(version.number) for version in history.versions()), *sorted((history.folder / "refused").glob("*"))]


def _quarantined(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    path = folder / "quarantine.parquet"
    return list(pq.read_table(path).to_pylist()) if path.is_file() else []


def _redact(folder: Path, wanted: Wanted, ids: set[str], names: re.Pattern[str], gone: set[str]) -> bool:
    changed = _redact_quarantine(folder, wanted, ids, names)
    if (record := folder / "version.json").is_file():
        version = files.read_json(record)
        if rows := version["diff"].get("rows"):
            version["diff"]["rows"] = [row for row in rows if row["id"] not in ids]
        version["warnings"] = [names.sub(GONE, text) for text in version["warnings"]]
        if version != files.read_json(record):
            files.write_json(record, version)
            changed = True
    page = folder / "handoff.html"
    # Of a drop that could not be read nothing else was kept, and what its page shows of the file may be anybody's.
    unread = not any((folder / name).is_file() for name in ("version.json", "quarantine.csv"))
    if page.is_file() and (changed or unread or shows(page.read_text(encoding="utf8"), names, gone)):
        page.unlink()
        changed = True
    return changed


def _redact_quarantine(folder: Path, wanted: Wanted, ids: set[str], names: re.Pattern[str]) -> bool:
    """Rows keep their place in the list, as people decided about them by it."""
    import csv
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from regraft.core.sheets import cell

    items = _quarantined(folder)
    told = [_told(item, wanted, ids, names) for item in items]
    if told == items:
        return False
    table = pq.read_table(folder / "quarantine.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(told, table.schema), sink, compression="zstd")
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    columns = [name for name in table.column_names if name != "raw"]
    writer.writerow(columns)
    writer.writerows([cell(item[name]) for name in columns] for item in told)
    files.write_bytes(folder / "quarantine.csv", lines.getvalue().encode())
    files.write_bytes(folder / "quarantine.parquet", sink.getvalue())
    return True


def _told(item: dict[str, Any], wanted: Wanted, ids: set[str], names: re.Pattern[str]) -> dict[str, Any]:
    """A row in quarantine without what is forgotten of it."""
    if item["id"] in ids or wanted.is_aside(item):
        return {**item, "id": None, "reason": GONE, "raw": json.dumps(GONE)}
    return {**item, "reason": names.sub(GONE, item["reason"])}


def purged(history: History, numbers: Sequence[int], by: int) -> list[Version]:
    """Note in versions that their bytes are gone."""
    return [history.note(version, purged=by) for version in history.versions() if version.number in numbers]
