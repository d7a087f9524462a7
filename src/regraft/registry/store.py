"""What production rests on besides MLflow: journals, ledger, kept answers, last results and leases, from one place.

Whoever reads or writes any of them asks :func:`store_of` for the workspace's store; which kind it is, is known here alone.
``REGRAFT_STORE`` or ``store:`` in ``regraft.yaml`` names it; without either it is the folder ``state/``.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.key_values import KeyValues, Lease
from regraft.core.redacted import redacted
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.registry.journal import Journal, journals
from regraft.registry.lease import LEASE_SECONDS
from regraft.registry.ledger import Ledger
from regraft.registry.stores.folder import Folder

if TYPE_CHECKING:  # they load pyarrow and what measures serving, which a run with nothing to do has no use for
    from regraft.evaluation.prediction_store import PredictionStore
    from regraft.evaluation.serving_cost import ServingStore

VARIABLE = "REGRAFT_STORE"
"""The URL of the store, with user and password where it needs them."""


@dataclass(frozen=True)
class Store:
    """What is kept, on whichever kind of :class:`regraft.core.key_values.KeyValues`. Creating it touches nothing."""

    values: KeyValues

    def journal(self, pipeline: str) -> Journal:
        """The journal of ``pipeline``, which may have no entry yet."""
        return Journal(self.values, pipeline)

    def journals(self) -> list[str]:
        """Names of the pipelines that have a journal, their files gone or not."""
        return journals(self.values)

    @property
    def ledger(self) -> Ledger:
        """Which questions test rows have answered."""
        return Ledger(self.values)

    @property
    def predictions(self) -> PredictionStore:
        """Answers of models to test rows."""
        from regraft.evaluation.prediction_store import PredictionStore

        return PredictionStore(self.values)

    @property
    def serving(self) -> ServingStore:
        """What serving models takes."""
        from regraft.evaluation.serving_cost import ServingStore

        return ServingStore(self.values)

    def latest(self, pipeline: str) -> dict[str, Any] | None:
        """The result of the last run that decided: a run with nothing to do reads it instead of MLflow. None before the first."""
        text = self.values.get(f"latest/{pipeline}.json")
        return dict(json.loads(text)) if text is not None else None

    def nothing_yet(self, pipeline: str, what: str) -> ConfigError:
        """The error of a pipeline without ``what``, such as a champion: why there is none, and what tells more."""
        last = self.latest(pipeline)
        if last is None:
            return ConfigError(f"'{pipeline}' has no {what} yet", fix=f"regraft run {pipeline}")
        if last["outcome"] == "pass":
            return ConfigError(f"'{pipeline}' has no {what}, though its last run passed", fix=f"regraft status {pipeline}")
        message = f"'{pipeline}' has no {what}: its last run ended {last['outcome'].upper()}"
        return ConfigError(message, fix=f"regraft explain {pipeline}")

    def keep_latest(self, pipeline: str, result: dict[str, Any]) -> None:
        """Make ``result`` the one that :meth:`latest` returns."""
        self.values.put(f"latest/{pipeline}.json", files.json_bytes(result))

    def lease(self, pipeline: str, seconds: float = LEASE_SECONDS) -> AbstractContextManager[Lease]:
        """Hold a pipeline's registry alone, or raise :class:`Conflict` after ``seconds``."""
        return self.values.lease(pipeline, seconds)


def store_of(workspace: Workspace) -> Store:
    """The store of ``workspace``."""
    url = os.environ.get(VARIABLE) or _named_in(workspace)
    return Store(values_at(url, workspace)) if url else Store(Folder(workspace.state))


def _named_in(workspace: Workspace) -> str | None:
    if not (path := workspace.root / "regraft.yaml").is_file():
        return None
    stat = path.stat()
    return _read(workspace, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=8)
def _read(workspace: Workspace, _stamp: tuple[int, int]) -> str | None:
    from regraft.config.workspace_file import load_workspace

    return load_workspace(workspace).store


def values_at(url: str, workspace: Workspace) -> KeyValues:
    """The store at ``url``; a relative file of SQLite lies in the workspace. ConfigError where it is none."""
    return _connected(url, workspace.root, os.getpid())


@lru_cache(maxsize=8)
def _connected(url: str, root: Path, _process: int) -> KeyValues:
    """One a process: connections do not survive a fork."""
    from regraft.registry.stores import STORES

    scheme, fix = urlsplit(url).scheme.partition("+")[0], f"correct `store:` in regraft.yaml, or {VARIABLE}"
    if scheme not in STORES:
        raise ConfigError(f"{redacted(url)} is no store: {unknown('kind of store', scheme, STORES)}", fix=fix)
    try:
        return STORES[scheme](url, root, root / ".regraft" / "store" / files.sha256_text(url)[:12])
    except ValueError as error:
        raise ConfigError(f"{redacted(url)} is no store: {error}", fix=fix) from None
