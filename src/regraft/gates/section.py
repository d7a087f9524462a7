"""What a gate shows of itself on the page about a run, as data: the page knows how a table looks, and nothing of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison

Tone = Literal["", "ok", "no", "muted"]
"""How words are coloured: as text, good, bad, or beside the point."""


@dataclass(frozen=True)
class Results:
    """What a section may be made of."""

    measurements: Mapping[str, Any]
    """The content of ``measurements.json``."""
    metrics: Mapping[str, Mapping[str, Any]]
    """Step -> what it measured."""
    comparison: Comparison | None
    """None: the models' answers could not be compared."""
    texts: Mapping[str, str]
    """Test row -> its text; empty where the run kept none."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table, where it is more than its words."""

    text: str
    tone: Tone = ""
    bar: float | None = None
    """A share of the whole, drawn as a bar in place of the text; None: the text is shown."""
    span: tuple[float, float, float] | None = None
    """A share and its interval as (low, value, high), drawn in place of the text; None: the text is shown."""


@dataclass(frozen=True)
class SectionTable:
    """A table of a section."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: str = ""
    words: int = 1
    """Columns up to this one hold words; the others numbers, which stand to the right."""
    optional: tuple[int, ...] = ()
    """Columns, from 0, that a phone leaves out."""
    roomy: tuple[int, ...] = ()
    """Columns, from 0, that a tablet leaves out as well."""
    folded: str = ""
    """Words that the table is folded under; empty: it lies open."""

    def drawn(self, column: int) -> bool:
        """Whether ``column`` holds bars or intervals that are drawn."""
        return any(row[column].bar is not None or row[column].span is not None for row in self.rows)


@dataclass(frozen=True)
class Remark:
    """What is said of an example: ``word`` stands out of the words around it."""

    before: str
    word: str
    tone: Tone = ""
    after: str = ""


@dataclass(frozen=True)
class Example:
    """A row, and what is said of it."""

    id: str
    text: str | None
    """None: it has none, or the run kept none."""
    remarks: tuple[Remark, ...]


@dataclass(frozen=True)
class IntervalPlot:
    """A plot of shares with their intervals by a share."""

    caption: str
    across: str
    up: str
    points: tuple[tuple[float, float, float, float], ...]
    """Where across, and (low, value, high) up."""
    mark: tuple[float, str] | None = None
    """Where across a line stands, and its name; None: there is none."""


@dataclass(frozen=True)
class Section:
    """A part of the page about a run. Every word is plain text."""

    title: str
    short: str
    """What the page's contents call it."""
    note: str = ""
    """How to read what is shown."""
    summary: tuple[str, ...] = ()
    """What was measured, in sentences."""
    plot: IntervalPlot | None = None
    tables: tuple[SectionTable, ...] = ()
    end: str = ""
    """What is said below the tables."""
    examples: tuple[Example, ...] = ()
    """Rows to look at, under :attr:`examples_title`; the first four are open, the others folded."""
    examples_title: str = ""
