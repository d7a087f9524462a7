"""Leases in a store that several machines share: a record with a fencing token that only one of them can replace.

The holder renews its record every few seconds; one that has not changed for :data:`EXPIRY_SECONDS` by the clock of whoever waits
belongs to nobody any more. No two machines' clocks are compared. Each new holder has a higher token, so one that was away (a
frozen machine, a lost network) finds out before it changes anything: :meth:`Held.require`. A holder of this very machine whose
process is gone is not waited for.

What makes a promotion safe is the append to the journal; a lease spares the others the work, and keeps MLflow's aliases, which
know no compare-and-swap, to one writer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from regraft.core import files
from regraft.core.errors import Conflict, RegraftError
from regraft.registry.journal import whoami

SCHEMA = 1
EXPIRY_SECONDS = 20.0
RENEWAL_SECONDS = 5.0
RELEASE_SECONDS = 10.0
"""For a renewal that is under way when the block ends."""
POLL_SECONDS = 0.1
Record = dict[str, Any]


class Swapping(Protocol):
    """What a lease needs of a store."""

    def where(self, key: str = "") -> str: ...
    def get(self, key: str) -> bytes | None: ...
    def create(self, key: str, value: bytes) -> bool: ...

    def swap(self, key: str, old: bytes, new: bytes) -> bool:
        """Keep ``new`` under ``key`` if ``old`` is there; False: something else is. Of writers at once exactly one gets True."""


class Held:
    """A lease under its token."""

    def __init__(self, values: Swapping, key: str, record: Record) -> None:
        self._values, self._key, self._lock = values, key, threading.Lock()
        self.token = int(record["token"])
        self._raw = _bytes(record)

    def require(self) -> None:
        raw = self._values.get(self._key)
        record = _record(raw)
        if record is None or record["token"] != self.token:
            by = f" by {record['holder']['name']}" if record and record.get("holder") else ""
            message = f"{self._values.where(self._key)} was taken over{by}: this process was away for more than {EXPIRY_SECONDS:.0f} s"
            raise Conflict(message)

    def renew(self) -> None:
        """Show a sign of life; nothing where the lease is lost."""
        with self._lock:
            record = _record(self._raw)
            assert record is not None
            renewed = _bytes({**record, "beat": record["beat"] + 1})
            if self._values.swap(self._key, self._raw, renewed):
                self._raw = renewed

    def release(self) -> None:
        with self._lock:
            record = _record(self._raw)
            assert record is not None
            self._values.swap(self._key, self._raw, _bytes({**record, "holder": None}))


@contextlib.contextmanager
def held(values: Swapping, name: str, seconds: float) -> Iterator[Held]:
    """Hold the lease ``name``, renewed until the block ends."""
    lease = _take(values, f"leases/{name}.json", name, seconds)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWAL_SECONDS):
            with contextlib.suppress(RegraftError):  # a store that is away for a moment; `require` tells whether it was too long
                lease.renew()

    renewing = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        over.set()
        renewing.join(RELEASE_SECONDS)
        if not renewing.is_alive():  # else the store is silent, and so would it be now: the lease expires
            with contextlib.suppress(RegraftError):
                lease.release()


def _take(values: Swapping, key: str, name: str, seconds: float) -> Held:
    """The lease ``name``, once nobody has it."""
    began = unchanged_since = time.monotonic()
    seen: bytes | None = None
    while True:
        raw = values.get(key)
        if raw != seen:
            seen, unchanged_since = raw, time.monotonic()
        record = _record(raw)
        holder = record.get("holder") if record else None
        if holder is None or _is_dead(holder) or time.monotonic() - unchanged_since > EXPIRY_SECONDS:
            mine = {"schema": SCHEMA, "token": int(record["token"]) + 1 if record else 1, "beat": 0, "holder": _me()}
            if values.create(key, _bytes(mine)) if raw is None else values.swap(key, raw, _bytes(mine)):
                return Held(values, key, mine)
        if time.monotonic() - began > seconds:
            by = f"held by {holder['name']}" if holder else "taken by others, one after the other,"
            message = f"the registry of '{name}' has been {by} for more than {seconds:.0f} s"
            raise Conflict(message, fix=f"look at that process; its lease is {values.where(key)}")
        time.sleep(POLL_SECONDS)


def _record(raw: bytes | None) -> Record | None:
    """None where there is none that can be read: it is replaced."""
    with contextlib.suppress(ValueError, TypeError):
        record = json.loads(raw) if raw is not None else None
        if isinstance(record, dict) and isinstance(record.get("token"), int):
            return record
    return None


def _bytes(record: Record) -> bytes:
    return (files.canonical(record) + "\n").encode()


def _place() -> str:
    """This machine since it was switched on, and this container in it; empty where that is not told."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf8').strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _began(pid: int) -> str | None:
    """The clock ticks at which a process of this machine began: ids are used again, these are not. None: it is gone."""
    with contextlib.suppress(OSError, IndexError):
        state, *_ = fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf8").rpartition(")")[2].split()
        return fields[19] if state not in "ZX" else None  # a zombie waits for its parent alone
    return None


def _me() -> Record:
    pid = os.getpid()
    return {"name": f"{whoami()}, process {pid} on {socket.gethostname()}", "place": _place(), "pid": pid, "began": _began(pid)}


def _is_dead(holder: Record) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if not holder.get("place") or holder["place"] != _place() or holder.get("began") is None:
        return False
    return bool(_began(int(holder["pid"])) != holder["began"])
