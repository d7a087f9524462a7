"""A card is verified by making it again from its artifacts and comparing every line that holds a number."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from regraft.core.errors import Problem
from regraft.reports.card import CARD
from regraft.reports.card.render import Line

_NUMBER = re.compile(r"\S*\d\S*")


def numbers(text: str) -> int:
    """How many words of ``text`` hold a digit."""
    return len(_NUMBER.findall(text))


def mismatches(text: str, expected: Sequence[Line]) -> Iterator[Problem]:
    """What the card ``text`` says that its artifacts do not, and the other way round; a problem for each line.

    Lines without a digit may read as they like: people may add to a card and improve its words.
    """
    card_lines = [(row, " ".join(line.split())) for row, line in enumerate(text.splitlines(), start=1) if numbers(line)]
    wanted = [(" ".join(line.text.split()), line.source) for line in expected if numbers(line.text)]
    matcher = difflib.SequenceMatcher(None, [line for _, line in card_lines], [line for line, _ in wanted], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            for mine, theirs in zip_longest(card_lines[a:b], wanted[c:d]):
                yield _problem(mine, theirs)


def _problem(actual: tuple[int, str] | None, wanted: tuple[str, str] | None) -> Problem:
    if wanted is None:
        assert actual is not None
        return Problem(message=f"no artifact says this: {actual[1]}", file=CARD, row=actual[0], value=actual[1], rule="number")
    line, source = wanted
    if actual is None:
        return Problem(message=f"missing, {source} says: {line}", file=CARD, value=None, rule=source)
    row, mine = actual
    apart = _apart(mine, line)
    message = f"it says {apart[0]}, {source} gives {apart[1]}" if apart else f'it says "{mine}", {source} gives "{line}"'
    return Problem(message=message, file=CARD, row=row, value=apart[0] if apart else mine, rule=source)


def _apart(actual: str, wanted: str) -> tuple[str, str] | None:
    """The words in which two lines differ, with the start of the line; None where they are not the same sentence."""
    mine, theirs = actual.split(), wanted.split()
    differ = [(one, other) for one, other in zip(mine, theirs, strict=False) if one != other]
    if len(mine) != len(theirs) or len(differ) > 4:
        return None
    where = " ".join(theirs[:4]).strip("| ")
    return f'{" ".join(one for one, _ in differ)} in "{where} …"', " ".join(other for _, other in differ)
