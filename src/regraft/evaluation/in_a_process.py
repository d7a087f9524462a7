"""The inside of a measurement that runs in a process of its own: ``MODEL_DIR TEXTS_JSON OUT_JSON``.

A process of its own, because what is measured is what a model does where nothing else was loaded before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import RegraftError


def main(name: str, measure: Callable[[Path, Sequence[str]], Mapping[str, Any]]) -> int:
    """Write what ``measure`` says of the model and texts on the command line; the exit code. ``name``: the module that was started."""
    if len(sys.argv) != 4:
        print(f"usage: python -m {name} MODEL_DIR TEXTS_JSON OUT_JSON", file=sys.stderr)  # noqa: T201
        return 2
    folder, texts, out = map(Path, sys.argv[1:])
    try:
        files.write_json(out, measure(folder, json.loads(texts.read_text(encoding="utf8"))))
    except RegraftError as error:
        print(error)  # noqa: T201  # whoever started this reads it
        return error.exit_code
    return 0
