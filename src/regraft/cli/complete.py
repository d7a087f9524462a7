"""What the shell may offer after a verb: names that lie in the workspace as files. Imports nothing heavy.

``regraft --install-completion`` sets it up. Outside a workspace, and where anything goes wrong, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Iterator

from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace


def pipelines(incomplete: str) -> list[str]:
    """Names of pipeline files."""
    return sorted(name for name in _pipelines() if name.startswith(incomplete))


def runs(incomplete: str) -> list[str]:
    """Pipelines, and the runs whose log is still there, newest first."""
    return [*pipelines(incomplete), *sorted((name for name in _runs() if name.startswith(incomplete)), reverse=True)]


def _pipelines() -> tuple[str, ...]:
    try:
        return Workspace.find().pipelines
    except (RegraftError, OSError):  # a traceback in the middle of a command line helps nobody
        return ()


def _runs() -> Iterator[str]:
    try:
        logs = list((Workspace.find().scratch / "logs").glob("*.log"))
    except (RegraftError, OSError):
        return
    yield from (path.stem for path in logs if path.stem.partition("-")[0] in _pipelines())
