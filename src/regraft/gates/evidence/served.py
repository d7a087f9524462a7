"""What a decision has to know of a model as it will be served, as JSON: how it was calibrated, what serving it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regraft.core import files


def load(path: Path) -> dict[str, Any]:
    """The content of the file."""
    return dict(files.read_json(path))
