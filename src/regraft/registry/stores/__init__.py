"""The kinds of stores, one file each: what :class:`regraft.core.key_values.KeyValues` asks for. A plug-in names its scheme as an entry
point of ``regraft.stores`` (docs/extend/store.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from regraft.core.key_values import KeyValues
from regraft.core.registry import Registry

Open = Callable[[str, Path, Path], KeyValues]
"""(URL, root of the workspace, folder for copies) -> the store; ValueError says what is wrong with the URL. Touches nothing."""

STORES: Registry[Open] = Registry(
    "regraft.stores",
    "kind of store",
    {
        "postgresql": "regraft.registry.stores.sql:postgresql",
        "s3": "regraft.registry.stores.s3:open_bucket",
        "sqlite": "regraft.registry.stores.sql:sqlite",
    },
)
"""Scheme of a URL -> what opens the store that it names."""
