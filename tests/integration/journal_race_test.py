"""The journal under processes of two clones that all want to write its next entry, in every kind of store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from services import PATIENCE
from stores import KINDS, url_of

from regraft.core.workspace import Workspace
from regraft.registry.store import VARIABLE, store_of

RACE = """
import sys, time
from pathlib import Path
from regraft.core.errors import Conflict
from regraft.core.workspace import Workspace
from regraft.registry.store import store_of

journal, me, rounds, start = store_of(Workspace(Path(sys.argv[1]))).journal("demo"), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
time.sleep(max(0.0, start - time.time()))
won = 0
for seen in range(rounds):
    while (head := journal.head()) is None and seen or (head and head.seq < seen):
        time.sleep(0.0005)
    try:
        journal.append(seen, "promote", from_=None, to={"version": me, "digest": me}, run=me, reason="race")
        won += 1
    except Conflict:
        pass
print(won)
"""


def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, racers: int, rounds: int) -> None:
    """``racers`` processes, half of them in each of two clones with homes of their own, want every entry of ``rounds``."""
    (tmp_path / "server").mkdir()
    with url_of(kind, tmp_path / "server") as url:
        monkeypatch.setenv(*((VARIABLE, url) if url else ("REGRAFT_STATE", str(tmp_path / "state"))))
        clones = [tmp_path / "one", tmp_path / "two"]
        for clone in clones:
            (clone / "home").mkdir(parents=True)
        start, processes = str(time.time() + 1.5), []
        for number in range(racers):
            clone = clones[number % 2]
            argv = [sys.executable, "-c", RACE, str(clone), str(number), str(rounds), start]
            environment = {**os.environ, "HOME": str(clone / "home")}
            processes.append(subprocess.Popen(argv, env=environment, cwd=clone, stdout=subprocess.PIPE, text=True))
        wins = [int(process.communicate(timeout=rounds * PATIENCE)[0]) for process in processes]
        assert sum(wins) == rounds
        entries = store_of(Workspace(tmp_path)).journal("demo").entries()  # raises if the chain is broken
        assert [entry.seq for entry in entries] == list(range(1, rounds + 1))
        assert sorted(entry.run for entry in entries) == sorted(str(i) for i, won in enumerate(wins) for _ in range(won))
        assert not list(tmp_path.glob("state/journal/demo/.*"))


@pytest.mark.parametrize(("kind", "racers", "rounds"), [("folder", 8, 20), ("sqlite", 4, 4), ("postgresql", 4, 4)])
def test_of_processes_that_race_for_an_entry_exactly_one_wins_each_round(tmp_path, monkeypatch, kind, racers, rounds):
    race(tmp_path, monkeypatch, kind, racers, rounds)


@pytest.mark.release("test_of_processes_that_race_for_an_entry_exactly_one_wins_each_round, with fewer")
@pytest.mark.parametrize("kind", KINDS)
def test_of_eight_processes_exactly_one_wins_each_of_a_thousand_rounds(tmp_path, monkeypatch, kind):
    race(tmp_path, monkeypatch, kind, 8, 1000)
