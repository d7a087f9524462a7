"""A Prefect server of the run's own, unless PREFECT_API_URL names one.

Prefect's built-in ephemeral server takes 7-11 s, gets the terminal's Ctrl-C and outlives a killed parent. This one
starts while the flow still imports, on a loopback port that is listening from the first moment (a request
waits in the queue instead of being refused), keeps its database in the workspace, and is on the lifeline of the
flow: it needs no clean-up, and goes when the flow is gone, however that went.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from regraft.steps.flow import EnvironmentFault, Run, Workspace, empty_database, limits, lock, size, supervise, uncollected

BACKLOG = 128
SETTINGS = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",  # only the services that a run's own server needs
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}

OURS = frozenset({"PREFECT_SERVER_ANALYTICS_ENABLED"})
"""Set by the command line: nothing reports home."""
ANSWER_SECONDS = 10
"""For a server that is asked whether it is there; a busy one answers late."""

ENTERED = {"alembic_version", "block_type", "block_schema", "block_schema_reference"}
"""Tables that Prefect itself fills when it makes a database."""


def start(run: Run) -> bool:
    """Start the server, or take the one of PREFECT_API_URL (then False); call it before Prefect is imported.

    Sets PREFECT_API_URL and PREFECT_HOME and returns at once. Should the server die, so does the run: what it was
    to record would be lost, and Prefect's client would retry for minutes. Of the environment the server of a run and its clients
    take no other PREFECT_ variable: one that names a database once made this server write its schema there.

    :raises EnvironmentFault: nobody answers at PREFECT_API_URL.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        require_answer(url)
        return False
    home = run.workspace.state / "prefect"
    for name in [name for name in os.environ if name.startswith("PREFECT_") and name not in OURS]:
        del os.environ[name]
    # Variables come before .env, prefect.toml and pyproject.toml, which Prefect reads in the folder it is started in.
    os.environ |= {"PREFECT_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "profiles.toml")}
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = _database_url(run.workspace)
    home.mkdir(parents=True, exist_ok=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        port = listener.getsockname()[1]
        child = supervise.spawn(
            [sys.executable, "-m", "flows.prefect_server", str(listener.fileno())],
            cwd=run.workspace.root,
            env={**os.environ, **SETTINGS},
            log=sys.stderr.fileno(),
            stdout=None,
            outlives_us=True,  # the flow's last words are for it
            pass_fds=[listener.fileno()],
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    threading.Thread(target=_end_with, args=(child, run), name="prefect-server", daemon=True).start()
    return True


def _database_url(workspace: Workspace) -> str:
    return f"sqlite+aiosqlite:///{workspace.state / 'prefect' / 'prefect.db'}"


def require_answer(url: str) -> None:
    """EnvironmentFault where no server listens at ``url``; any answer will do, also one that wants credentials."""
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as fault:  # URLError among them
        reason = getattr(fault, "reason", fault)
        message = f"no Prefect server answers at PREFECT_API_URL={url}: {reason}"
        raise EnvironmentFault(message, fix="prefect server start, or unset PREFECT_API_URL: then every run starts its own") from None


def _end_with(child: supervise.Child, run: Run) -> None:
    code = child.process.wait()
    room = size(limits.free(run.workspace.state))  # a full disk is what its database dies of
    ended = f"ended with exit {code} ({room} of disk are free)"
    message = f"the Prefect server of this run {ended}; `regraft run {run.pipeline}` continues; log: {run.log}"
    run.emit({"event": "error", **supervise.said_of(EnvironmentFault(message, fix="regraft doctor"))})
    supervise.end()


@contextlib.contextmanager
def _database() -> Iterator[Path | None]:
    """Inside, the server makes only what its database lacks; the file to keep a copy of when it is ready, None for none.

    A fresh one is a copy of what Prefect's 113 migrations made before. The block types of the collections that are
    installed are in it, so they are not entered again.
    """
    from prefect.settings import PREFECT_API_BLOCKS_REGISTER_ON_START, PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    workspace = Workspace.find()
    path = workspace.state / "prefect" / "prefect.db"  # `starting` guards no other
    if (chosen := PREFECT_API_DATABASE_CONNECTION_URL.value()) != _database_url(workspace):
        raise EnvironmentFault(f"the run's own Prefect server would write to {chosen}", fix="env | grep PREFECT")
    copied, fresh, name = path.with_name("copied"), not path.exists(), _template()
    if empty_database.copy(name, path):
        copied.write_text(name, encoding="utf8")
    elif fresh:
        copied.unlink(missing_ok=True)
        yield path
        return
    whole = copied.is_file() and copied.read_text(encoding="utf8") == name
    with temporary_settings({PREFECT_API_BLOCKS_REGISTER_ON_START: False}) if whole else contextlib.nullcontext():
        yield None


def _template() -> str:
    collections = {f"{entry.value} {entry.dist.version if entry.dist else ''}" for entry in entry_points(group="prefect.collections")}
    return empty_database.named("prefect", "server/database/_migrations/versions/sqlite", collections)


def main() -> None:
    """``python -m flows.prefect_server FD``: serve on the listening socket ``FD`` until the lifeline ends."""
    # SQLite's write-ahead log is safe in a kill, so there is nothing to wait for: an orderly end took 1.6 s of the 5.
    supervise.follow_lifeline(grace=0)
    # Migrations of a fresh database race when two pipelines start together: one server starts at a time.
    starting = lock.open_lock(Workspace.find().state / "prefect" / "starting.lock")
    lock.take(starting)
    with uncollected("prefect.server"):
        import uvicorn
        from prefect.server.api.server import create_app

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if fresh:  # before a request is answered
                empty_database.keep(_template(), fresh, filled=ENTERED, emptied={"configuration"})
            os.close(starting)

    config = uvicorn.Config(create_app, factory=True, log_level="warning", access_log=False, timeout_keep_alive=30)
    with _database() as fresh, contextlib.suppress(KeyboardInterrupt):  # the end of the lifeline
        Announcing(config).run([socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
