"""What git says of a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def git_state(root: Path) -> dict[str, Any]:
    """``{sha, dirty}`` of the workspace; sha is None without git. A changed dvc.lock is not dirt."""

    def git(*argv: str) -> str | None:
        try:
            completed = subprocess.run(["git", *argv], cwd=root, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return completed.stdout if completed.returncode == 0 else None

    sha = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock") if sha else None
    return {"sha": sha.strip() if sha else None, "dirty": bool(changes)}
