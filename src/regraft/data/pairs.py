"""Two texts as one: how a row of a task with ``task.text_pair`` stands wherever texts are kept, compared and shown.

``contract`` writes both columns as one text with :data:`MARK` between, and quarantines rows that hold the mark already; whatever asks for a
model's answer hands it that text, and the model takes it apart again (:mod:`regraft.models.served`). So evidence, pages and
sheets show a pair as a person would write it, and only what compares or encodes texts has to know that there are two.
"""

from __future__ import annotations

MARK = "\u241e"
"""SYMBOL FOR RECORD SEPARATOR: a character that everybody sees and nobody types."""


def join(first: str, second: str) -> str:
    """One text of two. White space round either is no part of it."""
    return f"{first.strip()} {MARK} {second.strip()}"


def apart(text: str) -> tuple[str, ...]:
    """The two texts of a pair; of any other text that text alone."""
    first, mark, second = text.partition(MARK)
    return (first.strip(), second.strip()) if mark and MARK not in second else (text,)
