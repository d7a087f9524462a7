"""A pipeline file is read once a command, however many parts of the command ask for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from regraft.config.pipeline_file import load_pipeline
from regraft.core import files
from regraft.core.workspace import Workspace

COUNTING = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
from regraft.cli import main
try:
    main()
finally:
    print("opened", sum(str(path).endswith("pipelines/tiny.yaml") for path in opened), file=sys.stderr)
"""


@pytest.mark.parametrize("verb", [["plan", "tiny"], ["status"], ["dvc", "--check"]])
def test_a_command_opens_the_pipeline_file_once(tiny: Workspace, verb: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", COUNTING, *verb], cwd=tiny.root, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "opened 1"


def test_a_file_that_changed_is_read_again(tiny: Workspace) -> None:
    path = tiny.pipeline_file("tiny")
    before = path.stat()
    assert load_pipeline(tiny, "tiny", ["seed=3"]).seed == 3
    assert load_pipeline(tiny, "tiny").seed != 3, "what --set changed stayed"
    files.write_text(path, path.read_text().replace("version: 1", "version: 1\nseed: 7"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_pipeline(tiny, "tiny").seed == 7
