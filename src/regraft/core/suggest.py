"""What a wrong name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """«no <kind> 'x'; did you mean 'y'? Known: …»."""
    names = sorted(known)
    stem = Path(name).stem  # pipelines/own.yaml is how people name `own`
    near = [stem] if stem in names else difflib.get_close_matches(name, names, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    return f"no {kind} {name!r}{guess} Known: {', '.join(names) or 'none'}"
