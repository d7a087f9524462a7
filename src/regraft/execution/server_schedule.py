"""When a Prefect server will start a pipeline next, asked of the server itself: an interval is counted by it, and pauses are its own."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from http.client import HTTPException
from typing import Any

SECONDS = 3.0
"""For its answer: `regraft status` has more to show."""


def next_run(pipeline: str) -> str | None:
    """The time of the next run that is scheduled, ISO 8601 in UTC; None: there is none, or no server that says so."""
    if not (url := os.environ.get("PREFECT_API_URL")):
        return None
    question = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "deployments": {"name": {"any_": [pipeline]}, "tags": {"all_": ["regraft"]}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
    }
    request = urllib.request.Request(f"{url.rstrip('/')}/flow_runs/filter", json.dumps(question).encode(), _headers())
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            runs: list[dict[str, Any]] = json.load(response)
    except (OSError, ValueError, HTTPException):  # `doctor` and `run` say what is wrong with the server
        return None
    return str(runs[0]["expected_start_time"]).replace("Z", "+00:00") if runs else None


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    elif secret := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {secret}"
    return headers
