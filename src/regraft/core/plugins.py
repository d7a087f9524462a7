"""Plug-ins by name: what regraft brings, named by strings that are imported when somebody needs them, and what installed packages add.

A gate, a method, an objective, a model family, a task type and a model kind are one file each. Nothing else names them but one
line of their registry, ``name -> "module:ATTRIBUTE"``, so that a list of names costs no import. A package adds its own by an entry
point in the registry's group, such as ``regraft.methods``; it cannot replace what is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Generic, TypeVar, cast

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.suggest import unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The plug-ins of one kind."""

    kind: str
    """What one of them is called in a sentence, such as "method"."""
    group: str
    """The entry-point group in which packages offer theirs."""
    own: Mapping[str, str]
    """Name -> ``module:ATTRIBUTE`` of what regraft brings, in the order they are shown."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name there is, regraft's own first; nothing is imported for it."""
        return (*self.own, *sorted(self._installed))

    def __iter__(self) -> Iterator[T]:
        """Every plug-in, imported."""
        return (self[name] for name in self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> T:
        """The plug-in called ``name``, imported.

        :raises ConfigError: there is none.
        :raises EnvironmentFault: it is in a package that cannot be imported.
        """
        if name in self.own:
            module, _, attribute = self.own[name].partition(":")
            return cast(T, getattr(importlib.import_module(module), attribute))
        if (entry := self._installed.get(name)) is None:
            raise ConfigError(unknown(self.kind, name, self.names))
        try:
            return cast(T, entry.load())
        except Exception as fault:  # somebody else's code, which raises what it likes
            package = _package(entry)
            reason = f"{type(fault).__name__}: {fault}".splitlines()[0]
            message = f"the {self.kind} {name!r} of the package {package} cannot be imported ({entry.value}): {reason}"
            raise EnvironmentFault(message, fix=f"pip install --upgrade {package}") from fault

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        """Name -> entry point of what packages add.

        :raises EnvironmentFault: a name is taken: which of the two is meant must not depend on what is installed.
        """
        added: dict[str, EntryPoint] = {}
        for entry in _offered(self.group):
            taken = "regraft itself" if entry.name in self.own else _package(added[entry.name]) if entry.name in added else None
            if taken is not None:
                message = f"the package {_package(entry)} brings a {self.kind} {entry.name!r}, a name that {taken} has already"
                raise EnvironmentFault(message, fix=f"pip uninstall {_package(entry)}")
            added[entry.name] = entry
        return added


@cache  # 15 ms with 250 packages installed, so it is not asked before a name is needed that regraft does not have
def _offered(group: str) -> EntryPoints:
    return entry_points(group=group)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module
