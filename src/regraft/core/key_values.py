"""What a store has to be able to do: keep bytes under names, and tell exactly one of those who race for a name that it won.

Everything that production rests on besides MLflow (journals, ledger, kept answers, last results, approvals) is written through
:class:`KeyValues`, so that another kind of store is one file (docs/extend/store.md). Keys are relative POSIX paths,
``journal/demo/00000001.json``: in a folder they are its files.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Lease(Protocol):
    """The right to change a pipeline's registry alone, for a while."""

    def require(self) -> None:
        """Raise ``Conflict`` where somebody else has it by now, because this process was away for too long."""


class KeyValues(Protocol):
    """Bytes under names. Creating one touches nothing; a store that cannot be reached is an ``EnvironmentFault`` that names it.

    What :meth:`put` and :meth:`create` have written survives a power cut when they return, and appears whole or not at all.
    """

    shared: bool
    """Whether other machines may write here, too."""

    def where(self, key: str = "") -> str:
        """The store, or what it keeps under ``key``, as people are told: without user and password."""

    def check(self) -> None:
        """``EnvironmentFault`` unless this store keeps what :class:`KeyValues` promises. May write, and removes what it wrote."""

    def get(self, key: str) -> bytes | None:
        """What is kept under ``key``; None: nothing."""

    def read(self, folder: str) -> dict[str, bytes]:
        """All that lies right below ``folder`` but for names with a leading dot: name -> bytes, by name."""

    def names(self, folder: str) -> list[str]:
        """What :meth:`get` knows below ``folder``, at any depth, without the folder; sorted."""

    def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` under ``key``, in place of what was there."""

    def create(self, key: str, value: bytes) -> bool:
        """Keep ``value`` under ``key`` if nothing is there; False: something is. Of any number of writers at once exactly one gets True."""

    def delete(self, key: str) -> None:
        """Keep nothing under ``key`` any more."""

    def file(self, key: str) -> Path | None:
        """A file that holds what is kept under ``key``, the store's own or a copy: read it only. None: nothing is kept there."""

    def lease(self, name: str, seconds: float) -> AbstractContextManager[Lease]:
        """Hold ``name`` alone, or raise ``Conflict`` after ``seconds``, naming who holds it. A holder that died loses it by itself."""
