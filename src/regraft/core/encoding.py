"""How the bytes of a text file are opened, and which of them are not UTF-8."""

from __future__ import annotations

import codecs
import gzip
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from regraft.core.errors import Problem
from regraft.core.quantities import first_of

GUESS_BYTES = 100_000
"""charset-normalizer takes about 0.1 s for this much; more does not improve the guess."""


ENCODINGS = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp437", "cp850", "cp852", "cp866"),
    *("cp932", "cp949", "cp950", "gbk", "big5", "euc_jp", "euc_kr", "shift_jis", "koi8_r", "koi8_u", "utf_16", "utf_16_le", "utf_16_be"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "iso8859_13", "iso8859_15", "mac_cyrillic", "tis_620"),
)
"""What a guess is made among: what files are written in, of the names that iconv and Perl know too."""
SPELLING = {name: name.replace("_", "-").replace("iso8859", "iso-8859") for name in ENCODINGS} | {
    "shift_jis": "shift_jis", "utf_16_le": "utf-16le", "utf_16_be": "utf-16be",
}  # fmt: skip

WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜÝ‘’“”–—…€£°§«»•™\xa0".encode("cp1252"))  # noqa: RUF001


def encoding_problem(path: Path, shown: str) -> Problem:
    """Where a file that failed to decode is not UTF-8, what that probably is, and the command that converts it.

    Where other lines of the file hold UTF-8 beyond ASCII, the file is a mixture: then only the lines at fault are converted, as
    converting the whole would spoil the good ones.
    """
    lines = _Lines.of(path)
    guess = _guess(lines.sample if lines.good else _around(path, lines.offset))
    mend = _mend_lines(guess) if lines.good else f"iconv -f {guess} -t utf-8"
    name, around = shlex.quote(shown), lines.first[max(0, lines.start - 12) : lines.start + 12]
    reads = f", read as {guess} {around.decode(guess, 'replace').strip()!r}" if not guess.startswith("utf") else ""
    message = f"not UTF-8: byte {lines.offset} is 0x{lines.first[lines.start]:02x} in {around!r}{reads}"
    if lines.good:
        verb = "is" if len(lines.bad) == 1 else "are"
        message += f"; {len(lines.bad):,} of {lines.count:,} lines {verb} not UTF-8 ({first_of([f'line {row}' for row in lines.bad])})"
    return Problem(
        message=message,
        file=shown,
        row=lines.bad[0],
        value=repr(around),
        rule="file.utf8",
        fix=f"gunzip -c {name} | {mend} | gzip > utf8.gz && mv utf8.gz {name}"
        if packed(path)
        else f"{mend} {name} > utf8{path.suffix} && mv utf8{path.suffix} {name}",
    )


@dataclass
class _Lines:
    """The lines of a file that are UTF-8, and those that are not."""

    count: int = 0
    good: int = 0
    """Lines that hold UTF-8 beyond ASCII."""
    bad: list[int] = field(default_factory=list)
    """Numbers of the lines that are not UTF-8."""
    first: bytes = b""
    """The first of them."""
    start: int = 0
    """Where in it UTF-8 ends."""
    offset: int = 0
    """Where in the file."""
    sample: bytes = b""
    """Bytes of lines that are not UTF-8."""

    @classmethod
    def of(cls, path: Path) -> _Lines:
        lines, read = cls(), 0
        with open_bytes(path) as handle:
            for row, line in enumerate(handle, start=1):
                lines.count = row
                try:
                    lines.good += not line.isascii() and bool(line.decode())
                except UnicodeDecodeError as error:
                    if not lines.bad:
                        lines.first, lines.start, lines.offset = line, error.start, read + error.start
                    lines.bad.append(row)
                    if len(lines.sample) < GUESS_BYTES:
                        lines.sample += line[:GUESS_BYTES]
                read += len(line)
        return lines


def _around(path: Path, offset: int) -> bytes:
    with open_bytes(path) as handle:
        handle.seek(max(0, offset - GUESS_BYTES // 2) if offset > GUESS_BYTES else 0)
        return handle.read(GUESS_BYTES)


def _mend_lines(encoding: str) -> str:
    """A command that converts the lines that are not UTF-8 and leaves the others as they are."""
    return f"""perl -MEncode -pe 'Encode::from_to($_, "{encoding}", "utf8") unless utf8::decode(my $copy = $_)'"""


def _guess(data: bytes) -> str:
    """The probable encoding of ``data``, one of :data:`ENCODINGS`.

    Windows' western code page is what spreadsheets write most, and a detector is misled by its few bytes beyond ASCII (French becomes
    Baltic): where these are few, and all of them letters and signs that western languages use, it is taken without asking.
    """
    from charset_normalizer import from_bytes

    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    beyond = bytes(byte for byte in data if byte > 0x7F)
    letters = sum(chr(byte).isalpha() for byte in data if byte <= 0x7F)
    if 3 * len(beyond) < letters and WESTERN.issuperset(beyond) and b"\0" not in data:
        return "cp1252"
    best = from_bytes(data, cp_isolation=list(ENCODINGS)).best()
    return SPELLING.get(best.encoding, best.encoding) if best else "cp1252"


def packed(path: Path) -> bool:
    """Whether the name promises gzip."""
    return path.suffix.lower() == ".gz"


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of ``path``, unpacked where its name says gzip."""
    return cast(BinaryIO, gzip.open(path, "rb")) if packed(path) else path.open("rb")
