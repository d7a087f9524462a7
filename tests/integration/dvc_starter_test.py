"""A DVC that the starter forks says and returns what one that imports for itself does, also after the starter is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every DVC imports for itself")
STAGES = {
    "stages": {
        "says": {"cmd": 'echo "$REGRAFT_SAYS" and $(pwd) && echo twice >&2', "always_changed": True},
        "fails": {"cmd": "exit 3"},
        "dies": {"cmd": "kill -9 $$"},
    }
}
RUNS = """
import json, os, signal, sys
from pathlib import Path
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_starter, supervise

def all_of_them():
    Path("dvc.lock").unlink(missing_ok=True)
    for number, target in enumerate(("says", "fails", "dies", "gone")):
        env = {**dvc.environment(), "PYTHONUNBUFFERED": "1", "REGRAFT_SAYS": f"word {number}"}
        argv = supervise.module("dvc", "repro", "--single-item", target)
        lines = []
        child = supervise.spawn(argv, cwd=Path.cwd(), env=env, log=sys.stderr.fileno(), begin=dvc_starter.begin())
        forked = isinstance(child.process, dvc_starter._Adopted)
        yield forked, child.finish(lines.append), lines

said = [list(all_of_them())]
dvc_starter.start(Workspace(Path.cwd()), dvc.environment())
(starter,) = supervise._children
said.append(list(all_of_them()))
os.kill(starter.process.pid, signal.SIGKILL)
starter.process.wait()
said.append(list(all_of_them()))
print(json.dumps(said))
"""


def test_a_dvc_that_is_forked_is_the_one_that_would_have_been_started(tmp_path: Path):
    for folder in (".dvc", "pipelines"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(json.dumps(STAGES))
    done = subprocess.run([sys.executable, "-c", RUNS], cwd=tmp_path, capture_output=True, text=True, check=True)
    alone, forked, without = json.loads(done.stdout)
    assert [was for was, _, _ in forked] == [True] * 4
    assert not any(was for was, _, _ in [*alone, *without])
    assert [ended[1:] for ended in forked] == [ended[1:] for ended in alone] == [ended[1:] for ended in without]
    (_, code, lines), (_, failed, complaints), *_ = forked
    assert (code, failed) == (0, 255)
    assert f"word 0 and {tmp_path}" in lines
    assert any(line.startswith("ERROR: failed to reproduce 'fails'") for line in complaints)
    assert done.stderr.count("regraft: from here on DVC imports for itself: ") == 1
    assert done.stderr.count("twice") == 3
