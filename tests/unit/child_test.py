from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest
from services import PATIENCE

STARTS_ONE = """
import sys
from regraft.core.child import tied

child = tied([sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"])
child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_is_tied_ends_with_its_parent_however_that_ends(number):
    """The pipe that both write to is closed once both are gone."""
    parent = subprocess.Popen([sys.executable, "-c", STARTS_ONE], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    os.kill(parent.pid, number)
    assert parent.wait() == -number
    assert select.select([parent.stdout], [], [], PATIENCE)[0], "the child holds it still"
    assert parent.stdout.read() == b""
