"""What ``status`` and the overview say of a pipeline besides its steps: score, schedule, what waits for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import yaml

from regraft.core import files
from regraft.production import approval
from regraft.registry.store import store_of
from regraft.reports.overview import fleet
from regraft.reports.page import render_overview

RUN, MODEL = "tiny-20261128T120000-abcdef", "d" * 64
SCORE = {"digest": MODEL, "run": RUN, "metric": "macro_f1", "value": 0.8125, "low": 0.75, "high": 0.875}


def stand(tiny, *, exit: int, version: str | None) -> None:
    """A run has decided, and ``version`` is champion."""
    store = store_of(tiny)
    if version:
        to = {"version": version, "digest": MODEL}
        store.journal("tiny").append(0, "promote", from_=None, to=to, run=RUN, reason="x")
    result = {"pipeline": "tiny", "run": RUN, "outcome": "pass", "exit": exit, "champion_score": SCORE, "approval": exit == 6}
    store.keep_latest("tiny", result)


def test_status_tells_the_champion_s_age_and_score_and_when_the_pipeline_runs_next(tiny, cli):
    path = tiny.pipeline_file("tiny")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "schedule": {"cron": "0 3 * * 1"}}))
    stand(tiny, exit=0, version="3")
    said = cli("status", "tiny")
    assert "macro-F1 0.812 (0.750 to 0.875)" in said.out
    assert "schedule      cron 0 3 * * 1 (UTC); the next time is " in said.out
    entry = cli("status", "tiny", "--json").json["pipelines"]["tiny"]
    assert (entry["score"], entry["approval"]) == (SCORE, None)
    assert datetime.fromisoformat(entry["schedule"]["next"]).strftime("%a %H:%M") == "Mon 03:00"
    to = {"version": "2", "digest": "another"}
    store_of(tiny).journal("tiny").append(1, "rollback", from_=None, to=to, run=RUN, reason="x")
    assert cli("status", "tiny", "--json").json["pipelines"]["tiny"]["score"] is None, "that of the model people rolled back from"


def test_what_waits_for_people_stands_in_status_and_on_the_page_with_the_command_that_answers(tiny, cli):
    stand(tiny, exit=6, version=None)
    files.write_json(tiny.scratch / "evidence" / RUN / "verdict.json", {})
    now = datetime.now(UTC)
    approval.ask(tiny, "tiny", RUN, "3", MODEL, None, tiny.scratch / "evidence" / RUN, {"within": "7d", "people": 1}, now)
    until = now + timedelta(days=7)
    said = cli("status", "tiny")
    assert f"version 3 waits for approval until {until:%Y-%m-%d %H:%M} UTC" in " ".join(said.out.split())
    assert f"regraft approve {RUN}" in " ".join(said.out.split())
    page = render_overview(fleet(tiny, now))
    assert f"waits for approval until {until:%Y-%m-%d}" in page
