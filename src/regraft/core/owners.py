"""Whose a file is, and who this is: what a refusal for want of rights has to say."""

from __future__ import annotations

import os
import pwd
import shlex
from pathlib import Path


def name_of(uid: int) -> str:
    """A user's name, or ``uid 12345`` of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that is there and can be seen."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def told(path: Path) -> tuple[str, str]:
    """(whose ``path`` is and who this is, the command that gives it to this user)."""
    place, me = existing(path), os.geteuid()
    owner = place.lstat().st_uid
    if owner == me:
        return f"{place} is this user's own, without the right to write", f"chmod -R u+rwX {shlex.quote(str(place))}"
    return f"{place} belongs to {name_of(owner)}, and this is {name_of(me)}", f"sudo chown -R {me} {shlex.quote(str(place))}"
