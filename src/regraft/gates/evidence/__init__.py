"""The files that single gates ask for, each kept with a decision on them and read from there.

Every module has ``keep(artifacts, evidence, gates, ...)``, which copies what ``gates`` need from the outputs of a pipeline's
steps and returns what decision.json says of it (nothing where no gate asks), and ``read``, which finds the same again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import EnvironmentFault


def unchanged(path: Path, sha: str) -> Path:
    """``path``, if it is the file with this sha256; EnvironmentFault where it is missing or another."""
    if not path.is_file() or files.sha256_file(path) != sha:
        fault = "changed" if path.is_file() else "missing"
        raise EnvironmentFault(f"{path} is {fault} since the decision was taken on it")
    return path


def decision_in(evidence: Path) -> dict[str, Any]:
    """The content of ``decision.json``; EnvironmentFault where none was written to this folder."""
    path = evidence / "decision.json"
    if not path.is_file():
        raise EnvironmentFault(f"{path} is not there: no decision was written to {evidence}")
    return dict(files.read_json(path))
