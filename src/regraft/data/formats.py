"""The formats people hand data in as: what a file's name promises, how it is opened, and what is wrong with it as a whole.

A name decides, never a guess at the content; but where the first bytes show that the name is wrong, the message says
what the file is. ``.gz`` may follow every text format; Parquet is compressed inside.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import shlex
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from regraft.core.encoding import open_bytes, packed
from regraft.core.errors import Problem
from regraft.data.headers import COMMAS

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
"""What rows are read from."""
TEXTS = (".txt", *TABLES)
"""What documents are read from."""

HINTS = {
    ".json": "write one object a line and call it .jsonl: jq -c '.[]' {name} > {stem}.jsonl",
    ".ndjson": "call it .jsonl: mv {name} {stem}.jsonl",
    ".tab": "call it .tsv: mv {name} {stem}.tsv",
    ".pq": "call it .parquet: mv {name} {stem}.parquet",
    ".parq": "call it .parquet: mv {name} {stem}.parquet",
    ".parquet.gz": "Parquet is compressed inside: gunzip {name}",
    ".xlsx": "save it as CSV UTF-8 in the spreadsheet",
    ".xls": "save it as CSV UTF-8 in the spreadsheet",
    ".ods": "save it as CSV UTF-8 in the spreadsheet",
    ".arrow": "write it as .parquet: pyarrow.parquet.write_table",
    ".feather": "write it as .parquet: pyarrow.parquet.write_table",
    ".zip": "unpack it: unzip {name}",
    ".bz2": "only .gz is read as it is: bunzip2 {name}",
    ".xz": "only .gz is read as it is: unxz {name}",
    ".zst": "only .gz is read as it is: unzstd {name}",
    ".pdf": "extract its text into a .txt file, a blank line between documents: pdftotext {name}",
    ".html": "extract its text into a .txt file, a blank line between documents",
}
"""What to do with a file that regraft does not read, by the end of its name."""

FASTTEXT = "__label__"
OF_FASTTEXT = (
    "its lines begin with __label__, as fastText has them; settle on one label where a line has several, and make a table of it: "
    r"""(echo label,text; sed -E 's/"/""/g; s/^__label__([^ ]+) +(.*)$/\1,"\2"/' {name}) > {stem}.csv"""
)

MAGIC = {
    b"\x1f\x8b": ("gzip", "name it so: mv {name} {name}.gz"),
    b"PAR1": ("Parquet", "name it so: mv {name} {stem}.parquet"),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "unpack it, or save it as CSV UTF-8 in the spreadsheet"),
    b"BZh": ("bzip2", "only .gz is read as it is: bunzip2 -c {name} > {stem}"),
    b"\x28\xb5\x2f\xfd": ("zstandard", "only .gz is read as it is: unzstd -c {name} > {stem}"),
    b"\xfd7zXZ": ("xz", "only .gz is read as it is: unxz -c {name} > {stem}"),
    b"version https://git-lfs": ("a Git LFS pointer, not the data", "git lfs pull"),
}
"""First bytes -> what the file is, and the way on."""


def suffix_of(path: Path) -> str:
    """``.csv`` of ``a.csv``, ``A.CSV`` and ``a.csv.gz``; ``.parquet.gz``, which nothing reads, stays whole."""
    parts = [part.lower() for part in path.suffixes]
    if parts[-1:] == [".gz"] and parts[-2:-1] != [".parquet"]:
        parts = parts[:-1]
    return "".join(parts[-2:]) if parts[-1:] == [".gz"] else (parts or [""])[-1]


def known(suffixes: tuple[str, ...]) -> str:
    """``suffixes`` in words."""
    whole = [suffix for suffix in suffixes if suffix in (".parquet", ".xlsx", ".zip")]
    texts = [suffix for suffix in suffixes if suffix not in whole]
    return f"{', '.join(texts)} (each also as .gz)" + (" and " if whole else "") + ", ".join(whole)


def hint(path: Path, shown: str, beside: Sequence[str] = ()) -> str:
    """What to do with a file of a format that is not read; with all ``beside`` it that are named alike at once, where it is a command."""
    advice = _hint(path)
    words, colon, command = advice.partition(": ")
    if beside and colon and "{name}" in command:
        ends = suffix_of(path) and path.name[-len(suffix_of(path)) :]
        begin = "" if ends else os.path.commonprefix([path.name, *beside])  # noqa: RUF071
        if ends or begin:
            every = f"{shlex.quote(shown[: -len(path.name)] + begin)}*{ends}"
            done = command.format(name='"$f"', stem=f'"${{f%{ends}}}"')
            return f"{words}: for f in {every}; do {done}; done"
    return _filled(advice, path, shown)


def _hint(path: Path) -> str:
    name = path.name.lower()
    if name.endswith((".txt", ".train", ".test", ".valid")) and _begins_with(path, FASTTEXT.encode()):
        return OF_FASTTEXT
    if name.endswith(".json") and _begins_with(path, b"{"):  # one object, or JSON lines, as Spark writes them
        return "if it holds one object a line call it .jsonl: mv {name} {stem}.jsonl"
    if not path.suffix and (kind := _looks_like(path)):  # as Hadoop names its parts
        return f"call it {kind}: mv {{name}} {{name}}{kind}"
    advice = (text for end, text in sorted(HINTS.items(), key=lambda item: -len(item[0])) if name.endswith(end))
    return next(advice, "convert it or move it away")


def _begins_with(path: Path, sign: bytes) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(sign)
    except OSError:
        return False


def _looks_like(path: Path) -> str | None:
    """The suffix that the first line of a file without one would have; None: its first line does not show."""
    try:
        with path.open("rb") as handle:
            first = handle.readline(4096)
    except OSError:
        return None
    if first.startswith(b"PAR1"):
        return ".parquet"
    if first.startswith(b"{"):
        return ".jsonl"
    return ".tsv" if b"\t" in first else ".csv" if b"," in first else None


def _filled(text: str, path: Path, shown: str) -> str:
    stem = shown[: -len(path.suffix)] if path.suffix else shown
    return text.format(name=shlex.quote(shown), stem=shlex.quote(stem))


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """The text of ``path``, which has to be UTF-8; a byte-order mark does not count."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)


@contextlib.contextmanager
def faults_of_file(path: Path, shown: str, problems: list[Problem]) -> Iterator[None]:
    """What makes a text file unreadable from some place on goes to ``problems``, with that place."""
    from regraft.core.encoding import encoding_problem

    try:
        yield
    except UnicodeDecodeError:
        problems.append(encoding_problem(path, shown, _commas(path)))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problems.append(gzip_problem(path, shown, error))
    except OSError as error:
        problems.append(unreadable(shown, error))


def _commas(path: Path) -> str:
    """What puts commas into a .csv file of a spreadsheet that writes semicolons, as where commas are decimal; empty: none is needed."""
    if suffix_of(path) != ".csv":
        return ""
    with open_bytes(path) as handle:
        first = handle.readline(4096)
    return COMMAS.format(other=";") if b";" in first and b"," not in first else ""


def unreadable(shown: str, error: OSError) -> Problem:
    """A file that cannot be opened, or a disk that fails under it."""
    why = error.strerror or str(error)
    return Problem(message=f"cannot be read: {why}", file=shown, rule="file.readable", fix=f"ls -l {shlex.quote(shown)}")


def whole_problem(path: Path, shown: str) -> Problem | None:
    """A file without a single character (a byte-order mark does not count), or one that is not what its name says; None: neither."""
    with path.open("rb") as handle:
        first = handle.read(64)
    if actual := next((kind_and_fix for magic, kind_and_fix in MAGIC.items() if first.startswith(magic)), None):
        expected = ("gzip",) if packed(path) else ("Parquet",) if suffix_of(path) == ".parquet" else ()
        if actual[0] not in expected:
            promised = suffix_of(path) if not packed(path) else ".gz"
            message = f"the name promises {promised}, but the file is {actual[0]}"
            return Problem(message=message, file=shown, rule="file.type", fix=_filled(actual[1], path, shown))
    if suffix_of(path) == ".parquet" and first:
        return None  # its own reader says more
    if wide := _wide(path):
        message = f"it is UTF-16 without a byte-order mark ({wide})"
        fix = f"iconv -f {wide} -t utf-8 {shlex.quote(shown)} > utf8{path.suffix} && mv utf8{path.suffix} {shlex.quote(shown)}"
        return Problem(message=message, file=shown, row=1, rule="file.utf8", fix=fix)
    with open_bytes(path) as unpacked:
        beginning = unpacked.read(64).removeprefix(b"\xef\xbb\xbf").strip()
        if beginning or unpacked.read(1):
            return _other_text(beginning, path, shown)
    return Problem(message="the file is empty", file=shown, rule="file.empty", fix="fill it or remove it")


def _other_text(beginning: bytes, path: Path, shown: str) -> Problem | None:
    """A table by its name that begins as a web page or as JSON does; None: it does not."""
    suffix = suffix_of(path)
    if suffix in (".csv", ".tsv", ".jsonl") and re.match(rb"<(!doctype html|html|\?xml)", beginning, re.IGNORECASE):
        message = f"the name promises {suffix}, but the file is a web page or XML"
        return Problem(message=message, file=shown, row=1, rule="file.type", fix="fetch it again, perhaps after logging in there")
    if suffix in (".csv", ".tsv") and re.match(rb'(\[\s*)?\{\s*"', beginning):
        kind = ".json" if beginning.startswith(b"[") else ".jsonl"
        name = shlex.quote(shown)
        fix = f"mv {name} {shlex.quote(shown.removesuffix(path.suffix) + kind)}"
        return Problem(message=f"the name promises {suffix}, but the file is JSON", file=shown, row=1, rule="file.type", fix=fix)
    return None


def _wide(path: Path) -> str | None:
    """``utf-16le`` or ``utf-16be`` where every other byte of the beginning is 0; None elsewhere."""
    try:
        with open_bytes(path) as handle:
            first = handle.read(64)
    except (OSError, EOFError, zlib.error):
        return None
    even, odd = first[::2], first[1::2]
    if len(first) < 8:
        return None
    return "utf-16le" if all(even) and not any(odd) else "utf-16be" if all(odd) and not any(even) else None


def gzip_problem(path: Path, shown: str, error: Exception) -> Problem:
    """Where a .gz file stops being readable, counted in what it unpacks to."""
    unpacked, row = 0, 1
    try:
        with gzip.open(path, "rb") as handle:
            while block := handle.read1(2**16):
                unpacked, row = unpacked + len(block), row + block.count(b"\n")
    except (OSError, EOFError, zlib.error) as damage:
        error = damage
    if isinstance(error, gzip.BadGzipFile) and not unpacked and "Not a gzipped" in str(error):
        plain = shown[: -len(path.suffix)]
        fix = f"mv {shlex.quote(shown)} {shlex.quote(plain)}"
        return Problem(message="the name promises .gz, but the file is not gzip", file=shown, rule="file.gzip", fix=fix)
    why = "it was cut short" if isinstance(error, EOFError) else f"it is damaged ({error})"
    message = f"gzip ends badly after {unpacked:,} unpacked bytes, in line {row:,}: {why}"
    return Problem(
        message=message, file=shown, row=row, rule="file.gzip", fix=f"fetch it again; gzip -t {shlex.quote(shown)} must be silent"
    )
