"""How the bytes of a text file are opened, and which of them are not UTF-8."""

from __future__ import annotations

import codecs
import gzip
import shlex
from collections.abc import Collection
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

MANY_LETTERS = 10_000
"""Different characters of a file, after which no more are looked for."""
NO_TEXT = bytes(byte for byte in range(0x20) if byte not in b"\t\n\v\f\r\x1a\x1b")
"""Control characters that texts do not hold; UTF-16 without a mark has NUL, and is told before."""
CONTROL_SHARE = 0.01
"""A larger share of them makes a file no text; random bytes have 10 %."""
WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜÝ‘’“”–—…€£°§«»•™\xa0".encode("cp1252"))  # noqa: RUF001


def encoding_problem(path: Path, shown: str, then: str = "") -> Problem:
    """Where a file that failed to decode is not UTF-8, what that probably is, and the command that converts it.

    Where other lines of the file hold UTF-8 beyond ASCII, the file is a mixture: then only the lines at fault are converted, as
    converting the whole would spoil the good ones.

    :param then: a command that the converted text goes through as well, because something else is wrong with it, too.
    """
    lines = _Lines.of(path)
    sample = lines.sample if lines.good else _around(path, lines.offset)
    if is_no_text(sample):
        message = f"it is no text: byte {lines.offset} is 0x{lines.first[lines.start]:02x}, and bytes that no text holds stand all over it"
        fix = f"file {shlex.quote(shown)} says what it is; export it as text in UTF-8"
        return Problem(message=message, file=shown, row=lines.bad[0], value=repr(lines.first[:12]), rule="file.text", fix=fix)
    guess = _guess(sample, lines.letters)
    mend = _mend_lines(guess) if lines.good else f"iconv -f {guess} -t utf-8"
    then = f" | {then}" if then else ""
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
        fix=f"gunzip -c {name} | {mend}{then} | gzip > utf8.gz && mv utf8.gz {name}"
        if packed(path)
        else f"{mend} {name}{then} > utf8{path.suffix} && mv utf8{path.suffix} {name}",
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
    letters: set[str] = field(default_factory=set)
    """Characters beyond ASCII of the lines that are."""

    @classmethod
    def of(cls, path: Path) -> _Lines:
        lines, read = cls(), 0
        with open_bytes(path) as handle:
            for row, line in enumerate(handle, start=1):
                lines.count = row
                try:
                    if not line.isascii():
                        text = line.decode()
                        lines.good += 1
                        lines.letters.update(text if len(lines.letters) < MANY_LETTERS else "")
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


def is_no_text(data: bytes) -> bool:
    """Whether ``data`` is a picture, an archive or the like: it is no UTF-16 and holds control characters that no text has."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    return len(data) >= 16 and len(data.translate(None, NO_TEXT)) < (1 - CONTROL_SHARE) * len(data)


def _guess(data: bytes, letters: Collection[str] = ()) -> str:
    """The probable encoding of ``data``, one of :data:`ENCODINGS`; ``letters`` beyond ASCII are those of the file's other lines.

    What makes letters of ``data`` that the other lines have is asked first: a detector takes a few words of Japanese for Korean.
    Windows' western code page is what spreadsheets write most, and a detector is misled by its few bytes beyond ASCII (French
    becomes Baltic): where these are few, and all of them letters and signs that western languages use, it is taken without asking.
    """
    from charset_normalizer import from_bytes

    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if alike := _like_the_others(data, letters):
        return SPELLING[alike]
    beyond = bytes(byte for byte in data if byte > 0x7F)
    plain = sum(chr(byte).isalpha() for byte in data if byte <= 0x7F)
    if 3 * len(beyond) < plain and WESTERN.issuperset(beyond) and b"\0" not in data:
        return "cp1252"
    best = from_bytes(data, cp_isolation=list(ENCODINGS)).best()
    return SPELLING.get(best.encoding, best.encoding) if best else "cp1252"


def _like_the_others(data: bytes, letters: Collection[str]) -> str | None:
    """The encoding in which most characters of ``data`` beyond ASCII are among ``letters``; None where none is, or the best ones differ."""
    known = {letter for letter in letters if letter.isalpha()}
    texts = {name: data.decode(name, "replace") for name in ("cp1252", *ENCODINGS)} if known else {}
    shares = {name: _share(text, known) for name, text in texts.items()}
    best = [name for name, share in shares.items() if share > 0.5 and share == max(shares.values())]
    return best[0] if len({texts[name] for name in best}) == 1 else None


def _share(text: str, known: Collection[str]) -> float:
    beyond = [sign for sign in text if sign > "\x7f"]
    return sum(sign in known for sign in beyond) / max(1, len(beyond))


def packed(path: Path) -> bool:
    """Whether the name promises gzip."""
    return path.suffix.lower() == ".gz"


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of ``path``, unpacked where its name says gzip."""
    return cast(BinaryIO, gzip.open(path, "rb")) if packed(path) else path.open("rb")
