"""Variables every child process inherits: telemetry off, hubs offline, threads that share, unless the user said otherwise."""

from __future__ import annotations

import getpass
import os

from regraft.core import owners

QUIET = {
    "DO_NOT_TRACK": "true",  # the word: MLflow ignores 1
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "False",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",  # a line for each try otherwise, before the error that says it all
    "RAY_USAGE_STATS_ENABLED": "0",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "TOKENIZERS_PARALLELISM": "true",  # silences the fork warning; what forks has used no tokenizer before
    "GIT_PYTHON_REFRESH": "quiet",
    # Threads that spin while they wait fight for cores; those that sleep at once wake late. Microseconds of spinning
    # (GNU OpenMP's default is 60 times as long) are as quick alone and half as slow beside other work: docs/log.md.
    "GOMP_SPINCOUNT": "5000",
}


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare() -> None:
    """Fill in what the user left open, keep loopback traffic away from proxies, and let ``python -m`` find the workspace's code."""
    _name_for_this_user()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    _no_proxy_for_loopback()
    os.environ.pop("PYTHONSAFEPATH", None)  # `python -m flows` would not see the folder it is started in


def _name_for_this_user() -> None:
    """A container's numeric user may have no name in passwd; DVC names its scratch folder after one and would refuse every step."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # from Python 3.13 on an OSError
        os.environ["LOGNAME"] = owners.name_of(os.getuid())


def _no_proxy_for_loopback() -> None:
    """A run talks to servers of its own on 127.0.0.1; through a proxy nothing of it would arrive.

    Both spellings, because some libraries read one and some the other; single addresses, because a network such as
    127.0.0.0/8 counts for none of them.
    """
    if not any(name.lower().endswith("_proxy") and value for name, value in os.environ.items()):
        return
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if "*" not in names:
        names += [name for name in LOOPBACK if name not in names]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(names)
