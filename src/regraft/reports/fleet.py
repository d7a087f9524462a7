"""All pipelines at a glance: what is in production, for how long, what was decided last, what is stale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from regraft.core.quantities import first_of, roughly
from regraft.core.workspace import Workspace
from regraft.reports.overview import overview


def fleet(workspace: Workspace, now: datetime) -> dict[str, Any]:
    """The document of ``regraft status``, with ``at``, and of each pipeline ``age_seconds``, ``age`` (words), ``stale`` (steps)
    and ``perhaps`` (steps that run if one before them comes out different)."""
    document = overview(workspace)
    for entry in document["pipelines"].values():
        since = (entry["champion"] or {}).get("since")
        seconds = max(0, round((now - datetime.fromisoformat(since)).total_seconds())) if since else None
        entry |= {
            "age_seconds": seconds,
            "age": None if seconds is None else roughly(seconds),
            "stale": [step["name"] for step in entry["steps"] if step["state"] != "fresh" and step["certain"]],
            "perhaps": [step["name"] for step in entry["steps"] if step["state"] != "fresh" and not step["certain"]],
        }
    return {"at": now.isoformat(timespec="seconds"), **document}


def stale(names: Sequence[str], perhaps: Sequence[str], steps: int) -> str:
    """Which of a pipeline's ``steps`` steps would be computed anew, short enough for a table."""
    text = ", ".join(names) or "nothing"
    if len(names) > 3:
        text = "every step" if len(names) == steps else f"{first_of(names, 2)} steps"
    return f"{text}; {len(perhaps)} after that perhaps" if perhaps else text
