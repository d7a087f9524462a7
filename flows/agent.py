"""``python -m flows agent POOL``: a Prefect worker for the workspace that it is started in.

The worker's environment is its jobs': this workspace, and the interpreter's folder first on the path, so that the command of a
deployment finds the ``regraft`` of this environment and the clone that this agent was started in.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from flows import pools
from flows.lost_runs import HEARTBEAT_SECONDS
from regraft.steps.flow import Workspace, gpu_slots, shared_step


def main(pool: str, ranks: str = "1") -> None:
    """Become the worker; Ctrl-C ends it when its runs have written their checkpoints.

    :param ranks: processes that share each training, on GPUs one a GPU.
    """
    workspace = Workspace.find()
    pools.require_agents(pool)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["REGRAFT_WORKSPACE"] = str(workspace.root)
    # A run whose machine is gone is told by the heartbeats that stop: flows/lost_runs.py.
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT_SECONDS))
    os.environ[shared_step.VARIABLE] = ranks
    slots = str(max(1, len(gpu_slots.gpus(os.environ)) // int(ranks)))  # each run takes a GPU of its own, or as many as ranks: flows/job.py
    name = f"{socket.gethostname()} {workspace.root.name}"
    argv = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name, "--limit", slots]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for what it starts with `&`, and a worker ends itself by it
    os.execv(sys.executable, [sys.executable, *argv])
