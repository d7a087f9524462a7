"""What git says of a workspace, whoever owns it and however it was cloned."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from regraft.core.git import git_state, ignored_by

ALWAYS = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]


def git(folder: Path, *argv: str) -> str:
    return subprocess.run([*ALWAYS, *argv], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = tmp_path / "origin"
    root.mkdir()
    git(root, "init", "-q")
    for text in ("dvc.tmp\n", "*.lock\n"):
        (root / ".gitignore").write_text(text)
        git(root, "add", "-A")
        git(root, "commit", "-qm", text.strip())
    return root


@pytest.mark.parametrize("how", ["shallow", "detached", "worktree", "submodule", "below the root"])
def test_the_commit_is_known_however_the_workspace_was_made(how, origin, tmp_path):
    sha, there = git(origin, "rev-parse", "HEAD"), tmp_path / "there"
    match how:
        case "shallow":
            git(tmp_path, "clone", "-q", "--depth", "1", origin.as_uri(), str(there))
        case "detached":
            git(tmp_path, "clone", "-q", str(origin), str(there))
            git(there, "checkout", "-q", "--detach")
        case "worktree":
            git(origin, "worktree", "add", "-q", "--detach", str(there))
        case "submodule":
            (outer := tmp_path / "outer").mkdir()
            git(outer, "init", "-q")
            git(outer, "submodule", "--quiet", "add", str(origin), "there")
            there = outer / "there"
        case "below the root":
            (there := origin / "below").mkdir()
    assert git_state(there) == {"sha": sha, "dirty": False}
    assert ignored_by(there, ["dvc.lock"]) == {"dvc.lock": ".gitignore:1: *.lock"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_workspace_of_another_user_has_a_commit_too(origin, monkeypatch):
    for path in (origin, *origin.rglob("*")):
        os.chown(path, 12345, 12345)
    for name in [name for name in os.environ if name.startswith(("GIT_", "SUDO_"))]:
        monkeypatch.delenv(name)
    for name in ("GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"):
        monkeypatch.setenv(name, os.devnull)  # machines of a CI often trust every folder: safe.directory=*
    plain = subprocess.run(["git", "rev-parse", "HEAD"], cwd=origin, capture_output=True, text=True)
    assert "dubious ownership" in plain.stderr
    assert git_state(origin)["sha"] is not None
