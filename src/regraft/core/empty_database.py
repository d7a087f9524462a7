"""Empty databases of Prefect and MLflow, kept in the user's cache folder: a fresh workspace copies what migrations would make.

Both libraries make their tables by a long row of migrations (114 and 69), which takes seconds of the processor and ends in
the same tables every time. A copy is named after whatever made it (:func:`named`) and after its own bytes, so one of another version
is never looked at, and a damaged one is as good as none. Without a place for it, a database is migrated as ever.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from regraft.core import files

DIGITS = 16


def folder() -> Path:
    """Where they lie: ``$XDG_CACHE_HOME/regraft/databases``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "regraft" / "databases"


def named(package: str, migrations: str, also: Iterable[str] = ()) -> str:
    """The name of what this installation makes: the version of ``package``, its migrations and what ``also`` decides.

    ``migrations`` is the folder of the revisions, as the package's own folder sees it. Imports nothing of ``package``.
    """
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    revisions = sorted(path.name for path in (Path(found.submodule_search_locations[0]) / migrations).glob("*.py"))
    version = metadata.version(package)
    return f"{package}-{version}-{files.sha256_text(files.canonical([sqlite3.sqlite_version, revisions, sorted(also)]))[:DIGITS]}"


def copy(name: str, database: Path) -> bool:
    """Make ``database`` a copy of the one called ``name``; False where there is none to trust, or where a database is or was."""
    if any(database.parent.glob(f"{database.name}*")):  # SQLite would replay a former one's -wal into the copy
        return False
    with contextlib.suppress(OSError):
        for path in sorted(folder().glob(f"{name}-*.db")):
            data = path.read_bytes()
            if path.stat().st_uid == os.geteuid() and path.name == _file(name, data):
                files.write_bytes(database, data)
                return True
    return False


def keep(name: str, database: Path, *, filled: Iterable[str], emptied: Iterable[str] = ()) -> None:
    """Keep a copy of ``database`` under ``name``, if nobody has used it yet: it has rows in the tables ``filled`` alone.

    Those of ``emptied`` are the database's own and are left out. The copy is whole or not there at all.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder()) as scratch:
            draft = Path(scratch) / "draft.db"
            if not _drawn(database, draft, {*filled}, {*emptied}):
                return
            data = draft.read_bytes()
        former = [path for path in folder().glob(f"{name}-*.db") if path.name != _file(name, data)]
        files.write_bytes(folder() / _file(name, data), data)
        for path in former:  # a damaged one, or one that was made at the same time
            path.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"regraft: no copy of the empty database {database.name} is kept, the next workspace makes its own: {error}\n")


def _file(name: str, data: bytes) -> str:
    return f"{name}-{files.sha256_bytes(data)[:DIGITS]}.db"


def _drawn(database: Path, draft: Path, filled: set[str], emptied: set[str]) -> bool:
    """Whether ``draft`` is now an empty, whole copy of ``database``."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
        for table in emptied:
            copy.execute(f'DELETE FROM "{table}"')
        copy.commit()
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        used = {table for table in tables - filled if copy.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()}
        return not used and copy.execute("PRAGMA quick_check").fetchone() == ("ok",)
