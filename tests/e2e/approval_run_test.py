"""A run whose pipeline asks people: it registers, asks, ends with exit 6, and what they answer is what stands."""

from __future__ import annotations

import shutil

from everything import Ran, configure
from workbench import regraft, told


def test_a_run_that_passed_asks_waits_in_status_and_a_yes_is_the_result_that_stands(ran: Ran) -> None:
    root = ran.root
    shutil.rmtree(root / "state" / "journal")  # so that there is no champion, and the same model passes once more
    configure(root, promotion="approval")
    result = told(root, 6, "run", "tiny")
    assert (result["outcome"], result["champion"]) == ("pass", None)
    assert f"`regraft approve {result['run']}`" in result["sentence"]

    entry = told(root, 0, "status")["pipelines"]["tiny"]
    assert (entry["champion"], entry["approval"]["state"], entry["approval"]["fix"]) == (
        None,
        "waiting",
        f"regraft approve {result['run']}",
    )
    assert "waits for approval until" in regraft(root, "status").stdout
    again = told(root, 0, "run", "tiny")
    assert (again["run"], again["decided"], again["standing_exit"]) == (result["run"], False, 6)
    assert "regraft approve" in told(root, 6, "promote", "tiny")["errors"][0]["fix"]

    answered = told(root, 0, "approve", "tiny", "--reason", "looked at the ten worst rows")
    assert answered["champion"]["digest"] == result["candidate"]["digest"]
    assert told(root, 0, "status")["pipelines"]["tiny"]["approval"]["state"] == "approved"
    after = told(root, 0, "run", "tiny")
    assert (after["run"], after["standing_exit"], after["champion"]["version"]) == (result["run"], 0, answered["champion"]["version"])
    assert told(root, 6, "reject", "tiny", "--reason", "too late")["errors"][0]["message"].startswith(f"{result['run']} takes no answer")
