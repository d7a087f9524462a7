"""What can be added in one file: looked up by name, imported only when it is asked for.

A registry of this library lists its own members as ``name -> "package.module:ATTRIBUTE"`` (without an attribute: the module
itself), so that naming them imports none. Those of other packages come in through entry points of the registry's group::

    [project.entry-points."regraft.kinds"]
    ensemble = "their_package.ensemble"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.suggest import unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Members of one sort by name: ours in the order in which they are listed, then the installed ones by the alphabet."""

    def __init__(self, group: str, member: str, ours: Mapping[str, str]) -> None:
        """
        :param group: the entry points that other packages add members by.
        :param member: what one member is called in messages: "kind of model".
        :param ours: name -> ``package.module:ATTRIBUTE``.
        """
        self.group, self.member, self.ours = group, member, dict(ours)

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Name -> where the member is defined; nothing is imported.

        :raises ConfigError: an installed package takes a name that is another's.
        """
        places, owners = dict(self.ours), dict.fromkeys(self.ours, "regraft")
        for point in sorted(_installed(tuple(sys.path)).select(group=self.group), key=lambda point: point.name):
            if point.name in places:
                raise ConfigError(
                    f"{_owner(point)} brings a {self.member} {point.name!r}, which is a name of {owners[point.name]}",
                    fix=f"pip uninstall {_owner(point)}",
                )
            places[point.name], owners[point.name] = point.value, _owner(point)
        return places

    @property
    def first(self) -> str:
        """The member of a file that names none."""
        return next(iter(self.ours))

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __getitem__(self, name: str) -> T:
        """The member called ``name``, imported.

        :raises ConfigError: there is none.
        :raises EnvironmentFault: it is there, and cannot be imported.
        """
        if name not in self.places:
            raise ConfigError(unknown(self.member, name, self.places))
        module, _, attribute = self.places[name].partition(":")
        try:
            loaded: Any = import_module(module)
            for part in filter(None, attribute.split(".")):
                loaded = getattr(loaded, part)
        except (ImportError, AttributeError) as error:
            raise EnvironmentFault(f"the {self.member} {name!r} ({self.places[name]}) cannot be imported: {error}") from error
        return cast(T, loaded)


@cache  # of all registries at once: 20 ms with 250 packages
def _installed(_path: tuple[str, ...]) -> Any:
    return entry_points()


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(".")[0]
