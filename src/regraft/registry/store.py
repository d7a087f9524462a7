"""What production rests on besides MLflow: journals, ledger, kept answers, last results and leases, from one place.

Whoever reads or writes any of them asks :func:`store_of` for the workspace's store; which kind it is, is known here alone.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.registry.journal import FileJournal
from regraft.registry.lease import LEASE_SECONDS, lease
from regraft.registry.ledger import FileLedger

if TYPE_CHECKING:  # they load pyarrow and what measures serving, which a run with nothing to do has no use for
    from regraft.evaluation.prediction_store import PredictionStore
    from regraft.evaluation.serving_cost import ServingStore


@dataclass(frozen=True)
class FolderStore:
    """A folder on a file system with hard links. Creating it touches nothing."""

    state: Path

    def journal(self, pipeline: str) -> FileJournal:
        """The journal of ``pipeline``, which may have no entry yet."""
        return FileJournal(self.state, pipeline)

    def journals(self) -> list[str]:
        """Names of the pipelines that have a journal, their files gone or not."""
        return sorted(path.name for path in (self.state / "journal").glob("[a-z]*") if path.is_dir())

    @property
    def ledger(self) -> FileLedger:
        """Which questions test rows have answered."""
        return FileLedger(self.state)

    @property
    def predictions(self) -> PredictionStore:
        """Answers of models to test rows."""
        from regraft.evaluation.prediction_store import PredictionStore

        return PredictionStore(self.state / "predictions")

    @property
    def serving(self) -> ServingStore:
        """What serving models takes."""
        from regraft.evaluation.serving_cost import ServingStore

        return ServingStore(self.state / "serving")

    def latest(self, pipeline: str) -> dict[str, Any] | None:
        """The result of the last run that decided: a run with nothing to do reads it instead of MLflow. None before the first."""
        path = self._latest(pipeline)
        return dict(files.read_json(path)) if path.is_file() else None

    def keep_latest(self, pipeline: str, result: dict[str, Any]) -> None:
        """Make ``result`` the one that :meth:`latest` returns."""
        os.makedirs(self._latest(pipeline).parent, exist_ok=True)
        files.write_json(self._latest(pipeline), result)

    def _latest(self, pipeline: str) -> Path:
        return self.state / "latest" / f"{pipeline}.json"

    def lease(self, pipeline: str, seconds: float = LEASE_SECONDS) -> AbstractContextManager[None]:
        """Hold a pipeline's registry alone, or raise :class:`Conflict` after ``seconds``."""
        return lease(self.state, pipeline, seconds)


def store_of(workspace: Workspace) -> FolderStore:
    """The store of ``workspace``."""
    return FolderStore(workspace.state)
