"""A migrated, empty database is kept for the next workspace; whatever is wrong with it, a workspace gets the tables it needs."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from regraft.core import empty_database
from regraft.registry import database

NAME = "some-1.0-abc"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "regraft" / "databases"


def made(path, rows=()):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript("CREATE TABLE head (revision); CREATE TABLE run (name); CREATE TABLE secret (key)")
        connection.execute("INSERT INTO head VALUES (7)")
        connection.execute("INSERT INTO secret VALUES ('mine')")
        connection.executemany("INSERT INTO run VALUES (?)", [(row,) for row in rows])
    return path


def kept(path, **given):
    empty_database.keep(NAME, path, **{"filled": {"head"}, "emptied": {"secret"}, **given})


def rows(path, table):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def test_a_fresh_workspace_copies_what_another_migrated(tmp_path):
    kept(made(tmp_path / "first.db"))
    assert empty_database.copy(NAME, tmp_path / "second" / "db")
    assert rows(tmp_path / "second" / "db", "head") == [(7,)]
    assert rows(tmp_path / "second" / "db", "secret") == []
    assert rows(tmp_path / "first.db", "secret") == [("mine",)]
    assert not empty_database.copy("some-2.0-abc", tmp_path / "third.db")


def test_a_database_that_a_run_wrote_to_is_not_kept(tmp_path, cache):
    kept(made(tmp_path / "first.db", rows=["a run"]))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("harm", [lambda data: data[:5000], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b""])
def test_a_damaged_copy_is_as_good_as_none_and_is_replaced(tmp_path, cache, harm):
    kept(made(tmp_path / "first.db"))
    (copy,) = cache.iterdir()
    copy.write_bytes(harm(copy.read_bytes()))
    assert not empty_database.copy(NAME, tmp_path / "second.db")
    assert not (tmp_path / "second.db").exists()
    kept(made(tmp_path / "second.db"))
    assert len(list(cache.iterdir())) == 1
    assert empty_database.copy(NAME, tmp_path / "third.db")


@pytest.mark.parametrize("former", ["db", "db-wal", "db-journal"])
def test_nothing_is_copied_where_a_database_is_or_was(tmp_path, former):
    kept(made(tmp_path / "first.db"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / former).write_bytes(b"theirs")
    assert not empty_database.copy(NAME, tmp_path / "home" / "db")
    assert [path.read_bytes() for path in (tmp_path / "home").iterdir()] == [b"theirs"]


def test_without_a_place_for_it_the_log_says_so_and_nothing_else_happens(tmp_path, monkeypatch, capsys):
    (tmp_path / "no_folder").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no_folder"))
    kept(made(tmp_path / "first.db"))
    assert "no copy of the empty database first.db is kept" in capsys.readouterr().err
    assert not empty_database.copy(NAME, tmp_path / "second.db")


def test_mlflow_opens_a_copy_as_it_opens_what_it_migrated(tmp_path, cache):
    database.create(tmp_path / "first" / "mlflow.db")
    (copy,) = cache.iterdir()
    database.create(tmp_path / "second" / "mlflow.db")
    assert (tmp_path / "second" / "mlflow.db").read_bytes() == copy.read_bytes()
    schemas = [rows(tmp_path / name / "mlflow.db", "sqlite_schema") for name in ("first", "second")]
    assert schemas[0] == schemas[1]
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'second' / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("one")).info.run_id
    client.log_metric(run, "loss", 0.5)
    assert client.get_run(run).data.metrics == {"loss": 0.5}
    assert rows(tmp_path / "first" / "mlflow.db", "runs") == []
