"""An agent's clone of a git repository, at the commit that was deployed.

One a pipeline, below the workspace that the agent was started in, and kept: what a run computed is still there for the next. Its
durable folder is the agent's own, and so are DVC's cache and what DVC knows of remotes on this machine.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from regraft.core import lock
from regraft.core.child import end_with_parent
from regraft.core.errors import EnvironmentFault
from regraft.core.redacted import redacted
from regraft.core.workspace import Workspace
from regraft.execution import dvc, dvc_formats, handover

FOLDER = "clones"
"""Below ``.regraft/`` of the agent's own workspace; beside each clone lies its lock."""
LOOK_SECONDS = 1.0
FETCH_SECONDS = 3600.0
"""For one command of git: a repository may be large, and one that hangs holds the agent for ever."""
SSH_OPTIONS = "-oBatchMode=yes -oConnectTimeout=30"
"""Nobody is there to type a password or to say yes to a host: ssh fails at once instead."""


@contextlib.contextmanager
def clone_of(agent: Workspace, pipeline: str, url: str, commit: str, tell: Callable[[str], None] = lambda _: None) -> Iterator[Workspace]:
    """The clone of ``url`` for ``pipeline`` at ``commit``, for this process and its children alone; waits for another that has it.

    :param tell: is told whom this waits for, and what it does.
    :raises EnvironmentFault: git or DVC cannot bring it, in their words.
    """
    folder = agent.scratch / FOLDER / pipeline
    handle = lock.open_lock(lock_of(folder))
    try:
        while not lock.try_take(handle):
            tell(f"waits for the clone {agent.relative(folder)}, which process {lock.holder(handle) or 'unknown'} holds")
            time.sleep(LOOK_SECONDS)
        lock.sign(handle)
        lock.hand_on(handle)
        tell(f"fetches commit {commit[:12]} into {agent.relative(folder)}")
        _check_out(folder, url, commit)
        clone = Workspace(folder)
        dvc.ensure_repository(clone)
        _share_cache(agent, clone)
        if (folder / "data.dvc").is_file():
            handover.transfer(clone, "pull", ["data.dvc"])
        yield clone
    finally:
        os.close(handle)


def lock_of(folder: Path) -> Path:
    """The lock that whoever is at work in the clone ``folder`` holds."""
    return folder.with_suffix(".lock")


def clones(agent: Workspace) -> list[Workspace]:
    """Every clone that agents have made in the workspace ``agent``."""
    return [Workspace(path) for path in sorted((agent.scratch / FOLDER).glob("*")) if path.is_dir()]


def pipeline_of(clone: Workspace) -> str:
    """The pipeline that a clone is for; that for its GPU steps has a suffix."""
    return clone.root.name.partition("-")[0]


def _check_out(folder: Path, url: str, commit: str) -> None:
    """Have the files of ``commit`` in ``folder``; what git does not know there, stays.

    Where they are there already, nothing is touched: dvc.lock holds what the runs of before computed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet")
    if _head(folder) == commit:
        return
    try:
        _git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    except EnvironmentFault:
        _git(folder, "fetch", "--quiet", url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    _git(folder, "checkout", "--quiet", "--force", "--detach", commit)


def _share_cache(agent: Workspace, clone: Workspace) -> None:
    own = agent.root / ".dvc" / "config.local"
    if own.is_file():
        shutil.copy(own, clone.root / ".dvc" / "config.local")
    dvc.ask(clone, "config", "--local", "cache.dir", str(dvc_formats.cache_folder(agent)))


def _head(folder: Path) -> str | None:
    """The commit that is checked out; None: none yet."""
    with contextlib.suppress(EnvironmentFault):
        return _git(folder, "rev-parse", "--verify", "HEAD").strip()
    return None


def _git(folder: Path, *argv: str) -> str:
    """What git prints; EnvironmentFault where it fails, or takes longer than :data:`FETCH_SECONDS`."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": f"{_ssh(folder)} {SSH_OPTIONS}"}
    # In a group of its own: of a git that hangs, its ssh hangs, which would hold the pipes.
    process = subprocess.Popen(
        ["git", *argv],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),
    )
    try:
        out, complaint = process.communicate(timeout=FETCH_SECONDS)
        reason = complaint.strip()[-500:] or f"exit {process.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"it took longer than {FETCH_SECONDS:.0f} s"
        _kill(process)
    except BaseException:
        _kill(process)
        raise
    if process.returncode:
        message = redacted(f"`git {' '.join(argv)}` failed in {folder}: {reason}")
        raise EnvironmentFault(message, fix="git push what was deployed, and look whether this machine may fetch it")
    return out


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _ssh(folder: Path) -> str:
    """The user's own command for ssh, found where git looks for it and in that order, or plain ``ssh``."""
    if own := os.environ.get("GIT_SSH_COMMAND"):
        return own
    asked = subprocess.run(["git", "config", "core.sshCommand"], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip() or shlex.quote(os.environ.get("GIT_SSH") or "ssh")
