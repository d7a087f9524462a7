"""What ``regraft dvc`` takes for the same code: processes of their own, which have not imported the steps before."""

from __future__ import annotations

import re
import subprocess
import sys

from regraft.core.workspace import Workspace
from regraft.execution import step_code


def test_a_new_version_is_accepted_by_regraft_dvc_and_changed_code_is_not(tiny):
    step_code.write(tiny, same_results=True)
    for name in ("tokens", "tfidf"):
        path = tiny.root / "tasks" / f"{name}.py"
        path.write_text(path.read_text() + "\nEXTRA = 1\n")
    path = tiny.root / "tasks" / "tfidf.py"
    path.write_text(re.sub(r"version=(\d+)", "version=99", path.read_text()))
    regraft = [sys.executable, "-m", "regraft", "dvc"]
    subprocess.run(regraft, check=True, capture_output=True)
    assert step_code_differing(tiny) == ["tokens"]
    subprocess.run([*regraft, "--same-results"], check=True, capture_output=True)
    assert step_code_differing(tiny) == []


def step_code_differing(workspace: Workspace) -> list[str]:
    code = "from regraft.execution import step_code as s; from regraft.core.workspace import Workspace as W; print(*s.differing(W.find()))"
    return subprocess.run([sys.executable, "-c", code], cwd=workspace.root, capture_output=True, text=True, check=True).stdout.split()
