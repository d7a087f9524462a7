"""A run whose pipeline asks people: it registers, asks, ends with exit 6, and what they answer is what stands.

The environment of all its commands is full of secrets, which are then looked for in everything that they left.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from everything import Ran, configure
from workbench import told

SECRETS = {
    name: f"planted-{number}-zq7w"
    for number, name in enumerate(
        ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_KEY", "HF_TOKEN", "ANYTHING")
    )
}


def places_of(secret: str, root: Path) -> list[str]:
    """The files below ``root`` that hold ``secret``."""
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_run_that_passed_asks_waits_in_status_and_a_yes_is_the_result_that_stands(
    ran: Ran, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, hook = ran.root, "http://ada:planted-hook-zq7w@127.0.0.1:9/planted-path-zq7w"
    for name, value in {**SECRETS, "HOOK": hook}.items():
        monkeypatch.setenv(name, value)
    shutil.rmtree(root / "state" / "journal")  # so that there is no champion, and the same model passes once more
    configure(root, promotion="approval", notify={"webhook": "${HOOK}"})
    result = told(root, 6, "run", "tiny", own_server=True)
    assert (result["outcome"], result["champion"]) == ("pass", None)
    assert f"`regraft approve {result['run']}`" in result["sentence"]

    entry = ask(root, "status", "--json").json["pipelines"]["tiny"]
    assert (entry["champion"], entry["approval"]["state"], entry["approval"]["fix"]) == (
        None,
        "waiting",
        f"regraft approve {result['run']}",
    )
    assert "waits for approval until" in ask(root, "status").out
    again = ask(root, "run", "tiny", "--json").json  # nothing is to do
    assert (again["run"], again["exit"], again["decided"], again["standing_exit"]) == (result["run"], 0, False, 6)
    assert "regraft approve" in ask(root, "promote", "tiny", "--json").json["errors"][0]["fix"]

    answered = ask(root, "approve", "tiny", "--reason", "looked at the ten worst rows", "--json").json
    assert answered["champion"]["digest"] == result["candidate"]["digest"]
    assert ask(root, "status", "--json").json["pipelines"]["tiny"]["approval"]["state"] == "approved"
    after = ask(root, "run", "tiny", "--json").json
    assert (after["run"], after["exit"], after["standing_exit"]) == (result["run"], 0, 0)
    assert after["champion"]["version"] == answered["champion"]["version"]
    assert (
        ask(root, "reject", "tiny", "--reason", "too late", "--json")
        .json["errors"][0]["message"]
        .startswith(f"{result['run']} takes no answer")
    )

    events = "".join(path.read_text() for path in (root / ".regraft").rglob(f"{result['run']}*") if path.is_file())
    assert "notify.webhook: 127.0.0.1 cannot be reached" in events, "the hook was tried, and its host alone is told"
    assert places_of("-zq7w", root) == []  # no hexadecimal digits: a UUID of a database held the former mark by chance
