"""The files a decision was taken on: what decision.json vouches for, by sha256."""

from __future__ import annotations

from pathlib import Path

from regraft import files
from regraft.errors import EnvironmentFault


def unchanged(path: Path, sha: str) -> Path:
    """``path``, if it is the file with this sha256; EnvironmentFault where it is missing or another."""
    if not path.is_file() or files.sha256_file(path) != sha:
        raise EnvironmentFault(f"{path} is {'changed' if path.is_file() else 'missing'} since the decision was taken on it")
    return path
