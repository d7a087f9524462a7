"""How the bytes of a text file are opened, and which of them are not UTF-8."""

from __future__ import annotations

import gzip
import shlex
from pathlib import Path
from typing import BinaryIO, cast

from regraft.core.errors import Problem

GUESS_BYTES = 100_000
"""charset-normalizer takes about 0.1 s for this much; more does not improve the guess."""


def encoding_problem(path: Path, shown: str) -> Problem:
    """Where a file that failed to decode stops being UTF-8, what it probably is, and the command that converts it."""
    offset = 0
    with open_bytes(path) as handle:
        for row, line in enumerate(handle, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return _encoding_problem(path, shown, row, line, error.start, offset)
            offset += len(line)
    raise AssertionError(f"{shown} is UTF-8")


def _encoding_problem(path: Path, shown: str, row: int, line: bytes, start: int, offset: int) -> Problem:
    with open_bytes(path) as handle:
        handle.seek(max(0, offset + start - GUESS_BYTES // 2) if offset > GUESS_BYTES else 0)
        guess = _guess(handle.read(GUESS_BYTES))
    name = shlex.quote(shown)
    around = line[max(0, start - 12) : start + 12]
    reads = f", read as {guess} {around.decode(guess, 'replace').strip()!r}" if not guess.startswith("utf") else ""
    mend = f"iconv -f {guess} -t utf-8 {name} > utf8{path.suffix} && mv utf8{path.suffix} {name}"
    if packed(path):
        mend = f"gunzip -c {name} | iconv -f {guess} -t utf-8 | gzip > utf8.gz && mv utf8.gz {name}"
    return Problem(
        message=f"not UTF-8: byte {offset + start} is 0x{line[start]:02x} in {around!r}{reads}",
        file=shown,
        row=row,
        value=repr(around),
        rule="file.utf8",
        fix=mend,
    )


def _guess(data: bytes) -> str:
    """The probable encoding of ``data``, spelled as iconv does.

    charset-normalizer breaks ties by the alphabet, which turns French into cp1250; Windows' western code page is
    what spreadsheets write most.
    """
    from charset_normalizer import from_bytes

    guesses = from_bytes(data)
    if (best := guesses.best()) is None:
        return "cp1252"
    ties = [match for match in guesses if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    western = any("cp1252" in match.could_be_from_charset for match in ties)
    return "cp1252" if western else best.encoding.replace("_", "-")


def packed(path: Path) -> bool:
    """Whether the name promises gzip."""
    return path.suffix.lower() == ".gz"


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of ``path``, unpacked where its name says gzip."""
    return cast(BinaryIO, gzip.open(path, "rb")) if packed(path) else path.open("rb")
