"""Zip archives of people one does not know: unpacked below a folder, or refused with the member that is at fault.

What a directory of an archive says of its members is a claim: names may climb out (``../``), sizes may lie, a few kilobytes may unpack to
terabytes. So names are checked before anything is written, and bytes are counted as they come.
"""

from __future__ import annotations

import errno
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from regraft.core.encoding import open_bytes, packed
from regraft.core.errors import Problem
from regraft.core.quantities import size

FREE_BYTES = 100 * 2**20
"""So much may come out of anything: it fits every disk."""
MOST_RATIO = 200
"""Above :data:`FREE_BYTES`, bytes that one packed byte may become. A million rows that differ in nothing but their id are packed to a 27th,
one row a million times to a 294th."""
MOST_MEMBERS = 10_000
BLOCK = 2**20
UNNAMEABLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)
"""How a file system answers to a name that is too long, or under which a folder lies already."""
NO_DATA = ("__MACOSX/", ".")
"""How names begin that an archiver adds by itself: resource forks, ``.DS_Store``."""


class _Bomb(Exception):
    """More comes out than a file of this size can honestly hold."""


def unpack(archive: Path, shown: str, into: Path, problems: list[Problem]) -> list[tuple[Path, str]]:
    """The files of ``archive``, unpacked below ``into``, each with the name to show; nothing where there are ``problems``."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir() and not _is_extra(member.filename)]
            faults = list(member_problems(members, archive, shown))
            problems += faults
            return [] if faults else [_unpacked(opened, member, archive, shown, into) for member in members]
    except _Bomb:
        problems.append(bomb(archive, shown))
    except OSError as error:
        if error.errno in UNNAMEABLE:
            message = f"a member cannot be written under its name: {error.strerror}"
            problems.append(
                Problem(message=message, file=shown, value=error.filename, rule="zip.path", fix="pack the files under other names")
            )
        elif error.errno is None:  # of bz2, not of the file system
            problems.append(_damaged(error, shown))
        else:
            raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        problems.append(_damaged(error, shown))
    return []


def _damaged(error: Exception, shown: str) -> Problem:
    message = f"the archive is damaged: {' '.join(str(error).split())}"
    return Problem(message=message, file=shown, rule="zip.whole", fix="make or fetch it again; unzip -t must find no errors")


def _is_extra(name: str) -> bool:
    return name.startswith(NO_DATA[0]) or any(part.startswith(NO_DATA[1]) and part != ".." for part in PurePosixPath(name).parts)


def member_problems(members: list[zipfile.ZipInfo], archive: Path, shown: str) -> Iterator[Problem]:
    """What is wrong with an archive, as far as its directory says it."""
    if len(members) > MOST_MEMBERS:
        yield Problem(message=f"it holds {len(members):,} files; at most {MOST_MEMBERS:,} are read", file=shown, rule="zip.members")
        return
    if sum(member.file_size for member in members) > allowed(archive):
        yield bomb(archive, shown)
    seen = set[str]()
    for member in members:
        place, name = f"{shown}/{member.filename}", member.filename
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            message = f"the member {name!r} would be written outside the folder it is unpacked to"
            yield Problem(message=message, file=shown, value=name, rule="zip.path", fix="pack the files without `..` and absolute paths")
        elif stat.S_ISLNK(member.external_attr >> 16):
            yield Problem(message="is a link", file=place, rule="zip.link", fix="pack the file that it leads to: zip without -y")
        elif member.flag_bits & 1:
            yield Problem(message="is encrypted", file=place, rule="zip.encrypted", fix="pack it without a password")
        elif path.suffix.lower() == ".zip":
            yield Problem(message="is an archive inside an archive", file=place, rule="zip.nested", fix="pack the files themselves")
        elif name in seen:
            yield Problem(message="is there twice", file=place, rule="zip.once", fix="pack it once")
        seen.add(name)


def _unpacked(opened: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path, shown: str, into: Path) -> tuple[Path, str]:
    target = into / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = min(member.file_size, allowed(archive))
    with opened.open(member) as source, target.open("wb") as sink:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise _Bomb
            sink.write(block)
    return target, f"{shown}/{member.filename}"


def allowed(packed_file: Path) -> int:
    """Bytes that may come out of ``packed_file``."""
    return max(FREE_BYTES, MOST_RATIO * packed_file.stat().st_size)


def bomb(packed_file: Path, shown: str) -> Problem:
    """A packed file of which more comes out than :func:`allowed`."""
    message = f"{size(packed_file.stat().st_size)} would unpack to more than {size(allowed(packed_file))}"
    return Problem(message=message, file=shown, rule="file.bomb", fix="hand the files in unpacked, if it really is data")


def gzip_bomb(path: Path, shown: str) -> Problem | None:
    """The fault of a .gz file that unpacks to more than is :func:`allowed`; None: it does not, or is damaged, which its reader says."""
    if not packed(path):
        return None
    most, unpacked = allowed(path), 0
    try:
        with open_bytes(path) as handle:
            while unpacked <= most and (block := handle.read(BLOCK)):
                unpacked += len(block)
    except (OSError, EOFError, zlib.error):
        return None
    return bomb(path, shown) if unpacked > most else None
