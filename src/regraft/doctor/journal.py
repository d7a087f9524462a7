"""Is the journal what was written, and do MLflow's champions follow it?

MLflow's own client takes 1-3 s to import and may migrate a database when it opens it. The alias is one row, or one
REST call, and reading changes nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

from regraft.doctor.check import Check
from regraft.doctor.stores import TIMEOUT
from regraft.registry.store import FileJournal, champion_of
from regraft.workspace import Workspace


class _Unknown(Exception):
    """The registry cannot be asked from here; the message says why."""


def registry(workspace: Workspace) -> Iterator[Check]:
    """Every journal's chain, and the alias ``champion`` against its head."""
    folders = sorted(path for path in (workspace.state / "journal").glob("[a-z]*") if path.is_dir())
    if not folders:
        yield Check("registry", "ok", "no model has been registered yet")
    for folder in folders:
        yield _pipeline(workspace, folder.name)


def _pipeline(workspace: Workspace, pipeline: str) -> Check:
    name, journal = f"registry {pipeline}", FileJournal(workspace.state, pipeline)
    if problems := journal.verify():
        said = "; ".join(str(problem["message"]) for problem in problems)
        fix = f"restore {workspace.relative(journal.folder)} from a backup"
        return Check(name, "bad", f"the journal is not what was written: {said}", fix)
    entries = journal.entries()
    champion = champion_of(entries)
    whole, written = f"the chain of {len(entries)} entries is whole", champion["version"] if champion else None
    try:
        alias = _champion(workspace, pipeline)
    except _Unknown as reason:
        return Check(name, "warn", f"{whole}; its champion was not compared with MLflow: {reason}")
    if alias == written:
        return Check(name, "ok", f"{whole}, " + (f"and version {alias} is champion" if alias else "and there is no champion"))
    message = f"{whole}, but it says that {_said(written)}, and MLflow that {_said(alias)}"
    return Check(name, "bad", message, f"regraft run {pipeline}")


def _said(version: str | None) -> str:
    return f"version {version} is champion" if version else "there is no champion"


def _champion(workspace: Workspace, pipeline: str) -> str | None:
    """The version that MLflow's alias points to."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.state / 'mlflow.db'}"
    if uri.startswith(("http://", "https://")):
        return _from_server(uri, pipeline)
    if uri.startswith("sqlite:///"):
        return _from_file(Path(uri.removeprefix("sqlite:///")), pipeline)
    raise _Unknown(f"its registry is a {uri.partition(':')[0]} database")


def _from_server(uri: str, pipeline: str) -> str | None:
    query = urlencode({"name": pipeline, "alias": "champion"})
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{query}", timeout=TIMEOUT) as answer:
            return str(json.load(answer)["model_version"]["version"])
    except urllib.error.HTTPError as error:
        if error.code in (400, 404):  # MLflow says INVALID_PARAMETER_VALUE for an alias that is not set
            return None
        raise _Unknown(f"HTTP {error.code}") from None
    except (OSError, ValueError, KeyError) as error:
        raise _Unknown(str(error)) from None


def _from_file(path: Path, pipeline: str) -> str | None:
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=TIMEOUT)) as database:
            found = database.execute(
                "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'", (pipeline,)
            ).fetchone()
    except sqlite3.Error as error:
        raise _Unknown(str(error)) from None
    return str(found[0]) if found else None
