"""A first contract, drafted from rows that somebody trusts: every rule is kept by all of them, and says what it was read from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import yaml

from regraft.core.quantities import counted
from regraft.data.languages import languages
from regraft.data.options import TaskOptions
from regraft.data.rows import Row

MOST_VALUES = 50
"""Different values up to which a column is thought to be a choice among them."""
REPEATS = 5
"""So often each value has to stand on average."""
PLAIN = re.compile(r"[A-Za-z_][\w-]*")
SOURCE = re.compile(r"source|origin|channel|provider|site|annotator|author", re.IGNORECASE)
LICENCE = re.compile(r"licen[cs]e", re.IGNORECASE)
"""How columns are called that say where a row is from, and under which terms."""
FRESH_DAYS = 30
"""A column of dates is thought to be fresh for twice its age now, and at least for so long."""
SPOKEN = 2_000
"""Texts whose language is looked at, the first."""
COMMON = 0.02
"""A language that a smaller share of them is in is thought to be a stray."""
NO_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


@dataclass
class Seen:
    """What the values of one column are like."""

    filled: int = 0
    shortest: int = 10**9
    longest: int = 0
    values: Counter[str] = field(default_factory=Counter)
    """Value -> rows, until there are too many."""
    several: bool = False
    """A value stands twice."""
    hashes: set[int] = field(default_factory=set)
    first: list[str] = field(default_factory=list)
    """The first :data:`SPOKEN` values."""
    newest: date | None = None
    """Where every value so far begins as a date does."""
    dates: bool = True

    def add(self, text: str) -> None:
        self.filled += 1
        self.shortest, self.longest = min(self.shortest, len(text)), max(self.longest, len(text))
        self.several |= (number := hash(text)) in self.hashes
        self.hashes.add(number)
        if len(self.first) < SPOKEN:
            self.first.append(text)
        if len(self.values) <= MOST_VALUES:
            self.values[text] += 1
        if self.dates:
            try:
                self.newest = max(self.newest or date.min, date.fromisoformat(text[:10]))
            except ValueError:
                self.dates, self.newest = False, None

    @property
    def is_choice(self) -> bool:
        """Whether the column has few values."""
        return 1 < len(self.values) <= MOST_VALUES and self.filled >= REPEATS * len(self.values)


def draft(rows: Iterable[Row], task: TaskOptions, name: str, source: str, today: date | None = None) -> str:
    """The text of a contract that ``rows`` keep; ``source`` is where they were read from, ``today`` what freshness is counted from."""
    columns: dict[str, Seen] = {}
    read = unread = 0
    for row in rows:
        read += 1
        unread += not row.whole
        for column, text in row.values.items():
            seen = columns.setdefault(column, Seen())
            if text is not None:
                seen.add(text)
    lines = [
        f"# A draft, read from {counted(read, 'row')} of {source}" + (f", {unread:,} of which could not be read" if unread else "") + ".",
        "# Every rule is kept by these rows. Go through it: take out what is chance, tighten what is not, write down what labels mean.",
        f"# Then try it: regraft contract test pipelines/{name}.contract.yaml",
        "apiVersion: v3.2.0",
        "kind: DataContract",
        f"id: {name}",
        "version: 0.1.0",
        "status: draft",
        "schema:",
        "- name: rows",
        "  quality:",
        "  # A drop of which more than a tenth is set aside is refused whole.",
        "  - {type: custom, engine: regraft, severity: block, implementation: {rule: quarantined, at_most: 0.1}}",
        "  # A label whose share changes by more than 10 points is worth a word.",
        "  - {type: custom, engine: regraft, severity: warn, implementation: {rule: label_shares, at_most: 0.1}}",
        "  # Data that lose a tenth of their rows at once, or grow by half, are worth a word.",
        "  - {type: custom, engine: regraft, severity: warn, implementation: {rule: volume, at_least: 0.9, at_most: 1.5}}",
    ]
    for column in sorted(set(columns) - {task.id_column, *task.texts, task.label}):
        lines += _about_drops(column, columns[column], read - unread, today or datetime.now(UTC).date())
    lines.append("  properties:")
    for column in [task.id_column, *task.texts, task.label, *sorted(set(columns) - {task.id_column, *task.texts, task.label})]:
        if column in columns:
            lines += _column(column, columns[column], read - unread, task)
    return "\n".join(lines) + "\n"


def _about_drops(name: str, seen: Seen, rows: int, today: date) -> list[str]:
    """Rules about a drop as a whole that a column gives rise to."""
    if seen.filled < rows or not rows:
        return []
    rule = "  - {type: custom, engine: regraft, severity: warn, implementation: "
    if seen.newest is not None and seen.newest <= today:
        age = (today - seen.newest).days
        return [
            f"  # The newest date is {seen.newest}, {counted(age, 'day')} ago.",
            f"{rule}{{rule: freshness, column: {_scalar(name)}, at_most: {max(FRESH_DAYS, 2 * age)}}}}}",
        ]
    if SOURCE.search(name) and seen.is_choice:
        value, count = seen.values.most_common(1)[0]
        most = min(1.0, math.ceil(20 * (count / rows + 0.1)) / 20)
        if most < 1:
            return [
                f"  # {100 * count / rows:.0f} % have {_scalar(value)}; a drop that is nearly all from one place teaches that place.",
                f"{rule}{{rule: source_share, column: {_scalar(name)}, at_most: {most:g}}}}}",
            ]
    return []


def _column(name: str, seen: Seen, rows: int, task: TaskOptions) -> list[str]:
    missing = rows - seen.filled
    lines = [f"  - name: {_scalar(name)}"]
    if missing:
        lines.append(f"    # required: true   # {missing:,} of {counted(rows, 'row')} have no value here")
    else:
        lines.append("    required: true")
    if name == task.id_column:
        lines.append("    unique: true" if not seen.several else "    # unique: true   # a value stands twice, so rows would be set aside")
    if name in task.texts and seen.filled:
        lines += [
            "    logicalTypeOptions:",
            f"      minLength: {seen.shortest}   # the shortest; in characters",
            f"      maxLength: {seen.longest}   # the longest; a longer one is set aside, not cut",
            *_spoken(seen.first),
        ]
    if name == task.label and seen.values and len(seen.values) <= MOST_VALUES:
        lines.append("    enum:   # any other label is set aside")
        lines += [f"    - value: {_scalar(value)}   # {counted(count, 'row')}" for value, count in seen.values.most_common()]
    elif name not in (task.id_column, *task.texts) and LICENCE.search(name) and seen.values and len(seen.values) <= MOST_VALUES:
        lines.append("    enum:   # any other is set aside until somebody has read its terms")
        lines += [f"    - value: {_scalar(value)}   # {counted(count, 'row')}" for value, count in seen.values.most_common()]
    elif name not in (task.id_column, *task.texts, task.label) and seen.is_choice:
        shown = ", ".join(f"{{value: {_scalar(value)}}}" for value, _ in seen.values.most_common())
        lines.append(f"    # enum: [{shown}]   # the values that stand there now")
    return lines


def _spoken(texts: list[str]) -> list[str]:
    """A rule about the languages that ``texts`` are in; none where half of them are too short to tell."""
    clear = Counter(code for code in languages(texts) if code is not None)
    if 2 * clear.total() < len(texts):
        return []
    common = sorted(code for code, count in clear.items() if count >= COMMON * clear.total())
    strays = clear.total() - sum(clear[code] for code in common)
    told = f"{clear.total() - strays:,} of {'the first ' if len(texts) == SPOKEN else ''}{counted(len(texts), 'text')}"
    rule = f"{{rule: language, any_of: [{', '.join(map(_scalar, common))}]}}"
    return [
        "    quality:",
        f"    # {told} are clearly in {', '.join(common)}" + (f", {strays:,} in others." if strays else "."),
        "    # One that is clearly in another is said; with `severity: quarantine` it is set aside.",
        f"    - {{type: custom, engine: regraft, severity: warn, implementation: {rule}}}",
    ]


def _scalar(text: str) -> str:
    """``text`` as YAML reads it as a string again."""
    if PLAIN.fullmatch(text) and text.lower() not in NO_WORDS:
        return text
    return yaml.safe_dump(text, default_style='"', width=math.inf, allow_unicode=True).rstrip("\n")
