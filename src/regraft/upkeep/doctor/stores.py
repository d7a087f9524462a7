"""Do the stores that the environment and DVC name answer, and would they let us in?

Every look has :data:`TIMEOUT` seconds and no retries. What is printed of a URL never holds its password.
"""

from __future__ import annotations

import configparser
import importlib
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regraft.core.redacted import redacted
from regraft.core.workspace import Workspace
from regraft.execution import dvc
from regraft.registry.store import store_of
from regraft.upkeep.doctor.check import Check, verdict
from regraft.upkeep.doctor.installation import installed

TIMEOUT = 2.5
"""Seconds one store has for connecting, and again for answering."""
SECRET = re.compile(r"access_key|secret|token|password|connection_string|account_key", re.IGNORECASE)
PLUGINS = {"s3": "dvc-s3", "gs": "dvc-gs", "azure": "dvc-azure", "ssh": "dvc-ssh", "webdav": "dvc-webdav", "oss": "dvc-oss"}
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
DENIED = (401, 403)


def prefect() -> Iterator[Check]:
    """PREFECT_API_URL; its ``/health`` says ``true``."""
    name, url = "prefect server", os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        yield Check(name, "ok", "none configured; every run starts its own")
        return
    code, body = get(f"{url}/health")
    shown = f"PREFECT_API_URL={redacted(url)}"
    if isinstance(code, str):
        yield Check(name, "bad", f"{shown} is not reachable: {code}", "start it with `prefect server start`, or unset PREFECT_API_URL")
    elif code in DENIED:
        yield Check(name, "warn", f"{shown} answers and wants credentials, which were not tried (HTTP {code})")
    elif code == 200 and body.strip() == b"true":
        yield Check(name, "ok", f"{shown} is healthy")
    else:
        message = f"{shown} is no healthy Prefect API (HTTP {code}); such a URL ends in /api"
        yield Check(name, "bad", message, f"curl -i {redacted(url)}/health")


def tracking(workspace: Workspace) -> Iterator[Check]:
    """MLFLOW_TRACKING_URI: a server, a database, or the workspace's own state."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        yield Check("tracking", "ok", f"local, {workspace.relative(workspace.state / 'mlflow.db')}")
        return
    scheme = urlsplit(uri).scheme.partition("+")[0]
    shown, fix = f"MLFLOW_TRACKING_URI={redacted(uri)}", "start it, or unset MLFLOW_TRACKING_URI"
    if scheme in ("http", "https"):
        code, _ = get(f"{uri.rstrip('/')}/health")
        fault = f"is not reachable: {code}" if isinstance(code, str) else f"is not healthy (HTTP {code})" if code != 200 else None
        if code in DENIED:
            yield Check("tracking", "warn", f"{shown} answers and wants credentials, which were not tried (HTTP {code})")
        else:
            yield verdict("tracking", fault, shown, "is healthy", fix)
    elif scheme == "sqlite":
        home = Path(uri.partition(":///")[2]).parent
        fault = None if home.is_dir() and os.access(home, os.W_OK) else f"cannot be written: {home} is missing or read-only"
        yield verdict("tracking", fault, shown, "can be written", fix)
    elif scheme in PORTS:
        fault = _refusal(uri, PORTS[scheme])
        yield verdict("tracking", fault, shown, "accepts connections", fix)
    else:
        message = f"{shown} is neither a server nor a database; MLflow refuses the file store"
        yield Check("tracking", "bad", message, "unset MLFLOW_TRACKING_URI")


def store(workspace: Workspace) -> Iterator[Check]:
    """The store of journals and of all else that production rests on, where it is another than the folder ``state``."""
    values = store_of(workspace).values
    if values.shared:
        values.check()
        yield Check("store", "ok", f"{values.where()} can be written, and tells one of several writers that it won")


def s3_endpoint() -> Iterator[Check]:
    """MLFLOW_S3_ENDPOINT_URL. A store that does not know us says 403 or 404 at its root: that is an answer."""
    name, url = "s3 endpoint", os.environ.get("MLFLOW_S3_ENDPOINT_URL", "")
    if not url:
        return
    if not installed("boto3"):
        yield Check(name, "bad", "MLFLOW_S3_ENDPOINT_URL is set, but boto3 is not installed", "pip install 'regraft[s3]'")
    code, _ = get(url)
    fault = f"is not reachable: {code}" if isinstance(code, str) else f"is ill (HTTP {code})" if code >= 500 else None
    yield verdict(name, fault, f"MLFLOW_S3_ENDPOINT_URL={redacted(url)}", "answers", "start it, or unset MLFLOW_S3_ENDPOINT_URL")


def remotes(workspace: Workspace) -> Iterator[Check]:
    """Every DVC remote, of all configuration levels."""
    if not (workspace.root / ".dvc" / "config").is_file():
        yield Check("dvc remotes", "ok", "DVC is not initialised yet; the first run does it")
        return
    settings: dict[str, dict[str, str]] = {}
    for line in dvc.ask(workspace, "config", "--list").splitlines():
        key, _, value = line.partition("=")
        if match := re.fullmatch(r"remote\.(.+)\.(\w+)", key):
            settings.setdefault(match[1], {})[match[2]] = value
    if not settings:
        yield Check("dvc remotes", "ok", "none; artifacts stay on this machine")
    for name, options in sorted(settings.items()):
        yield _remote(name, options, workspace)


def _remote(remote: str, options: Mapping[str, str], workspace: Workspace) -> Check:
    name, url = f"dvc remote {remote}", options.get("url", "")
    scheme, shown, fix = urlsplit(url).scheme, redacted(url), f"dvc remote modify {remote} url ..., or dvc remote remove {remote}"
    plugin = PLUGINS.get(scheme)
    if plugin and not installed(plugin):
        return Check(name, "bad", f"{shown} needs {plugin}, which is not installed", f"pip install {plugin}")
    if scheme == "s3":
        fault = _bucket_fault(urlsplit(url).netloc, options)
        fix = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or correct the remote with `dvc remote modify --local`"
        return verdict(name, fault, f"{shown} at {redacted(options.get('endpointurl', 'AWS'))}", "answers", fix)
    if scheme in ("http", "https"):
        code, _ = get(url)
        return verdict(name, f"is not reachable: {code}" if isinstance(code, str) else None, shown, "answers", fix)
    if scheme == "ssh":
        return verdict(name, _refusal(url, 22), shown, "accepts connections", fix)
    if scheme in ("", "file"):
        home = (workspace.root / ".dvc" / urlsplit(url).path).resolve()
        # DVC makes the folder at the first push; the one above it has to be there: a mount that is missing is found so.
        return verdict(name, None if home.is_dir() or home.parent.is_dir() else "does not exist", str(home), "is here", fix)
    return Check(name, "ok", f"{shown}, a kind of store that is not probed here")


def _bucket_fault(bucket: str, options: Mapping[str, str]) -> str | None:
    """One HEAD of the bucket, with the remote's own credentials or those of the environment; None: it answers."""
    boto3: Any = importlib.import_module("boto3")
    core: Any = importlib.import_module("botocore.config")
    errors: Any = importlib.import_module("botocore.exceptions")
    keys = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key", "aws_session_token": "session_token"}
    quick = core.Config(connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"total_max_attempts": 1})
    try:
        session = boto3.Session(profile_name=options.get("profile"), region_name=options.get("region"))
        credentials = {theirs: options[ours] for theirs, ours in keys.items() if ours in options}
        session.client("s3", endpoint_url=options.get("endpointurl"), config=quick, **credentials).head_bucket(Bucket=bucket)
    except errors.ClientError as error:
        code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return {403: "denies access", 404: "has no such bucket", 301: "has it in another region"}.get(code, f"says HTTP {code}")
    except errors.BotoCoreError as error:
        return f"is not reachable: {error}"
    return None


def secrets(workspace: Workspace) -> Iterator[Check]:
    """.dvc/config is committed; .dvc/config.local is not."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read(workspace.root / ".dvc" / "config", encoding="utf8")
    for section in parser.sections():
        remote = re.sub(r"""^'?remote "(.+)"'?$""", r"\1", section)
        for key, value in parser.items(section):
            if SECRET.search(key) or urlsplit(value).password:
                fix = f"dvc remote modify --unset {remote} {key} && dvc remote modify --local {remote} {key} NEW, and retire the old one"
                yield Check("secrets", "warn", f".dvc/config, which is committed, holds {remote}.{key}", fix)


def get(url: str) -> tuple[int | str, bytes]:
    """HTTP status and the first bytes of the answer, or the reason why there is none."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return answer.status, answer.read(64)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason), b""
    except (OSError, ValueError) as error:  # silence after the connection; a URL that is none
        return str(error) or type(error).__name__, b""


def _refusal(url: str, port: int) -> str | None:
    """Why nothing accepts a connection at ``url``; None: something does."""
    try:
        parts = urlsplit(url)
        socket.create_connection((parts.hostname or "localhost", parts.port or port), timeout=TIMEOUT).close()
    except (OSError, ValueError) as error:
        return f"is not reachable: {getattr(error, 'strerror', None) or error}"
    return None
