"""Which column of a table is the text, which the label, which the id: guessed from names and values, said, and never acted on unsaid.

A name that people give such a column counts first, then what its values are like. Where two columns are as likely, nothing is guessed:
:func:`guess` raises, and names what may be meant.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from regraft.core.errors import ConfigError
from regraft.core.quantities import counted, first_of
from regraft.core.suggest import guess as near
from regraft.data.headers import FALSE, TRUE, of_one_hot
from regraft.data.rows import Row
from regraft.data.spelling import SPLIT_NAMES

TEXTS = ("text", "body", "message", "sentence", "content", "review", "comment", "document", "description", "question", "utterance")
LABELS = ("label", "class", "category", "target", "intent", "topic", "sentiment", "team", "tag", "queue", "department", "label_text", "y")
IDS = ("id", "uuid", "guid", "key")
SPLITS = ("split", "set", "subset", "partition", "fold")
MANY_VALUES = 1_000
"""Different values after which a column is no longer thought of as a label."""
A_CLASS_EACH = 4
"""A label has at most one class for so many rows."""
LABEL_CHARS, TEXT_CHARS = 60, 12
"""Characters of a label at most, of a text at least, on average."""
CLEARLY = 2
"""A text is longer than every other column by this factor."""


@dataclass
class Column:
    """What the values of one column are like."""

    name: str
    filled: int = 0
    chars: int = 0
    numbers: int = 0
    """Values that are numbers with a fraction, or dates."""
    values: Counter[str] = field(default_factory=Counter)
    """Value -> rows; no longer counted above :data:`MANY_VALUES`."""
    hashed: set[int] = field(default_factory=set)
    """Of all values, to tell whether they repeat."""

    def add(self, text: str) -> None:
        self.filled += 1
        self.chars += len(text)
        self.hashed.add(hash(text))
        self.numbers += any(sign.isdigit() for sign in text) and not text.isdigit() and not any(sign.isalpha() for sign in text)
        if len(self.values) <= MANY_VALUES:
            self.values[text] += 1

    @property
    def length(self) -> float:
        """Characters of a value, on average."""
        return self.chars / max(1, self.filled)

    @property
    def has_classes(self) -> bool:
        """Whether its values may be the classes of a task."""
        few = 2 <= len(self.values) <= min(MANY_VALUES, max(A_CLASS_EACH, self.filled // A_CLASS_EACH))
        return few and self.length <= LABEL_CHARS and 2 * self.numbers < self.filled

    @property
    def is_text(self) -> bool:
        return self.length >= TEXT_CHARS and 2 * len(self.hashed) > self.filled and 2 * self.numbers < self.filled


@dataclass(frozen=True)
class Table:
    """Labelled rows at a glance."""

    rows: int
    columns: Mapping[str, Column]
    torn: int = 0
    """Rows among them whose fields cannot be told apart; they give no values."""
    first_torn: str = ""
    """Where the first of them stands, and what is wrong with it."""
    file: str = "rows.csv"
    """The first file they are from, as it is shown."""

    @property
    def whole(self) -> int:
        """Rows whose fields can be told apart."""
        return self.rows - self.torn

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Table:
        """What ``rows`` hold."""
        columns: dict[str, Column] = {}
        total = torn = 0
        first_torn, file = "", cls.file
        for row in rows:
            file = file if total else row.file
            total += 1
            if not row.whole:
                torn += 1
                first_torn = first_torn or f"{row.file}:{row.number}: {row.faults[0].reason}"
            for name, text in row.values.items():
                column = columns.setdefault(name, Column(name))
                if text is not None:
                    column.add(text)
        return cls(total, columns, torn, first_torn, file)


@dataclass(frozen=True)
class Guess:
    """What each column of the table is for."""

    text: str
    label: str
    id: str | None
    split: str | None
    id_why: str
    """Why the id is that column, or why there is none."""


def guess(table: Table, text: str | None = None, label: str | None = None, row_id: str | None = None) -> Guess:
    """The columns of a task; those given are taken as they are. ConfigError where one is not there or cannot be told."""
    for name in (text, label, row_id):
        if name is not None and name not in table.columns:
            known = list(table.columns)
            message = f"there is no column {name!r}{near(name, known, otherwise='.')} Columns: {', '.join(known)}"
            raise ConfigError(message, fix="name a column that is there: --text, --label, --id")
    taken = {name for name in (text, label, row_id) if name is not None}
    if text is None and label is None:
        _require_header(table)
        _require_one_label(table)
    if text is None:
        text = _text([column for name, column in table.columns.items() if name not in taken])
        taken.add(text)
    split = next((name for name, column in _named(table, SPLITS) if name not in taken and _says_splits(column)), None)
    others = {name: column for name, column in table.columns.items() if name not in taken and name != split}
    if row_id is None:
        row_id, why = _id(table, {name: column for name, column in others.items() if name != label})
    elif len(table.columns[row_id].hashed) < table.whole:
        raise ConfigError(f"the column {row_id!r} has no value of its own in every row", fix="leave --id out: ids are made of the texts")
    else:
        why = "as you said"
    if label is None:
        label = _label([column for name, column in others.items() if name != row_id])
    if text == label:
        raise ConfigError(f"text and label are both the column {text!r}", fix="name two columns: --text, --label")
    return Guess(text, label, row_id, split, why)


def _require_header(table: Table) -> None:
    """Refuse a table whose first line is a row: one name is a value of its own column, and another one is a sentence."""
    label = next((column for name, column in table.columns.items() if column.has_classes and name in column.values), None)
    text = next((name for name, column in table.columns.items() if column.is_text and name.count(" ") >= 2), None)
    if label is not None and text is not None:
        rows = counted(label.values[label.name], "other row")
        message = f"the first line is no header but a row: {label.name!r} is also the value of {rows}, and {text!r} is a text"
        raise ConfigError(message, fix=f"write a line that names the columns, such as text,label, above it in {shlex.quote(table.file)}")


def _require_one_label(table: Table) -> None:
    """Refuse labels in a column each, of 0 and 1, where there is no column of classes besides."""
    truths = {
        name: column.values
        for name, column in table.columns.items()
        if column.values and {value.casefold() for value in column.values} <= TRUE | FALSE
    }
    others = [column for name, column in table.columns.items() if name not in truths and column.has_classes]
    if len(truths) < 2 or any(column.name.strip().casefold() in LABELS for column in others):
        return
    ones = sum(count for values in truths.values() for value, count in values.items() if value.casefold() in TRUE)
    named = first_of([repr(name) for name in truths], 4)
    if ones == table.whole and len(truths) > 2:
        message = f"no column says the label: {named} are columns of 0 and 1, and one of them is 1 in each row"
        raise ConfigError(message, fix=of_one_hot(list(truths), table.file, "label", {".csv": ",", ".tsv": "\t"}.get(table.file[-4:])))
    if ones > table.whole and not others:
        message = f"no column says the label: {named} are columns of 0 and 1, and rows have several; a model here gives a text one answer"
        raise ConfigError(message, fix=f"the same command with --label {shlex.quote(next(iter(truths)))}, which learns that one alone")


def _named(table: Table, names: Sequence[str]) -> list[tuple[str, Column]]:
    """Columns that are called so, in the order of ``names``."""
    return [(name, column) for wanted in names for name, column in table.columns.items() if name.strip().casefold() == wanted]


def _text(columns: Sequence[Column]) -> str:
    likely = sorted((column for column in columns if column.is_text), key=lambda column: -column.length)
    for wanted in TEXTS:
        if named := [column.name for column in likely if column.name.strip().casefold() == wanted]:
            return named[0]
    if likely and (len(likely) == 1 or likely[0].length >= CLEARLY * likely[1].length):
        return likely[0].name
    raise _unclear("text", "a column of texts that differ from row to row", likely or sorted(columns, key=lambda column: -column.length))


def _label(columns: Sequence[Column]) -> str:
    likely = [column for column in columns if column.has_classes]
    for wanted in LABELS:
        if named := [column.name for column in likely if column.name.strip().casefold() == wanted]:
            return named[0]
    if len(likely) == 1:
        return likely[0].name
    raise _unclear("label", f"a column of few values, one for {A_CLASS_EACH} rows or more", likely or columns)


def _id(table: Table, columns: Mapping[str, Column]) -> tuple[str | None, str]:
    named = [name for name, _ in _named(table, IDS) if name in columns]
    ending = [name for name in columns if name.casefold().endswith("_id") or name.endswith("Id")]
    for name in dict.fromkeys((*named, *ending)):
        if len(columns[name].hashed) == table.whole:
            return name, "its values are all there and all different"
    why = f"the column {named[0]!r} has no value of its own in every row" if named else "no column is called so"
    return None, f"{why}; ids are made of the texts"


def _says_splits(column: Column) -> bool:
    return {"train", "test"} <= set(_splits(column)) <= {"train", "dev", "test"}


def _splits(column: Column) -> dict[str, str]:
    """The split that each value of ``column`` means, or its value -> the value."""
    return {SPLIT_NAMES.get(value.strip().casefold(), value.strip().casefold()): value for value in column.values}


def useless_split(table: Table, taken: Iterable[str | None]) -> tuple[str, str] | None:
    """(column, value) of one that is called as a split and says train or test, but something else too, which no split is; None: no such."""
    for name, column in _named(table, SPLITS):
        others = [value for split, value in _splits(column).items() if split not in ("train", "dev", "test")]
        if name not in taken and others and len(others) < len(column.values) <= MANY_VALUES:
            return name, others[0]
    return None


def _unclear(what: str, wanted: str, columns: Sequence[Column]) -> ConfigError:
    described = [f"{c.name} ({counted(len(c.hashed), 'value')}, {c.length:.0f} characters on average)" for c in columns]
    message = f"which column is the {what}? {wanted} is looked for; there is {first_of(described, 8) or 'no column left'}"
    example = columns[0].name if columns else "COLUMN"
    return ConfigError(message, fix=f"the same command with --{what} {example}")
