"""What a wrong name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name of ``known`` that ``word`` was probably meant to be, whatever its case and the spaces around it; None: none is near."""
    folded = {name.strip().casefold(): name for name in known}
    near = difflib.get_close_matches(word.strip().casefold(), folded, n=1)
    return folded[near[0]] if near else None


def guess(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """«; did you mean 'y'?», to stand at the end of a sentence about ``word``; ``otherwise`` where nothing is near."""
    near = nearest(word, known)
    return otherwise if near is None else f"; did you mean {near!r}?"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """«no <kind> 'x'; did you mean 'y'? Known: …»."""
    names = sorted(known)
    stem = Path(name).stem  # pipelines/own.yaml is how people name `own`
    probably = guess(stem if stem in names else name, names, otherwise=".")
    return f"no {kind} {name!r}{probably} Known: {', '.join(names) or 'none'}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """«a.b: unknown; did you mean c?» for a key of a file; where nothing is near, which keys are read there."""
    names = list(known)
    near = nearest(key.rpartition(".")[2], names)
    return f"{key}: unknown; " + (f"did you mean {near}?" if near else f"here regraft reads {', '.join(names)}")
