"""Ids for rows that come without: made of what a row reads, so a row keeps its split when the file grows or is sorted anew.

Two rows with the same text would have the same id, so the second is told apart by its number among them, in the order of reading. Of
such rows one is trained or tested on (:mod:`regraft.data.splitting`); which of them it is may then depend on that order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from regraft.core.progress import warn_once
from regraft.core.quantities import counted
from regraft.data.options import MADE_ID, TaskOptions
from regraft.data.rows import Row


def identified(rows: Iterable[Row], task: TaskOptions) -> Iterator[Row]:
    """``rows`` with an id in the column :data:`MADE_ID` where the task names no column of ids; a row without its texts gets none.

    Keeps 8 bytes of each text, as a number in a set: 70 MB for a million rows.
    """
    if task.id is not None:
        yield from rows
        return
    seen, repeated = set[int](), Counter[int]()
    for row in rows:
        texts = [text for column in task.texts if (text := row.values.get(column)) is not None]
        if len(texts) == len(task.texts):
            number = int.from_bytes(hashlib.blake2b("\x1f".join(texts).encode(), digest_size=8).digest())
            repeated[number] += number in seen
            seen.add(number)
            row.values[MADE_ID] = f"{number:016x}" + (f"-{repeated[number] + 1}" if repeated[number] else "")
        yield row
    if total := repeated.total():
        what, verb = counted(total, "row"), "repeats" if total == 1 else "repeat"
        warn_once(f"{what} {verb} the text of an earlier one; ids are made of the texts, and those of repeats end with -2, -3 and so on")


def of_text(key: str) -> str:
    """The part of a made id that all rows with the same text share."""
    return key.partition("-")[0]
