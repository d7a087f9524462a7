"""A table of a database, through SQLAlchemy: SQLite for processes of one machine, PostgreSQL for several machines.

``regraft_values(key, value, writer)`` holds everything; the primary key makes :meth:`Database.create` exact. ``writer`` is a token of the
call that wrote a row, so that a commit whose acknowledgement was lost is recognised when the call is repeated. ``regraft_schema``
says which regraft wrote the tables; a later one's are refused.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from regraft.core.errors import EnvironmentFault
from regraft.core.key_values import Lease
from regraft.core.redacted import redacted
from regraft.registry.stores.copies import Copies
from regraft.registry.stores.leases import held

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SCHEMA = 1
RETRY_SECONDS = (0.2, 1.0, 3.0)
"""A database that is restarted is asked again; a run's tasks ask for longer."""
BUSY_SECONDS = 30
"""For which a process waits for another's write to SQLite."""
TRIES = 5
"""To make the tables, of processes that do so at once."""
T = TypeVar("T")


class Database:
    """Keys are rows. Creating it touches nothing, and reading makes no table."""

    shared = True

    def __init__(self, url: str, copies: Path) -> None:
        """:param url: as SQLAlchemy reads it, ``sqlite:////abs/file`` or ``postgresql://host/name``."""
        self._url, self._copies = url, Copies(copies)

    @cached_property
    def _sql(self) -> _Tables:
        return _Tables(self._url)

    def where(self, key: str = "") -> str:
        return f"{redacted(self._url)}{f' {key}' if key else ''}"

    def check(self) -> None:
        self._do(lambda connection: None, writing=True)

    def get(self, key: str) -> bytes | None:
        return self._do(lambda c: c.execute(self._sql.one, {"key": key}).scalar(), default=None)

    def read(self, folder: str) -> dict[str, bytes]:
        rows = self._do(lambda c: [(row.key, row.value) for row in c.execute(self._sql.below(folder, values=True))], default=[])
        names = {key.removeprefix(f"{folder}/"): bytes(value) for key, value in sorted(rows) if key.startswith(f"{folder}/")}
        return {name: value for name, value in names.items() if "/" not in name and not name.startswith(".")}

    def names(self, folder: str) -> list[str]:
        keys = self._do(lambda c: list(c.execute(self._sql.below(folder, values=False)).scalars()), default=[])
        return sorted(key.removeprefix(f"{folder}/") for key in keys if key.startswith(f"{folder}/"))  # SQLite's LIKE ignores case

    def put(self, key: str, value: bytes) -> None:
        row = {"key": key, "value": value, "writer": uuid.uuid4().hex}
        self._do(lambda c: c.execute(self._sql.upsert, row), writing=True)
        self._copies.forget(key)

    def create(self, key: str, value: bytes) -> bool:
        row = {"key": key, "value": value, "writer": uuid.uuid4().hex}

        def create(connection: Connection) -> bool:
            connection.execute(self._sql.insert, row)
            return connection.execute(self._sql.writer, {"key": key}).scalar() == row["writer"]

        return self._do(create, writing=True)

    def swap(self, key: str, old: bytes, new: bytes) -> bool:
        writer = uuid.uuid4().hex

        def swap(connection: Connection) -> bool:
            connection.execute(self._sql.swap, {"its_key": key, "old": old, "new": new, "new_writer": writer})
            return connection.execute(self._sql.writer, {"key": key}).scalar() == writer

        return self._do(swap, writing=True)

    def delete(self, key: str) -> None:
        self._do(lambda c: c.execute(self._sql.delete, {"its_key": key}), writing=True)
        self._copies.forget(key)

    def file(self, key: str) -> Path | None:
        return self._copies.file(key, self.get)

    def lease(self, name: str, seconds: float) -> AbstractContextManager[Lease]:
        return held(self, name, seconds)

    def _do(self, work: Callable[[Connection], T], *, writing: bool = False, default: Any = None) -> T:
        """What ``work`` returns of a transaction, which may be repeated; ``default`` where nothing was ever written."""
        from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

        for pause in (*RETRY_SECONDS, None):
            try:
                with self._sql.transaction(writing=writing) as connection:
                    return work(connection) if connection is not None else default
            except EnvironmentFault as fault:
                raise EnvironmentFault(f"{self.where()}: {fault}", fix=fault.fix) from None
            except SQLAlchemyError as error:
                gone = isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated)
                if pause is None or not gone:
                    cause = getattr(error, "orig", None) or error
                    reason = " ".join(str(cause).split()).replace(_password(self._url) or "\0", "***")[:300]
                    raise EnvironmentFault(f"the store {self.where()} cannot be used: {reason}", fix="regraft doctor") from None
                time.sleep(pause)
        raise AssertionError("unreachable")


class _Tables:
    """The tables and the statements."""

    def __init__(self, url: str) -> None:
        import sqlalchemy as sql
        from sqlalchemy.dialects import postgresql, sqlite

        self._file = Path(sql.make_url(url).database or "") if url.startswith("sqlite") else None
        self.engine = self._engine(url)
        metadata = sql.MetaData()
        self._metadata = metadata
        table = sql.Table(
            "regraft_values",
            metadata,
            sql.Column("key", sql.String, primary_key=True),
            sql.Column("value", sql.LargeBinary, nullable=False),
            sql.Column("writer", sql.String, nullable=False),
        )
        self._schema = sql.Table("regraft_schema", metadata, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False))
        self._table = table
        insert_into = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        its, insert = table.c, insert_into(table)
        self._mark = insert_into(self._schema).values(version=SCHEMA).on_conflict_do_nothing()
        self.one = sql.select(its.value).where(its.key == sql.bindparam("key"))
        self.writer = sql.select(its.writer).where(its.key == sql.bindparam("key"))
        self.insert = insert.on_conflict_do_nothing()
        self.upsert = insert.on_conflict_do_update(
            index_elements=["key"], set_={"value": insert.excluded.value, "writer": insert.excluded.writer}
        )
        its_key = its.key == sql.bindparam("its_key")
        self.delete = sql.delete(table).where(its_key)
        self.swap = (
            sql.update(table)
            .where(its_key, its.value == sql.bindparam("old"))
            .values(value=sql.bindparam("new"), writer=sql.bindparam("new_writer"))
        )
        self._ready = False

    def _engine(self, url: str) -> Engine:
        import sqlalchemy as sql

        try:
            if self._file:
                return sql.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
            # One connection that is asked whether it still lives: a server that was restarted costs nothing.
            return sql.create_engine(url, pool_pre_ping=True, pool_size=1, connect_args={"connect_timeout": 10})
        except ModuleNotFoundError as error:
            raise EnvironmentFault(f"needs {error.name}, which is not installed", fix="pip install 'regraft[postgres]'") from None

    def below(self, folder: str, *, values: bool) -> Any:
        """The rows below ``folder``: key and value, or the key alone."""
        import sqlalchemy as sql

        its = self._table.c
        columns = (its.key, its.value) if values else (its.key,)
        return sql.select(*columns).where(its.key.startswith(f"{folder}/", autoescape=True))

    @contextlib.contextmanager
    def transaction(self, *, writing: bool) -> Iterator[Connection | None]:
        """A transaction in which the tables are there; None where only reading is asked for and nobody has ever written."""
        if not self._ready and not self._prepare(writing=writing):
            yield None
            return
        with self.engine.begin() as connection:
            yield connection

    def _prepare(self, *, writing: bool) -> bool:
        """Whether the tables are there, of a schema that is known; ``writing`` makes them."""
        import sqlalchemy as sql
        from sqlalchemy.exc import IntegrityError, ProgrammingError

        if self._file and not writing and not self._file.is_file():
            return False
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        # Of two that make them at once one is refused by the catalogue's own keys, and finds them there the next time. SQLite commits every
        # table by itself, so the version is what says that all are there.
        for _ in range(TRIES):
            if (version := self._version()) is not None or not writing:
                break
            with contextlib.suppress(IntegrityError, ProgrammingError, sql.exc.OperationalError), self.engine.begin() as connection:
                self._metadata.create_all(connection)
                connection.execute(self._mark)
        if version is None and not writing:
            return False
        if version != SCHEMA:
            message = f"its tables are of schema {version}, and this regraft reads {SCHEMA}"
            raise EnvironmentFault(message, fix="pip install --upgrade regraft")
        self._ready = True
        return True

    def _version(self) -> int | None:
        """The schema of the tables; None: nobody has made them, or not all of them."""
        import sqlalchemy as sql

        if not sql.inspect(self.engine).has_table(self._schema.name):
            return None
        with self.engine.begin() as connection:
            return connection.execute(sql.select(sql.func.max(self._schema.c.version))).scalar()


def sqlite(url: str, root: Path, copies: Path) -> Database:
    """``sqlite:///FILE``: a relative file lies in the workspace."""
    parts = urlsplit(url)
    if parts.netloc or parts.path in ("", "/"):
        raise ValueError("a file is missing: write `sqlite:///FILE`, with four slashes for an absolute path")
    return Database(f"sqlite:///{root / parts.path.removeprefix('/')}", copies)


def postgresql(url: str, root: Path, copies: Path) -> Database:
    """``postgresql://HOST/DATABASE``; libpq takes what is missing from PGUSER, PGPASSWORD, ~/.pgpass."""
    if urlsplit(url).path in ("", "/"):
        raise ValueError("a database is missing: write `postgresql://HOST/DATABASE`")
    return Database(url, copies)


def _password(url: str) -> str | None:
    from sqlalchemy import make_url

    password = make_url(url).password
    return str(password) if password else None
