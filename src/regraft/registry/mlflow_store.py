"""How a workspace's MLflow store is reached: its address, its client, its repair, and what it refuses, in words.

Without ``MLFLOW_TRACKING_URI`` everything lies in the workspace: ``state/mlflow.db`` and ``state/mlartifacts``.

MLflow takes 1.2 s to import and its store 0.6 s more, so nothing here does so before a method needs it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.core.uncollected import uncollected
from regraft.core.workspace import Workspace
from regraft.registry import database, mlflow_faults
from regraft.registry.lease import lease

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class MlflowStore:
    """The MLflow store of one workspace. Creating it touches nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._client: MlflowClient | None = None

    @property
    def uri(self) -> str:
        """``MLFLOW_TRACKING_URI``, or the workspace's own database."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.workspace.state / 'mlflow.db'}"

    @property
    def remote(self) -> bool:
        """Whether other machines may write to the same registry."""
        return database.sqlite_path(self.uri) is None

    @property
    def shown(self) -> str:
        """The URI as it may be printed: without user and password."""
        return mlflow_faults.shown(self.uri)

    def prepare(self) -> None:
        """Create or repair the store, and connect; 4 s the first time, 2 s later. Safe to call early, from a thread."""
        with self.store():
            pass

    @contextlib.contextmanager
    def store(self) -> Iterator[MlflowClient]:
        """The client; what the store refuses becomes an ``EnvironmentFault`` that names the store."""
        try:
            if self._client is None:
                self._client = self._connect()
            _point_mlflow_at(self.uri)
            yield self._client
        except mlflow_faults.refusals() as error:
            raise mlflow_faults.explained(error, self.uri) from (
                error if self.shown == self.uri else None
            )  # its text may hold the password

    def _connect(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # a refused query would print its traceback
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # of 7, two minutes for a refused connection; the flow retries
        # Downloads straight from a server's bucket have no limit for an answer (3.17): where S3 is frozen they never end.
        os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
        if path := database.sqlite_path(self.uri):
            with lease(self.workspace.state, "mlflow"):
                database.create(path)
                if path == self.workspace.state / "mlflow.db":
                    database.relocate(path, self.artifacts)
        return MlflowClient(self.uri)

    def relocate(self) -> str:
        """Point the workspace's own database at artifacts that moved along with it; what was done, as a sentence."""
        path = self.workspace.state / "mlflow.db"
        if database.sqlite_path(self.uri) != path or not path.is_file():
            return f"MLflow at {self.shown} is not this workspace's own database; nothing to relocate"
        with lease(self.workspace.state, "mlflow"):
            rows = database.relocate(path, self.artifacts)
        where = f"{self.workspace.relative(path)} looks for artifacts in {self.artifacts}"
        return f"{where}: {rows} paths rewritten" if rows else f"{where}, where they are; nothing to relocate"

    @property
    def artifacts(self) -> Path:
        """Where the workspace's own database keeps artifacts."""
        return self.workspace.state / "mlartifacts"


def _point_mlflow_at(uri: str) -> None:
    """Set the global URI, which the registry's own code reads, and keep it out of the environment.

    MLflow exports it there, and a child that works on another workspace would write to this one's store.
    """
    with uncollected("mlflow"):
        import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before
