"""A schedule is a time that comes; what a server is told is what differs; a run refuses a clone that is not what was deployed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from regraft.config.agents import AgentOptions
from regraft.config.schedule import ScheduleOptions, seconds
from regraft.config.workspace_file import WorkspaceOptions, redacted
from regraft.core.errors import EnvironmentFault
from regraft.execution import deployments
from regraft.execution.deployments import Change, changes

DOCUMENT = {"description": "d", "version": "1", "schedule": {"seconds": 60}, "pool": "regraft", "expected": "a" * 64}
DOCUMENT |= {"parameters": {"pipeline": "same"}, "source": None, "notify": None}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"cron": "0 3 * *"}, "write five fields"),
        ({"cron": "0 25 * * 1"}, "write five fields"),
        ({"cron": "0 0 31 2 *"}, "that some day fits"),
        ({"cron": "@daily"}, "write five fields"),
        ({"interval": "6"}, "String should match pattern"),
        ({"interval": "0h"}, "String should match pattern"),
        ({"interval": "3s"}, "write at least 10s"),
        ({"interval": "6h", "timezone": "Europe/Berlyn"}, "a name of the IANA database"),
        ({"interval": "6h", "timezone": "../etc/passwd"}, "a name of the IANA database"),
        ({"interval": "6h", "only_if": "worth_it"}, "Input should be 'changed' or 'always'"),
        ({}, "write either `cron: ...` or `interval: ...`"),
        ({"cron": "0 3 * * 1", "interval": "6h"}, "write either `cron: ...` or `interval: ...`"),
    ],
)
def test_a_schedule_that_never_comes_or_says_two_things_is_refused(value, says):
    with pytest.raises(ValidationError, match=says):
        ScheduleOptions.model_validate(value)


@pytest.mark.parametrize(("text", "expected"), [("90m", 5400), ("5400s", 5400), ("2d", 172_800), ("6h", 21_600)])
def test_an_interval_is_the_same_however_it_is_written(text, expected):
    assert seconds(text) == expected
    assert ScheduleOptions(interval=text).document() == {"seconds": expected}


def test_a_leap_day_is_a_day():
    assert ScheduleOptions(cron="0 0 29 2 *").words == "cron 0 0 29 2 * (UTC)"


def test_what_is_as_it_should_be_is_left_alone_and_what_differs_is_named():
    known = {"same": DOCUMENT, "other": {**DOCUMENT, "schedule": None, "pool": "gpu"}, "gone": DOCUMENT}
    wanted = dict.fromkeys(("new", "same", "other"), DOCUMENT)
    assert changes(wanted, known, every=True) == [
        Change("create", "new"), Change("keep", "same"), Change("update", "other", ("schedule", "pool")), Change("remove", "gone"),
    ]  # fmt: skip


def test_deploying_one_pipeline_removes_no_other_but_what_was_for_its_gpu_steps():
    known = {"gone": DOCUMENT, "new-gpu": DOCUMENT}
    assert changes({"new": DOCUMENT}, known, every=False) == [Change("create", "new"), Change("remove", "new-gpu")]


def test_a_clone_that_resolves_otherwise_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(deployments, "resolved_digest", lambda *_: "b" * 64)
    deployments.require_expected(None, "demo", None)
    deployments.require_expected(None, "demo", "b" * 64)
    with pytest.raises(EnvironmentFault, match=r"resolves to b{12} here and to a{12} where it was deployed") as refused:
        deployments.require_expected(None, "demo", "a" * 64)
    assert "regraft deploy demo" in refused.value.fix


@pytest.mark.parametrize(
    ("schedule", "following"),
    [
        ({"cron": "0 3 * * 1"}, "2026-11-30T03:00+00:00"),
        ({"cron": "0 3 * * 1", "timezone": "Europe/Berlin"}, "2026-11-30T02:00+00:00"),
        ({"interval": "6h"}, None),
    ],
)
def test_the_next_time_of_a_schedule_is_told_in_utc_and_that_of_an_interval_is_the_server_s(schedule, following):
    after = ScheduleOptions(**schedule).after(datetime(2026, 11, 28, 23, 0, tzinfo=UTC))
    assert (after.isoformat(timespec="minutes") if after else None) == following


@pytest.mark.parametrize(
    ("agents", "elsewhere"),
    [({}, None), ({"cpu": "a"}, None), ({"cpu": "a", "gpu": "b"}, "b"), ({"gpu": "regraft"}, None), ({"gpu": "b"}, "b")],
)
def test_gpu_steps_go_elsewhere_only_where_another_pool_is_named(agents, elsewhere):
    assert AgentOptions.model_validate(agents).elsewhere == elsewhere


@pytest.mark.parametrize("pool", ["", "-x", "a/b", "x" * 101])
def test_a_name_that_no_work_pool_can_have_is_refused(pool):
    with pytest.raises(ValidationError, match="String should match pattern"):
        AgentOptions(gpu=pool)


@pytest.mark.parametrize("url", ["https://ghp_x@github.com/o/r", "http://u:p@host/r", "ssh://git:p@host/r"])
def test_a_repository_with_a_secret_is_refused(url):
    with pytest.raises(ValidationError, match="write no user or password into a file"):
        WorkspaceOptions(repository=url)


@pytest.mark.parametrize("url", ["https://github.com/o/r", "ssh://git@host/r", "git@github.com:o/r.git", "/srv/r.git"])
def test_a_repository_without_a_secret_is_taken(url):
    assert WorkspaceOptions(repository=url).repository == url


def test_a_password_with_an_at_sign_is_redacted_whole():
    assert redacted("fatal: 'https://u:p@ss@host/r' and https://token@other/r") == "fatal: 'https://host/r' and https://other/r"
