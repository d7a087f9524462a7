"""Values that are spelled in several ways and mean one thing: the names of splits, and labels."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from regraft.data.made_ids import identified
from regraft.data.options import TaskOptions
from regraft.data.rows import Row, without_ignorable

SPLIT_NAMES: Mapping[str, str] = {"val": "dev", "valid": "dev", "validation": "dev", "training": "train", "testing": "test"}
"""What data sets call their splits besides train, dev and test."""


def canonical(label: str) -> str:
    """One spelling of a label: composed (NFC), without case and what nobody sees, single blanks between words and none around them."""
    return unicodedata.normalize("NFC", " ".join(without_ignorable(unicodedata.normalize("NFC", label)).casefold().split()))


def variants(labels: Mapping[str, int]) -> dict[str, list[str]]:
    """canonical label -> its spellings, the commonest first, where there is more than one; ``labels`` says how often each stands."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, _ in sorted(labels.items(), key=lambda item: (-item[1], item[0])):
        spellings[canonical(label)].append(label)
    return {label: several for label, several in spellings.items() if len(several) > 1}


def spelled(rows: Iterable[Row], task: TaskOptions, split: str | None) -> Iterator[Row]:
    """``rows`` with splits called train, dev and test, with canonical labels where the task asks for these, and each with an id.

    :param split: the column that says which; None where there is none.
    """
    for row in identified(rows, task):
        if split is not None and (name := row.values.get(split)) is not None:
            row.values[split] = _split(name)
        if task.normalise_labels and (label := row.values.get(task.label)) is not None:
            row.values[task.label] = canonical(label)
        yield row


def _split(name: str) -> str:
    bare = name.strip().casefold()
    return SPLIT_NAMES.get(bare, bare if bare in ("train", "dev", "test") else name)


def json_labels(labels: Collection[str]) -> list[str]:
    """The labels that are lists or objects of JSON or Python: several answers in one cell, as annotation tools and pandas export them."""
    return sorted(label for label in labels if label.lstrip()[:1] in ("[", "{", "(") and _is_literal(label))


def _is_literal(label: str) -> bool:
    for read in (json.loads, ast.literal_eval):
        try:
            return isinstance(read(label.strip()), list | dict | tuple | set)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return False


def joined_labels(labels: Collection[str]) -> list[str]:
    """Labels that are others with a sign between them: "billing|refund" beside "billing" and "refund"."""
    known = {canonical(label) for label in labels}
    parts = {label: [canonical(part) for part in re.split(r"[|;,/+&]", label)] for label in labels}
    return sorted(label for label, several in parts.items() if len(several) > 1 and known.issuperset(several))


def told_apart(labels: Sequence[str]) -> list[str]:
    """``labels`` in quotes, as code points where two would look the same."""
    shown = [unicodedata.normalize("NFC", label) for label in labels]
    return [ascii(label) if shown.count(look) > 1 else repr(label) for label, look in zip(labels, shown, strict=True)]
