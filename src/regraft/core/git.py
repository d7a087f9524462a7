"""What git says of a folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regraft.core.errors import EnvironmentFault

TRUSTING = ("-c", "safe.directory=*")
"""Git says nothing of a folder that belongs to another user, and a record would be without its commit, in silence. What git would guard
against there is programs named in the folder's configuration; whoever runs a workspace runs its Python anyway."""


def installed() -> bool:
    """Whether there is a git to ask."""
    return shutil.which("git") is not None


def init(root: Path) -> None:
    """Make ``root`` a repository, with nothing committed. EnvironmentFault where git will not."""
    done = subprocess.run(["git", "init", "-q", str(root)], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise EnvironmentFault(f"git init failed: {done.stderr.strip()}", fix=f"git init {root}")


def git_state(root: Path) -> dict[str, Any]:
    """``{sha, dirty}`` of the workspace; sha is None without git. A changed dvc.lock is not dirt."""
    sha = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock") if sha else None
    return {"sha": sha.strip() if sha else None, "dirty": bool(changes)}


def pushed(root: Path, sha: str) -> bool | None:
    """Whether a remote's branch holds commit ``sha``, as far as this clone knows; None: it knows no remote."""
    if not _git(root, "remote"):
        return None
    return bool((_git(root, "branch", "--remotes", "--contains", sha) or "").strip())


def tracked(root: Path, name: str) -> bool:
    """Whether git knows the file ``name``."""
    return bool(_git(root, "ls-files", "--", name))


def ignored_by(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Those of the files ``names`` that git ignores -> the rule, as ``.gitignore:3: *.lock``; empty without git."""
    rules = {}
    for line in (_git(root, "check-ignore", "-v", *names) or "").splitlines():
        rule, _, name = line.partition("\t")
        file, number, pattern = rule.split(":", 2)
        if not pattern.startswith("!"):
            rules[name] = f"{file}:{number}: {pattern}"
    return rules


def _git(root: Path, *argv: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    try:
        completed = subprocess.run(["git", *TRUSTING, *argv], cwd=root, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout if completed.returncode == 0 else None
