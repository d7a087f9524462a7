"""The journal under processes that all want to write its next entry."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from workbench import PATIENCE

from regraft.registry.journal import FileJournal

RACE = """
import sys, time
from pathlib import Path
from regraft.core.errors import Conflict
from regraft.registry.journal import FileJournal

journal, me, rounds, start = FileJournal(Path(sys.argv[1]), "demo"), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
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


def test_of_eight_racing_processes_exactly_one_wins_each_round(tmp_path):
    rounds, start = 20, str(time.time() + 1.5)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path), str(i), str(rounds), start], stdout=subprocess.PIPE, text=True)
        for i in range(8)
    ]
    wins = [int(racer.communicate(timeout=PATIENCE)[0]) for racer in racers]
    assert sum(wins) == rounds
    entries = FileJournal(tmp_path, "demo").entries()  # raises if the chain is broken
    assert [entry.seq for entry in entries] == list(range(1, rounds + 1))
    assert sorted(entry.run for entry in entries) == sorted(str(i) for i, won in enumerate(wins) for _ in range(won))
    assert not [name for name in os.listdir(tmp_path / "journal" / "demo") if name.startswith(".")]
