"""What every kind of store promises (regraft.core.key_values), held by one suite; and what only some of them can get wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from services import PATIENCE
from stores import KINDS, SHARED, misbehaving, url_of
from workbench import example_of, install

from regraft.core import files
from regraft.core.errors import ConfigError, Conflict, EnvironmentFault, Unreachable
from regraft.core.key_values import KeyValues
from regraft.core.workspace import Workspace
from regraft.registry import copying
from regraft.registry.store import VARIABLE, Store, store_of, values_at
from regraft.registry.stores import STORES, leases, s3
from regraft.registry.stores.folder import Folder
from regraft.registry.stores.s3 import Bucket
from regraft.registry.stores.sql import SCHEMA, Database


@dataclass(frozen=True)
class Place:
    """A store that is reached from two clones of a workspace."""

    kind: str
    values: KeyValues
    again: KeyValues
    """The same store, as another process would reach it."""
    url: str | None


@pytest.fixture(scope="module", params=[*KINDS, "page"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str | None]]:
    if request.param == "page":
        with pytest.MonkeyPatch.context() as patch:
            site = tmp_path_factory.mktemp("site")
            install("store", site)
            patch.syspath_prepend(site)
            patch.setenv("PYTHONPATH", str(site))
            STORES.__dict__.pop("places", None)
            yield "page", None
        STORES.__dict__.pop("places", None)
        return
    with url_of(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield request.param, url


@pytest.fixture
def place(server: tuple[str, str | None], tmp_path: Path) -> Place:
    """An empty store: the server is shared by all tests, its tables and keys are not."""
    return opened(*server, tmp_path)


def opened(kind: str, url: str | None, folder: Path) -> Place:
    match kind:
        case "folder":
            return Place(kind, Folder(folder / "state"), Folder(folder / "state"), None)
        case "page":
            url = example_of("store", "yaml").split()[1].replace("/mnt/share/regraft", str(folder / "share"))
            return Place(kind, values_at(url, Workspace(folder)), values_at(url, Workspace(folder / "again")), url)
        case "sqlite":
            url = f"sqlite:///{folder / 'store.db'}"
        case "s3":
            url = f"{url}/{files.sha256_text(str(folder))[:8]}"
            bucket, prefix = url.removeprefix("s3://").split("/", 1)
            return Place(kind, Bucket(bucket, prefix, folder / "a"), Bucket(bucket, prefix, folder / "b"), url)
        case "postgresql":
            import psycopg2

            name = f"t{files.sha256_text(str(folder))[:8]}"
            with closing(psycopg2.connect(url)) as connection:
                connection.autocommit = True  # no database is made inside a transaction
                connection.cursor().execute(f"CREATE DATABASE {name}")
            url = f"{str(url).rpartition('/')[0]}/{name}"
    assert url
    return Place(kind, Database(url, folder / "a"), Database(url, folder / "b"), url)


def test_an_empty_store_says_that_nothing_is_there_and_stays_empty(place, tmp_path):
    values = place.values
    assert (values.get("journal/demo/00000001.json"), values.read("journal/demo"), values.names("journal")) == (None, {}, [])
    assert values.file("predictions/m/r.parquet") is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_put_is_there_for_everybody_whole_and_can_be_replaced_and_removed(place):
    binary = bytes(range(256)) * 5000
    place.values.put("predictions/m/r.parquet", binary)
    assert place.again.get("predictions/m/r.parquet") == binary
    file = place.again.file("predictions/m/r.parquet")
    assert file is not None
    assert file.read_bytes() == binary
    place.again.put("predictions/m/r.parquet", b"")
    assert (place.values.get("predictions/m/r.parquet"), place.again.file("predictions/m/r.parquet").read_bytes()) == (b"", b"")
    place.values.delete("predictions/m/r.parquet")
    place.values.delete("predictions/m/r.parquet")
    assert place.values.get("predictions/m/r.parquet") is None


def test_names_are_those_below_a_folder_and_no_other_s(place):
    for key in ("a_b/2", "a_b/1", "a_b/.h", "a_b/c/3", "axb/9", "A_B/8", "a_b2/7", "a%/6", "a_b.json"):
        place.values.put(key, key.encode())
    assert place.again.names("a_b") == [".h", "1", "2", "c/3"]
    assert place.again.read("a_b") == {"1": b"a_b/1", "2": b"a_b/2"}
    assert place.again.names("a%") == ["6"]


def test_of_many_who_create_a_key_at_once_one_is_told_that_it_did_and_its_bytes_are_there(place):
    place.values.check()
    for number in range(3):
        winners: list[int] = []
        start = threading.Barrier(8)

        # The same bytes from all in the first round: who won is told by who wrote, not by what.
        texts = [b"same" if number == 0 else str(me).encode() for me in range(8)]

        def create(me: int, key: str, text: bytes, winners: list[int] = winners, start: threading.Barrier = start) -> None:
            start.wait(PATIENCE)
            if (place.values if me % 2 else place.again).create(key, text):
                winners.append(me)

        threads = [threading.Thread(target=create, args=(me, f"journal/demo/{number}", text)) for me, text in enumerate(texts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(winners) == 1
        assert place.values.get(f"journal/demo/{number}") == texts[winners[0]]
    assert place.values.create("journal/demo/0", b"late") is False


def test_a_lease_is_held_by_one_whose_name_the_others_are_told(place):
    with place.values.lease("demo", 5) as lease:
        lease.require()
        with place.again.lease("other", 5):
            pass
        with pytest.raises(Conflict, match=rf"'demo' has been held by .*process {os.getpid()}"), place.again.lease("demo", 0.05):
            pass
    with place.again.lease("demo", 0.0):
        pass


HOLD = """
import sys
from pathlib import Path
from regraft.core.workspace import Workspace
from regraft.registry.store import store_of
with store_of(Workspace(Path(sys.argv[1]))).values.lease("demo", 5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_holder_that_was_killed_on_this_machine_is_not_waited_for(place, tmp_path):
    environment = {**os.environ, **({VARIABLE: place.url} if place.url else {})}
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match=f"process {holder.pid}"), place.values.lease("demo", 0.0):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(PATIENCE)
        with place.values.lease("demo", leases.EXPIRY_SECONDS / 4):
            pass


def test_journal_ledger_answers_and_last_result_are_the_same_bytes_in_every_store(place, tmp_path):
    store, folder = Store(place.values), Store(Folder(tmp_path / "other"))
    to = {"version": "1", "digest": "d"}
    for each in (store, folder):
        entry = each.journal("demo").append(0, "promote", from_=None, to=to, run="demo-1", reason="ü", by="ada")
        assert each.ledger.record("rows", {"q": 1}, pipeline="demo", run="demo-1") == 1
        assert each.ledger.record("rows", {"q": 1}, pipeline="demo", run="demo-2") == 1
        assert each.ledger.record("rows", {"q": 2}, pipeline="demo", run="demo-2") == 2
        each.keep_latest("demo", {"run": "demo-1"})
        assert each.latest("demo") == {"run": "demo-1"}
        assert (each.journals(), each.journal("demo").head()) == (["demo"], entry)
    names = [*store.values.names("journal"), *store.values.names("ledger"), *store.values.names("latest")]
    assert names == [*folder.values.names("journal"), *folder.values.names("ledger"), *folder.values.names("latest")]
    text, other = store.values.get("journal/demo/00000001.json"), folder.values.get("journal/demo/00000001.json")
    assert text is not None
    assert other is not None
    assert [line for line in text.splitlines() if b'"at"' not in line] == [line for line in other.splitlines() if b'"at"' not in line]
    assert store.values.get("latest/demo.json") == folder.values.get("latest/demo.json")


def test_an_edited_entry_is_named_by_its_place_in_the_store(place):
    journal = Store(place.values).journal("demo")
    for seen in range(2):
        journal.append(seen, "promote", from_=None, to={"version": "1", "digest": "d"}, run="r", reason="x")
    key = "journal/demo/00000001.json"
    place.values.put(key, (place.values.get(key) or b"").replace(b'"x"', b'"nicer"'))
    (problem,) = Store(place.again).journal("demo").verify()
    assert problem["message"] == f"entry 1 was edited after it was written: {place.values.where(key)}"
    with pytest.raises(EnvironmentFault, match="`prev` is not the sha256 of the entry before it"):
        Store(place.again).journal("demo").append(2, "promote", from_=None, to=None, run="r", reason="x")


# --- from one store into another ---------------------------------------------------------------------------------


def filled(values: KeyValues) -> None:
    """A journal of three entries, a question, answers and a last result."""
    store = Store(values)
    for seen, action in enumerate(("register", "promote", "rollback")):
        store.journal("demo").append(seen, action, from_=None, to={"version": "1", "digest": "d"}, run="demo-1", reason="x")
    store.ledger.record("rows", {"q": 1}, pipeline="demo", run="demo-1")
    values.put("predictions/m/r.parquet", bytes(range(256)))
    store.keep_latest("demo", {"run": "demo-1"})


class Stopped(BaseException):
    """Stands for a kill: nothing may catch it."""


def test_a_copy_has_the_same_bytes_goes_on_after_a_stop_and_follows_when_its_source_went_on(place, tmp_path, monkeypatch):
    source = Folder(tmp_path / "source")
    filled(source)
    (tmp_path / "source" / "mlflow.db").write_text("not the store's")
    create, left = place.values.create, [2]

    def dying(key: str, value: bytes) -> bool:
        left[0] -= key.startswith("journal/")
        if left[0] < 0:
            raise Stopped
        return create(key, value)

    if place.kind != "folder":  # whose class is frozen
        with monkeypatch.context() as patch:
            patch.setattr(place.values, "create", dying)
            with pytest.raises(Stopped):
                copying.copy(source, place.values)
        assert [entry.seq for entry in Store(place.again).journal("demo").entries()] == [1, 2]
    copied = copying.copy(source, place.values)
    assert (copied.written + copied.same, copied.heads) == (7, {"demo": Store(source).journal("demo").entries()[-1].sha})
    for room in copying.ROOMS:
        names = [name for name in source.names(room) if not name.endswith(".lock")]
        assert place.again.names(room) == names
        assert [place.again.get(f"{room}/{name}") for name in names] == [source.get(f"{room}/{name}") for name in names]
    assert place.again.get("mlflow.db") is None

    Store(source).journal("demo").append(3, "promote", from_=None, to={"version": "2", "digest": "e"}, run="demo-2", reason="x")
    Store(source).keep_latest("demo", {"run": "demo-2"})
    assert (copying.copy(source, place.values).written, Store(place.again).latest("demo")) == (3, {"run": "demo-2"})
    assert copying.copy(source, place.values).written == 0


def test_a_target_that_has_gone_on_or_keeps_something_else_is_left_as_it_is(place, tmp_path):
    source = Folder(tmp_path / "source")
    filled(source)
    copying.copy(source, place.values)
    Store(place.values).keep_latest("demo", {"run": "demo-9"})
    place.values.put("predictions/m/r.parquet", b"else")
    with pytest.raises(Conflict, match=r"predictions/m/r\.parquet is something else"):
        copying.copy(source, place.again)
    Store(place.values).journal("demo").append(3, "promote", from_=None, to=None, run="demo-9", reason="x")
    with pytest.raises(Conflict, match=r"journal/demo/00000004\.json is not in .*: the target has gone on"):
        copying.copy(source, place.again)
    assert Store(place.again).latest("demo") == {"run": "demo-9"}


def test_a_journal_that_was_edited_is_not_copied(tmp_path):
    source = Folder(tmp_path / "source")
    filled(source)
    path = tmp_path / "source" / "journal" / "demo" / "00000001.json"
    path.write_text(path.read_text().replace("demo-1", "demo-2"))
    with pytest.raises(EnvironmentFault, match="entry 1 was edited"):
        copying.copy(source, Folder(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_a_source_that_keeps_nothing_was_not_meant(tmp_path):
    with pytest.raises(ConfigError, match="no-such keeps nothing"):
        copying.copy(Folder(tmp_path / "no-such"), Folder(tmp_path / "target"))


# --- leases of stores that machines share ------------------------------------------------------------------------


@pytest.fixture
def shared(place: Place) -> Place:
    if place.kind not in SHARED:
        pytest.skip("the kernel drops a folder's locks")
    return place


def test_a_holder_elsewhere_that_shows_no_life_loses_its_lease_and_is_told_before_it_changes_anything(shared, monkeypatch):
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.4)
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", PATIENCE)  # frozen
    monkeypatch.setattr(leases, "_place", lambda: "another machine")
    with shared.values.lease("demo", 5) as frozen:
        monkeypatch.undo()
        monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.4)
        with shared.again.lease("demo", PATIENCE) as lease:
            assert lease.token == frozen.token + 1
            with pytest.raises(Conflict, match=r"was taken over by .*process"):
                frozen.require()
            lease.require()


def test_who_never_gets_a_lease_that_is_free_is_told_so(shared, monkeypatch):
    with shared.values.lease("demo", 5):
        pass
    monkeypatch.setattr(type(shared.again), "swap", lambda *_: False)
    with pytest.raises(Conflict, match=r"taken by others, one after the other, for more than 1 s"), shared.again.lease("demo", 1.0):
        pass


def test_a_holder_that_renews_its_lease_keeps_it_for_longer_than_it_lasts(shared, monkeypatch):
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.1)
    with shared.values.lease("demo", 5) as lease:
        with pytest.raises(Conflict), shared.again.lease("demo", 2.0):
            pass
        lease.require()


def test_who_holds_a_lease_when_the_store_falls_silent_goes_on_without_giving_it_back(shared, monkeypatch):
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(leases, "RELEASE_SECONDS", 0.1)
    asked, speaks, swap = threading.Event(), threading.Event(), type(shared.values).swap

    def silent(*argv):
        asked.set()
        assert speaks.wait(PATIENCE), "the holder waited for the store"
        return swap(*argv)

    with shared.values.lease("demo", 5):
        monkeypatch.setattr(type(shared.values), "swap", silent)
        assert asked.wait(PATIENCE)
    speaks.set()
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.4)
    with shared.again.lease("demo", PATIENCE) as lease:
        lease.require()


# --- SQL ---------------------------------------------------------------------------------------------------------


def test_tables_of_a_later_regraft_are_refused(tmp_path):
    import sqlite3

    values = Database(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "copies")
    values.put("a/b", b"1")
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("UPDATE regraft_schema SET version = ?", (SCHEMA + 1,))
    with pytest.raises(EnvironmentFault, match=f"schema {SCHEMA + 1}, and this regraft reads {SCHEMA}"):
        Database(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "copies").get("a/b")


def test_tables_that_another_process_is_still_making_are_made_to_the_end(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "store.db") as database:  # SQLite commits each table by itself, and a kill would leave it at that
        database.execute("CREATE TABLE regraft_schema (version INTEGER NOT NULL, PRIMARY KEY (version))")
    values = Database(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "copies")
    assert values.get("a/b") is None
    assert values.create("a/b", b"1")
    assert values.get("a/b") == b"1"


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.registry.stores.sql.RETRY_SECONDS", ())
    values = Database("postgresql://ada:hunter2@127.0.0.1:1/regraft?sslmode=disable", tmp_path)
    with pytest.raises(EnvironmentFault, match=r"postgresql://127\.0\.0\.1:1/regraft cannot be used") as caught:
        values.get("a")
    assert "hunter2" not in str(caught.value)


# --- S3 ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A bucket, and the address of its server."""
    with url_of("s3", tmp_path_factory.mktemp("s3")) as url:
        assert url
        yield url.removeprefix("s3://").split("/")[0], os.environ["AWS_ENDPOINT_URL_S3"]


@pytest.fixture
def lenient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The same at a server that checks no signatures, as those of a request whose conditions a proxy has changed are wrong."""
    monkeypatch.delenv("TEST_S3_ENDPOINT", raising=False)
    with url_of("s3", tmp_path) as url:
        assert url
        yield url.removeprefix("s3://").split("/")[0], os.environ["AWS_ENDPOINT_URL_S3"]


def through(proxy: str, bucket: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy)
    return Bucket(bucket[0], folder.name, folder)


def test_a_write_whose_acknowledgement_was_lost_is_known_to_be_one_s_own(bucket, tmp_path, monkeypatch):
    with misbehaving(bucket[1], "lost", 1) as proxy:
        values = through(proxy, bucket, tmp_path, monkeypatch)
        values._checked = True  # so that the first PUT is the one that is lost
        assert values.create("journal/demo/1", b"mine") is True
        assert (values.create("journal/demo/1", b"mine"), values.get("journal/demo/1")) == (False, b"mine")


def test_a_busy_store_is_asked_again(bucket, tmp_path, monkeypatch):
    with misbehaving(bucket[1], "busy", 2) as proxy:
        values = through(proxy, bucket, tmp_path, monkeypatch)
        assert values.create("a/1", b"x") is True


def test_a_server_that_freezes_is_asked_again_and_what_it_had_not_begun_is_done_once(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(s3, "SECONDS", 0.5)
    with misbehaving(bucket[1], "frozen", 2) as proxy:
        values = through(proxy, bucket, tmp_path, monkeypatch)
        journal = Store(values).journal("demo")
        journal.append(0, "register", from_=None, to={"version": "1", "digest": "d"}, run="r", reason="x")
        assert [entry.seq for entry in journal.entries()] == [1]


@pytest.mark.parametrize(("how", "said"), [("frozen", "does not answer: Read timeout on endpoint"), ("busy", "reduce your request rate")])
def test_a_server_that_stays_silent_or_busy_is_given_up_and_may_be_asked_again_later(bucket, tmp_path, monkeypatch, how, said):
    monkeypatch.setattr(s3, "SECONDS", 0.5)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    with misbehaving(bucket[1], how, 1000) as proxy:
        values = through(proxy, bucket, tmp_path, monkeypatch)
        values._checked = True
        with pytest.raises(Unreachable, match=said):
            Store(values).journal("demo").append(0, "register", from_=None, to={"version": "1", "digest": "d"}, run="r", reason="x")
    after = through(bucket[1], bucket, tmp_path, monkeypatch)
    assert (Store(after).journal("demo").entries(), after.names("journal")) == ([], [])


def test_a_store_that_ignores_conditions_is_refused_before_anything_is_written(lenient, tmp_path, monkeypatch):
    with misbehaving(lenient[1], "deaf", 1000) as proxy:
        values = through(proxy, lenient, tmp_path, monkeypatch)
        with pytest.raises(EnvironmentFault, match="does not honour If-None-Match and If-Match"):
            values.create("a/1", b"x")
        assert values.names("a") == values.names(".probe") == []


def test_a_server_that_compares_etags_without_their_quotes_holds_leases(lenient, tmp_path, monkeypatch):
    with misbehaving(lenient[1], "bare", 1000) as proxy:
        values = through(proxy, lenient, tmp_path, monkeypatch)
        for token in (1, 2):
            with values.lease("demo", 5) as lease:
                assert lease.token == token


@pytest.mark.parametrize(
    ("name", "said"),
    [("no-such-bucket-here", "there is no such bucket"), ("", "the environment has no credentials")],
    ids=["bucket", "credentials"],
)
def test_what_s3_refuses_is_said_in_words(bucket, tmp_path, monkeypatch, name, said):
    if not name:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket[1])
    with pytest.raises(EnvironmentFault, match=said):
        Bucket(name or bucket[0], "p", tmp_path).get("a")


# --- which store a workspace has ---------------------------------------------------------------------------------


def test_a_workspace_names_its_store_in_regraft_yaml_and_a_shell_may_name_another(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    assert isinstance(store_of(workspace).values, Folder)
    (tmp_path / "regraft.yaml").write_text("version: 1\nstore: sqlite:///state/store.db\n")
    assert store_of(workspace).values.where() == f"sqlite:///{tmp_path}/state/store.db"
    monkeypatch.setenv(VARIABLE, "s3://bucket/prefix/")
    assert store_of(workspace).values.where() == "s3://bucket/prefix/"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: postgresql://ada:hunter2@db/regraft", "write no password into a file"),
        ("stoer: s3://b/p", "did you mean store"),
        ("version: 2", "1"),
    ],
)
def test_a_fault_in_regraft_yaml_is_told_with_its_line(tmp_path, text, said):
    (tmp_path / "regraft.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError, match="line 1") as caught:
        store_of(Workspace(tmp_path))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://ada:hunter2@db/regraft", "postgres://db/regraft is no store: no kind of store 'postgres'; did you mean 'postgresql'"),
        ("postgresql://ada:hunter2@db", "a database is missing"),
        ("s3:///prefix", "a bucket is missing"),
        ("sqlite://", "a file is missing"),
        ("state", "is no store"),
    ],
)
def test_what_names_no_store_is_refused_without_its_password(tmp_path, monkeypatch, url, said):
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(ConfigError) as caught:
        store_of(Workspace(tmp_path))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
