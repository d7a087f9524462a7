"""A workspace made by an earlier version follows the library, as far as its owners left its files alone.

Files that nobody touched are brought to the installed template; files that both sides changed are named, with the
command that shows what the library's side changed to. Nothing is merged by guesswork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regraft import __version__
from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.upkeep import kept_defaults, renamed_steps, template


@dataclass(frozen=True)
class Upgrade:
    """What became of the files whose template moved on."""

    before: str
    """Version of the library that the workspace was in step with."""
    written: tuple[str, ...]
    removed: tuple[str, ...]
    """No longer part of the template."""
    left: tuple[template.Drift, ...]
    """Changed by both sides: their owners' to merge."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Folders of artifacts, (before, now): the steps that left them have other names."""
    kept: tuple[str, ...] = ()
    """Pipeline files that got a default of before as a key, because it means something else now."""
    keep: tuple[str, ...] = ()
    """Pipeline files whose owners have to write it."""


def upgrade(root: Path) -> Upgrade:
    """Bring the workspace ``root`` to the installed template. Run again after a kill, it goes on.

    :raises ConfigError: there is no stamp that says what the files were.
    """
    stamp = template.read_stamp(root)
    if stamp is None:
        raise ConfigError(
            f"{root} has no {template.STAMP}, so nobody knows which of its files are your own",
            fix=f"regraft init ../fresh && diff -ru ../fresh {root}",
        )
    current = template.template()
    moved = [item for item in template.drift(root) if item.by in ("library", "both")]
    ours = [item.path for item in moved if item.by == "library"]
    for path in ours:
        if path in current:
            files.write_bytes(root / path, current[path])
        else:
            (root / path).unlink(missing_ok=True)
    left = tuple(item for item in moved if item.by == "both")
    kept = {item.path: stamp.files[item.path] for item in left if item.path in stamp.files}
    kept_files, keep = kept_defaults.keep(Workspace(root), stamp.version)  # before the stamp: after a kill it is done again
    known = {path: sha for path, sha in template.stamped(current).items() if path not in {item.path for item in left}}
    template.write_stamp(root, {**known, **kept})
    written, removed = (tuple(path for path in ours if (path in current) is there) for there in (True, False))
    renamed = tuple(renamed_steps.rename(Workspace(root)))
    return Upgrade(stamp.version, written, removed, left, renamed, tuple(kept_files), tuple(keep))


def behind(root: Path) -> str | None:
    """In words, that the workspace's code is another version's than the library; None where it is not."""
    stamp = template.read_stamp(root)
    if stamp is None or stamp.version == __version__ or not any(item.by in ("library", "both") for item in template.drift(root)):
        return None
    return f"the workspace's code is that of regraft {stamp.version}, the library is {__version__}"


def merges(outcome: Upgrade) -> Iterator[str]:
    """The command that shows each file that is left."""
    for item in outcome.left:
        yield f"diff -u {item.path} {template.source() / item.path}"
