"""When a Prefect server will start a pipeline next, asked of the server itself: an interval is counted by it, and pauses are its own."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from collections.abc import Collection
from http.client import HTTPException
from typing import Any

PAGE = 200
"""Flow runs that a Prefect server tells at once, by its own limit."""
SECONDS = 3.0
"""For its answer: `regraft status` has more to show."""


def next_runs(pipelines: Collection[str]) -> dict[str, str]:
    """Pipeline -> the time of its next scheduled run, ISO 8601 in UTC; of those for which a server says one.

    One question for all of them; where close schedules fill its answer, one more for those that are not in it.
    """
    times: dict[str, str] = {}
    while (left := sorted(set(pipelines) - times.keys())) and (runs := _scheduled(left)):
        for run in reversed(runs):  # the first run of each is what stays
            times[str(run["parameters"]["pipeline"])] = str(run["expected_start_time"]).replace("Z", "+00:00")
        if len(runs) < PAGE:
            break
    return times


def _scheduled(pipelines: list[str]) -> list[dict[str, Any]]:
    """The first :data:`PAGE` runs that a server has scheduled, in their order; none without one."""
    if not (url := os.environ.get("PREFECT_API_URL")):
        return []
    question = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "deployments": {"name": {"any_": pipelines}, "tags": {"all_": ["regraft"]}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": PAGE,
    }
    request = urllib.request.Request(f"{url.rstrip('/')}/flow_runs/filter", json.dumps(question).encode(), _headers())
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            runs: list[dict[str, Any]] = json.load(response)
    except (OSError, ValueError, HTTPException):  # `doctor` and `run` say what is wrong with the server
        return []
    return [run for run in runs if run["parameters"].get("pipeline") in pipelines]


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    elif secret := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {secret}"
    return headers
