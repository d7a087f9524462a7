"""UTF-8 that was read in a western code page and written as UTF-8 once more: ``fÃ¼r`` for ``für``.

Such a text is valid, so no reader refuses it. It is told and never repaired: only people know whether a text means it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BYTES = {byte: byte for byte in range(0x80, 0x100)}
for _byte in range(0x80, 0x100):
    try:
        _BYTES[ord(bytes([_byte]).decode("cp1252"))] = _byte
    except UnicodeDecodeError:  # five bytes that the code page does not have
        continue
_RUN = re.compile(f"[{''.join(map(re.escape, map(chr, sorted(_BYTES))))}]{{2,}}")
_LIKELY = re.compile("[\u00a0-\u017f\u0370-\u04ff\u2010-\u2122]+")
"""What European languages write: letters with marks, Greek, Cyrillic, quotes and dashes, the signs for euro and trade mark."""
_EASTERN = re.compile("[\u3001-\u30ff\u4e00-\u9fff\uac00-\ud7a3]{2,}")
"""Two and more, as ``é`` with a blank that does not break and ``»`` behind it, common in French, has the bytes of one."""


def repaired(text: str) -> str | None:
    """``text`` as it was probably written; None: no sign that it was read in a wrong encoding."""
    if text.isascii():
        return None
    mended = _RUN.sub(_decoded, text)
    return mended if mended != text else None


def _decoded(run: re.Match[str]) -> str:
    try:
        meant = bytes(_BYTES[ord(sign)] for sign in run[0]).decode()
    except UnicodeDecodeError:
        return run[0]
    return meant if _LIKELY.fullmatch(meant) or _EASTERN.fullmatch(meant) else run[0]


@dataclass
class Misread:
    """Texts that look misread, counted as they come by."""

    count: int = 0
    example: str = ""

    def note(self, text: str, where: str = "") -> None:
        """Count ``text`` if it looks misread; the first one gives the example, ``where`` says in which row."""
        if (meant := repaired(text)) is None:
            return
        self.count += 1
        if not self.example:
            was, is_meant = next(pair for pair in zip(text.split(), meant.split(), strict=False) if pair[0] != pair[1])
            self.example = f"{was!r} for {is_meant!r}" + (f" ({where})" if where else "")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Misread:
        """Those of ``texts``."""
        misread = cls()
        for text in texts:
            misread.note(text)
        return misread

    @property
    def sentence(self) -> str | None:
        """For people; None: no text looks misread."""
        if not self.count:
            return None
        rows = f"{self.count:,} rows look" if self.count > 1 else "1 row looks"
        return f"{rows} as if read in a wrong encoding and saved so, such as {self.example}: open the original as UTF-8 and export it again"
