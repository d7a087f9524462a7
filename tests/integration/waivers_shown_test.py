"""A waiver shows wherever people look, in force and over; status and plan ask DVC."""

from __future__ import annotations

from datetime import datetime

import pytest

from regraft.registry.journal import Journal
from regraft.registry.stores.folder import Folder
from regraft.registry.waiver import Waiver

FLOOR = Waiver("at_least", None, "macro_f1", "fail", "base scores 0.400, below the floor of 0.500.", "2026-03-31")


@pytest.fixture
def told_workspace(tiny):
    """Version 2 is champion on a waiver, after version 1."""
    journal = Journal(Folder(tiny.state), "tiny")
    one, two = ({"version": str(number), "digest": f"{number}" * 64} for number in (1, 2))
    moves = [("register", None, one, ()), ("promote", None, one, ()), ("register", None, two, ()), ("promote", one, two, (FLOOR,))]
    for seen, (action, was, to, waivers) in enumerate(moves):
        journal.append(seen, action, from_=was, to=to, run="tiny-1", reason="pilot", by="ada", waivers=waivers)
    return tiny


def at(monkeypatch, month):
    """It is the 5th of ``month`` wherever somebody looks."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, month, 5, tzinfo=tz)

    for module in ("regraft.reports.overview", "regraft.execution.freshness", "regraft.cli.history"):
        monkeypatch.setattr(f"{module}.datetime", Clock)


def test_status_plan_history_and_the_overview_show_it(told_workspace, cli, monkeypatch, tmp_path):
    for month, expired in ((3, False), (4, True)):
        at(monkeypatch, month)
        for argv in (("status", "tiny"), ("plan", "tiny"), ("report",), ("history", "tiny")):
            said = cli(*argv)
            assert said.code == 0, said
            assert ("over" in said.out) is expired, (argv, said.out)
            assert "2026-03-31" in said.out, argv
        waiver = cli("status", "tiny", "--json").json["pipelines"]["tiny"]["waiver"]
        assert (waiver["expired"], waiver["names"], waiver["by"], waiver["seq"]) == (expired, ["at_least:macro_f1"], "ada", 4)
        assert cli("plan", "tiny", "--json").json["waiver"] == waiver
        assert ("next: regraft rollback tiny" in cli("status", "tiny").out) is expired
        cli("report", "--out", str(tmp_path / "all.html"))
        assert f"waiver {'over since' if expired else 'until'} 2026-03-31" in (tmp_path / "all.html").read_text()
    assert cli("history", "tiny", "--json").json["entries"][3]["waivers"] == [vars(FLOOR)]
