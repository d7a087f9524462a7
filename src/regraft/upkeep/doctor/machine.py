"""Who runs this, from which home, by which clock: what differs between machines and is noticed late."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from regraft.core import owners
from regraft.core.errors import EnvironmentFault
from regraft.core.quantities import roughly
from regraft.core.workspace import Workspace
from regraft.registry.store import store_of
from regraft.upkeep.doctor.check import Check

PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
TAKEN = frozenset({"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_ANALYTICS_ENABLED"})
"""Variables of Prefect's that name a server of one's own, or are ours."""
MOST = 20_000
"""Files and folders whose owner is looked at."""
AHEAD = timedelta(minutes=5)
"""Clocks of machines that share a store differ by less."""


def home() -> Iterator[Check]:
    """The home folder, where libraries keep what they download; runs need none."""
    folder = Path(os.path.expanduser("~"))
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=owners.existing(folder)):  # root may write where nothing can be
        yield Check("home", "ok", f"{folder} can be written")
        return
    message = f"{folder} cannot be written: runs need no home, but what is downloaded from a hub is not kept"
    yield Check("home", "warn", message, "export HF_HOME=/a/writable/folder XDG_CACHE_HOME=/a/writable/folder")


def variables() -> Iterator[Check]:
    """What of this shell's variables runs take, and what they leave; names alone, as values may hold passwords."""
    proxies = sorted(name for name, value in os.environ.items() if name.lower() in PROXIES and value)
    prefect = sorted(name for name in os.environ if name.startswith("PREFECT_") and name not in TAKEN)
    said = [f"{', '.join(proxies)}: not for traffic to this machine itself"] if proxies else []
    if prefect and not os.environ.get("PREFECT_API_URL"):
        said.append(f"{', '.join(prefect)}: not taken, a run has a Prefect server of its own")
    if any(os.environ[name].lower().startswith("socks") for name in proxies) and find_spec("socksio") is None:
        message = f"{', '.join(proxies)}: a SOCKS proxy, for which the library is missing that downloads from a hub need"
        yield Check("variables", "warn", message, "pip install socksio")
        return
    yield Check("variables", "ok", "; ".join(said) or "no proxy, nothing of Prefect's")


def owner(workspace: Workspace) -> Iterator[Check]:
    """Whether this user may write all that a run writes, and leaves nothing that the workspace's owner may not."""
    of_root, me = workspace.root.stat().st_uid, os.geteuid()
    if me == 0 and of_root != 0:
        name = owners.name_of(of_root)
        message = f"{workspace.root} belongs to {name}, and this is root: what a run writes now, {name} cannot change"
        yield Check(
            "owner", "warn", message, f"sudo -u '#{of_root}' regraft ..., and sudo chown -R {of_root} {workspace.root} for what is there"
        )
        return
    denied = next((path for path in islice(_written(workspace), MOST) if not os.access(path, os.W_OK)), None)
    if denied is None:
        yield Check("owner", "ok", "this user may write what a run writes")
        return
    sentence, fix = owners.told(denied)
    yield Check("owner", "bad", sentence, fix)


def _written(workspace: Workspace) -> Iterator[Path]:
    """Folders that a run writes to, and the files in them that it writes again; objects of DVC's cache are read-only on purpose."""
    resolved = workspace.root / "pipelines" / "resolved"
    for top in (workspace.scratch, workspace.state, workspace.root / ".dvc", workspace.root / "artifacts", resolved):
        for folder, _, names in os.walk(top):
            yield Path(folder)
            if Path(folder).name in ("locks", "tmp", "journal", "resolved"):
                yield from (Path(folder, name) for name in names)


def clock(workspace: Workspace) -> Iterator[Check]:
    """The clock against the newest times of the journals: one that was set back makes what comes next look older."""
    now = datetime.now(UTC)
    newest = max(_times(workspace), default=now)
    if newest - now > AHEAD:
        ahead = roughly((newest - now).total_seconds())
        message = f"a journal has an entry {ahead} ahead of this clock, {now:%Y-%m-%d %H:%M} UTC: one of the two is wrong"
        yield Check("clock", "warn", message, "timedatectl; entries count in their order, ages and the days of waivers by this clock")
    else:
        yield Check("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


def _times(workspace: Workspace) -> Iterator[datetime]:
    store = store_of(workspace)
    for pipeline in store.journals():
        with contextlib.suppress(EnvironmentFault):  # the check `registry` says what is wrong with it
            yield from (datetime.fromisoformat(entry.at) for entry in store.journal(pipeline).entries())
