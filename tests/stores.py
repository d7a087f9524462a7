"""Stores of every kind for tests: a folder, SQLite, an S3 server in this process, PostgreSQL where its binaries are at hand.

:func:`url_of` starts what a kind needs and yields the URL that names it in ``REGRAFT_STORE``; None is the folder of the workspace.
"""

from __future__ import annotations

import glob
import http.client
import http.server
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KINDS = ("folder", "sqlite", "s3", "postgresql")
SHARED = KINDS[1:]
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRETTEST", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def url_of(kind: str, folder: Path) -> Iterator[str | None]:
    """The URL of an empty store of its kind, whose files are in ``folder``."""
    match kind:
        case "folder":
            yield None
        case "sqlite":
            yield f"sqlite:///{folder / 'store.db'}"
        case "s3":
            with s3() as endpoint, pytest.MonkeyPatch.context() as patch:
                keys = {} if "TEST_S3_ENDPOINT" in os.environ else KEYS
                for name, value in {**keys, "AWS_ENDPOINT_URL_S3": endpoint}.items():
                    patch.setenv(name, value)
                yield f"s3://{bucket()}/a/workspace"
        case "postgresql":
            with postgresql() as url:
                yield url


def bucket() -> str:
    """A new bucket at the server that the environment names."""
    import boto3

    name = f"b{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3 server: that of ``TEST_S3_ENDPOINT`` (`make test-servers`), else moto's, in this process."""
    if endpoint := os.environ.get("TEST_S3_ENDPOINT"):
        yield endpoint
        return
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"  # it ends with this process: stopping waits for connections that clients keep open


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database of a server that ends with the block; the test is skipped where there is none to start."""
    initdb = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))), None)
    if initdb is None:
        if os.environ.get("REQUIRE_POSTGRESQL"):
            pytest.fail("REQUIRE_POSTGRESQL is set, and there is no initdb")
        pytest.skip("no PostgreSQL on this machine; apt-get install postgresql")
    data, port = Path(tempfile.mkdtemp(prefix="regraft-pg-")), free_port()  # pytest's own folders are closed to other users
    become = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next((entry for entry in pwd.getpwall() if entry.pw_name == "postgres"), pwd.getpwnam("nobody"))
        os.chown(data, user.pw_uid, user.pw_gid)
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    options: dict[str, Any] = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **become}
    subprocess.run([initdb, "-D", str(data), "-U", "regraft", "-A", "trust", "--no-sync", "-E", "UTF8"], check=True, **options)
    argv = [str(Path(initdb).with_name("postgres")), "-D", str(data), "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1"]
    with subprocess.Popen([*argv, "-c", "fsync=off"], **options) as server:
        try:
            until_it_answers(port, server)
            yield f"postgresql://regraft@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM waits for clients that keep a connection
            server.wait()
            shutil.rmtree(data, ignore_errors=True)


def until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    import psycopg2

    while True:
        assert server.poll() is None, "the server ended"
        try:
            psycopg2.connect(f"postgresql://regraft@127.0.0.1:{port}/postgres").close()
        except psycopg2.OperationalError:
            threading.Event().wait(0.05)
        else:
            return


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def misbehaving(upstream: str, how: str, times: int, method: str = "PUT") -> Iterator[str]:
    """The address of a proxy before ``upstream`` that misbehaves for its first ``times`` requests of ``method``.

    ``busy``: it answers 503. ``frozen``: it takes the request and is silent until the client goes. ``lost``: the request is carried out and
    its answer never arrives. ``deaf``: conditions are left out. ``bare``: of ETags only those without quotes are known, as by Ceph 16.2.
    """
    left = [times]

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers, bad = dict(self.headers), self.command == method and left[0] > 0
            left[0] -= bad
            if bad and how == "busy":
                self.answer(503, [], b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
                return
            if bad and how == "deaf":
                headers = {name: value for name, value in headers.items() if name.lower() not in ("if-none-match", "if-match")}
            if bad and how == "bare" and (etag := headers.pop("If-Match", "")):
                headers["If-Match"] = '"0"' if etag.startswith('"') else f'"{etag}"'
            if bad and how == "frozen":
                self.connection.recv(1)
                self.close_connection = True
                return
            there = http.client.HTTPConnection(upstream.removeprefix("http://"))
            there.request(self.command, self.path, body, headers)
            answer = there.getresponse()
            content = answer.read()
            if bad and how == "lost":
                self.close_connection = True
                return
            self.answer(answer.status, answer.getheaders(), content)

        def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.command != "HEAD" else b"")

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = carry

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
