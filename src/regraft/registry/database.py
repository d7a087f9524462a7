"""The workspace's own MLflow database: made whole, corrected after a move, read without importing MLflow.

MLflow creates its tables by 69 migrations, each synced to disk: 4.2 s, and a process killed in between leaves a
database that no later one opens. Here they run into a temporary file without syncing (1.3 s of CPU), which is
then synced once and renamed into place; the next workspace copies it (:mod:`regraft.core.empty_database`).

MLflow stores artifact locations as absolute paths; after the workspace was moved or copied they are rewritten. All that
regraft knows of MLflow's insides stands here; tests/integration/private_formats_test.py holds it against the MLflow that is installed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regraft.core import empty_database, files

TRIED = "3.17"
"""The MLflow that these tables and names were seen in."""
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Every column that holds an absolute artifact path."""


def sqlite_path(uri: str) -> Path | None:
    """The file behind ``sqlite:///...``, or None for another kind of store."""
    name = uri.removeprefix("sqlite:///")
    return Path(name).absolute() if uri.startswith("sqlite:///") and name not in ("", ":memory:") else None


def create(path: Path) -> None:
    """Make an empty MLflow database at ``path``, unless one is there. Call it holding a lock.

    WAL mode stays in the file: one sync a commit instead of three, and readers never wait for a writer.
    """
    name = empty_database.named("mlflow", "store/db_migrations/versions")
    if path.exists() or empty_database.copy(name, path):
        return
    from mlflow.store.db import utils
    from sqlalchemy import event

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{draft}")  # type: ignore[no-untyped-call]
        event.listen(engine, "connect", _without_syncing)
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
        engine.dispose()
        with _connected(draft) as database:
            database.execute("PRAGMA journal_mode=WAL")
        with draft.open("rb+") as handle:
            os.fsync(handle.fileno())
        empty_database.keep(name, draft, filled={"alembic_version", "workspaces"})
        os.replace(draft, path)
    files.sync_folder(path.parent)


def _without_syncing(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")


def moved_from(path: Path, artifacts: Path) -> str | None:
    """The ``file://`` folder that the database looks for artifacts in; None where that is ``artifacts``."""
    with _connected(path) as database:
        row = database.execute("SELECT artifact_location FROM experiments WHERE name LIKE 'regraft/%' LIMIT 1").fetchone()
    before, folder, _ = row[0].rpartition(f"/{artifacts.name}/") if row else ("", "", "")
    old = before + folder.rstrip("/")
    return old if folder and old.startswith("file://") and old != artifacts.as_uri() else None


def relocate(path: Path, artifacts: Path) -> int:
    """Point a database whose artifacts moved along with it to ``artifacts``; returns the rows rewritten."""
    old, new, rewritten = moved_from(path, artifacts), artifacts.as_uri(), 0
    if old is None:
        return 0
    with _connected(path) as database, database:  # one transaction
        for table, column in LOCATIONS:
            rewritten += database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, old + "/"),
            ).rowcount
    return rewritten


def read_aliases(path: Path, model: str) -> dict[str, str]:
    """``{alias: version}`` of a registered model, in a millisecond; empty where there is no database."""
    if not path.is_file():
        return {}
    with _connected(path) as database:
        rows = database.execute("SELECT alias, version FROM registered_model_aliases WHERE name = ?", (model,)).fetchall()
    return {alias: str(version) for alias, version in rows}


def logged_model(source: str) -> str | None:
    """The id of the logged model that a version's source names, as no ``model_id`` is stored with the version; None: it names none."""
    return source.removeprefix("models:/") if source.startswith("models:/m-") else None


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path, timeout=20.0)  # MLflow's own busy_timeout
    try:
        yield database
    finally:
        database.close()
