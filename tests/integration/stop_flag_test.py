"""Signals that come one into the handler of another, or into the middle of a wait, leave a flag that is set and a process that goes on."""

from __future__ import annotations

import subprocess
import sys

from services import PATIENCE

STORM = """
import signal, time
from regraft.core.progress import STOP

heard = []
signal.signal(signal.SIGALRM, lambda *_: (heard.append(1), STOP.set()))
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
while len(heard) < 3000:
    STOP.wait(0.0002)
    STOP.set()
    STOP.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
STOP.set()
print(STOP.wait(60), STOP.is_set())
"""


def test_three_thousand_signals_into_a_waiting_process_end_it_in_no_lock():
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr[-500:]
