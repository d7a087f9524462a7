"""An agent's clone of a git repository, at the commit that was deployed.

One a pipeline, below the workspace that the agent was started in, and kept: what a run computed is still there for the next. Its
durable folder is the agent's own, and so are DVC's cache and what DVC knows of remotes on this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from regraft.core import lock
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats

WITHOUT_QUESTIONS = {"GIT_TERMINAL_PROMPT": "0"}
"""Nobody is there to type a password: git fails at once instead."""


@contextlib.contextmanager
def clone_of(agent: Workspace, pipeline: str, url: str, commit: str) -> Iterator[Workspace]:
    """The clone of ``url`` for ``pipeline`` at ``commit``, for this process alone; waits for another that has it.

    :raises EnvironmentFault: git or DVC cannot bring it, in their words.
    """
    folder = agent.scratch / "clones" / pipeline
    handle = lock.open_lock(folder.with_suffix(".lock"))
    try:
        lock.take(handle)
        _check_out(folder, url, commit)
        clone = Workspace(folder)
        _share_cache(agent, clone)
        if (folder / "data.dvc").is_file():
            dvc.ask(clone, "pull", "--quiet", "--force", "data.dvc")
        yield clone
    finally:
        os.close(handle)


def _check_out(folder: Path, url: str, commit: str) -> None:
    """Have the files of ``commit`` in ``folder``; what git does not know there, stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet")
    try:
        _git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    except EnvironmentFault:
        _git(folder, "fetch", "--quiet", url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    _git(folder, "checkout", "--quiet", "--force", "--detach", commit)


def _share_cache(agent: Workspace, clone: Workspace) -> None:
    own = agent.root / ".dvc" / "config.local"
    if own.is_file():
        shutil.copyfile(own, clone.root / ".dvc" / "config.local")
    dvc.ask(clone, "config", "--local", "cache.dir", str(dvc_formats.cache_folder(agent)))


def _git(folder: Path, *argv: str) -> None:
    environment = {**os.environ, **WITHOUT_QUESTIONS}
    done = subprocess.run(["git", *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"`git {' '.join(argv)}` failed in {folder}: {done.stderr.strip()[-500:] or f'exit {done.returncode}'}"
        raise EnvironmentFault(message, fix="git push what was deployed, and look whether this machine may fetch it")
