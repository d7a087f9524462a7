"""What may be told of a URL: no user, no password, no options, of which some are keys."""

from __future__ import annotations

import re

_USER, _OPTIONS = re.compile(r"//[^/\s]*@"), re.compile(r"(\w://[^\s?]*)\?\S*")


def redacted(text: str) -> str:
    """``text`` with its URLs without users and passwords, in which an `@` may stand, and without what follows a `?`."""
    return _OPTIONS.sub(r"\1", _USER.sub("//", text))
