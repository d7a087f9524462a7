"""What MLflow or the way to it refuses, in words that say what to do; a URI's password is in none of them."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import urllib.parse

from regraft.core.errors import EnvironmentFault, Unreachable

MOST_WORDS = 300
"""Characters of a store's own words that are shown."""
LOGIN = "export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=PASSWORD"


def shown(uri: str) -> str:
    """The URI as it may be printed: without user and password."""
    parts = urllib.parse.urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def refusals() -> tuple[type[Exception], ...]:
    """What MLflow's client raises: its own, and bare what the store behind it does. boto3's where artifacts go to S3 from this process."""
    import requests
    from mlflow.exceptions import MlflowException

    of_s3 = ("botocore.exceptions.BotoCoreError", "botocore.exceptions.ClientError", "boto3.exceptions.Boto3Error")
    return MlflowException, requests.RequestException, sqlite3.Error, OSError, *filter(None, map(_imported, of_s3))


def _imported(name: str) -> type[Exception] | None:
    """The class of this name; None where its module was not imported, so that nobody has raised it."""
    module, _, own = name.rpartition(".")
    return getattr(sys.modules.get(module), own, None)


def explained(error: Exception, uri: str) -> EnvironmentFault:
    """What MLflow's client raised, as an ``EnvironmentFault``; :class:`Unreachable` where the server at ``uri`` gave no answer."""
    import requests
    from mlflow.exceptions import MlflowException

    where = f"MLflow at {shown(uri)}"
    status = error.get_http_status_code() if isinstance(error, MlflowException) else None  # type: ignore[no-untyped-call]
    if status == 401:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or urllib.parse.urlsplit(uri).username
        who = f"and knows no {user!r} with the password that was sent" if user else "and was sent neither"
        return EnvironmentFault(f"{where} asks for a name and a password, {who}", fix=LOGIN)
    if status == 403:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or "this user"
        return EnvironmentFault(
            f"{where} does not permit {user} to do that", fix="ask its administrator for EDIT of the experiment and the model"
        )
    unanswered = next((each for each in (error, error.__context__) if isinstance(each, requests.RequestException)), None)
    if unanswered:
        return Unreachable(f"{where} does not answer: {_cause(unanswered)}", fix="regraft doctor")
    if type(error).__module__.partition(".")[0] in ("botocore", "boto3"):
        kind = Unreachable if {each.__name__ for each in type(error).__mro__} & {"HTTPClientError", "ConnectionError"} else EnvironmentFault
        return kind(f"the artifacts of {where} are not to be had: {_words(error, uri)}", fix="regraft doctor")
    return EnvironmentFault(f"{where}: {_words(error, uri)}", fix="regraft doctor")


def _cause(error: Exception) -> str:
    """The last of the reasons that requests and urllib3 have wrapped into one another."""
    text = str(error)
    known = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(too many \d+ error responses)|(Read timed out|timed out)", text)
    return next(filter(None, known.groups())) if known else text[:MOST_WORDS]


def _words(error: Exception, uri: str) -> str:
    lines = [line.strip("# ") for line in str(error).strip().splitlines() if line.strip("# ")] or [type(error).__name__]
    # A list of failures begins with a line that only says so, and its first entry with a path.
    reason = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    secret = urllib.parse.urlsplit(uri).netloc.rpartition("@")[0]
    return (reason.replace(f"{secret}@", "") if secret else reason)[:MOST_WORDS]
