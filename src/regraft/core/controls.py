"""Control characters of texts that come of data: a terminal obeys them, so they are written out where such a text is shown."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def written_out(text: str, but: str = "") -> str:
    r"""``text`` with its control characters as ``\x1b``, but for those in ``but``."""
    return CONTROL.sub(lambda found: found[0] if found[0] in but else f"\\x{ord(found[0]):02x}", text)
