"""What would stop a run, or spoil it, said before it starts.

A probe is a generator of :class:`Check`; all of them run at once in threads of their own, and what has not answered by
:data:`DEADLINE` (:data:`NETWORK` for those that ask somebody else) is reported as such. So the slowest store, not the sum of
all, decides how long ``regraft doctor`` takes, and without a network it is done in seconds. Nothing is downloaded, and nothing
changed but an alias that does not follow the journal (:mod:`regraft.upkeep.doctor.journal`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from regraft.core import limits
from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace
from regraft.upkeep.doctor import folder, installation, journal, machine, stores
from regraft.upkeep.doctor.check import Check

__all__ = ["Check", "examine"]

DEADLINE = 120.0
"""Seconds for probes of this machine: they end by themselves, and a busy one needs 15 times what a quiet one does."""

NETWORK = {"prefect server": 20.0, "s3 endpoint": 20.0, "store": 30.0, "tracking": 20.0, "dvc remotes": 20.0}
"""Seconds for probes that ask somebody else; a name server that does not answer can hold ``getaddrinfo`` for longer than that."""

Probe = Callable[[], Iterator[Check]]


def examine(workspace: Workspace | None) -> list[Check]:
    """Every check, in a fixed order; without a workspace those of the installation and the environment."""
    probes: dict[str, Probe] = {
        "python": installation.python,
        "libraries": installation.libraries,
        "telemetry": installation.telemetry,
        "home": machine.home,
        "variables": machine.variables,
        "prefect server": stores.prefect,
        "s3 endpoint": stores.s3_endpoint,
    }
    if workspace is None:
        probes["workspace"] = _no_workspace
    else:
        present = workspace
        probes |= {
            "tracking": lambda: stores.tracking(present),
            "store": lambda: stores.store(present),
            "dvc remotes": lambda: stores.remotes(present),
            "secrets": lambda: stores.secrets(present),
            "state": lambda: folder.state(present),
            "pipelines": lambda: folder.pipelines(present),
            "data.dvc": lambda: folder.data(present),
            "digests": lambda: folder.digests(present),
            "registry": lambda: journal.registry(present),
            "models": lambda: journal.models(present),
            "tokens": lambda: journal.tokens(present),
            "template": lambda: folder.template(present),
            "git": lambda: folder.kept_by_git(present),
            "imports": lambda: folder.imports(present),
            "owner": lambda: machine.owner(present),
            "clock": lambda: machine.clock(present),
            "leftovers": lambda: folder.leftovers(present),
        }
    with _offline_hub():
        return at_once(probes, DEADLINE)


def at_once(probes: Mapping[str, Probe], deadline: float) -> list[Check]:
    """Run ``probes`` in daemon threads: one that hangs holds up neither the report nor the end of the process."""
    checks: dict[str, list[Check]] = {}

    def work(name: str, probe: Probe) -> None:
        try:
            checks[name] = list(probe())
        except RegraftError as error:
            checks[name] = [Check(name, "bad", str(error), error.fix)]
        except Exception as error:  # a doctor who dies of the illness helps nobody
            known = limits.explain(error, "could not be examined", Path.cwd())
            what = str(known or f"could not be examined: {type(error).__name__}: {error}")
            checks[name] = [Check(name, "bad", what, known.fix if known else None)]

    threads = [threading.Thread(target=work, args=item, name=f"doctor {item[0]}", daemon=True) for item in probes.items()]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    seconds = {name: NETWORK.get(name, deadline) for name in probes}
    for name, thread in zip(probes, threads, strict=True):
        thread.join(max(0.0, began + seconds[name] - time.monotonic()))
    return [check for name in probes for check in checks.get(name, [Check(name, "bad", f"no answer within {seconds[name]:g} s")])]


def _no_workspace() -> Iterator[Check]:
    yield Check("workspace", "warn", f"{Path.cwd()} is not inside one; only the installation was examined", "regraft init my-workspace")


@contextlib.contextmanager
def _offline_hub() -> Iterator[None]:
    """Looking for a hub model must not download it."""
    former = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if former is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = former
