"""A drop: the files that somebody hands in, as they stand, and a digest of them that counts a drop once however it is called.

Nothing is written beside it; what has to be unpacked goes to a scratch folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.core import files
from regraft.core.errors import Conflict, DataRejected, Problem
from regraft.data.formats import TABLES, faults_of_file, suffix_of, whole_problem
from regraft.data.handoff.archives import gzip_bomb, unpack
from regraft.data.handoff.checksums import is_list, require_agreement
from regraft.data.handoff.exports import read_export
from regraft.data.handoff.renames import NO_RENAMES, Renames
from regraft.data.handoff.spreadsheets import read_sheet
from regraft.data.options import TaskOptions
from regraft.data.reading import read_file
from regraft.data.rows import Fault, Row
from regraft.data.sources import Source, list_files, reject_if

SUFFIXES = (*TABLES, ".json", ".xlsx", ".zip")
"""What a drop may hold."""
MARK = "\ufeff"
HALF = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
"""How names end while a file is being uploaded."""


@dataclass(frozen=True)
class Drop:
    """Files that were handed in together."""

    shown: str
    """The path as it was typed."""
    originals: tuple[Path, ...]
    files: tuple[tuple[Path, str], ...]
    """The tables to read, archives unpacked, each with the name to show."""
    digest: str
    """Of the originals' bytes, whatever they are called and in whatever order."""
    tsv_quoted: bool = False
    renames: Renames = NO_RENAMES
    """What its columns are called here."""

    def rows(self, task: TaskOptions, required: Sequence[str], strings: Collection[str]) -> Iterator[Row]:
        """All rows, streamed; :class:`DataRejected` at the end, naming every faulty file at once."""
        problems: list[Problem] = []
        theirs = self.renames.theirs
        named, wanted, typed = self.renames.of_task(task), [*map(theirs, required)], [*map(theirs, strings)]
        wanted += [name for name in self.renames.ours if name not in wanted]
        for path, shown in self.files:
            for row in _read(path, shown, named, wanted, typed, problems, tsv_quoted=self.tsv_quoted):
                yield _without_mark(self.renames.row(row), task)
        reject_if(Source("the drop", Path(self.shown), self.shown), [self.renames.told(problem, task) for problem in problems])

    def require_unchanged(self) -> None:
        """Raise :class:`Conflict` where the originals are not those that were read."""
        if not all(path.is_file() for path in self.originals) or digest_of(self.originals) != self.digest:
            message = f"{self.shown} changed while it was read; nothing was taken in"
            raise Conflict(message, fix="hand it in again when nobody writes to it")


def _without_mark(row: Row, task: TaskOptions) -> Row:
    """A row whose id begins with a byte-order mark, which nobody sees and which makes it another id: files were joined there."""
    key = row.values.get(task.id_column)
    if key is None or not key.startswith(MARK):
        return row
    reason = f"{task.id_column} begins with a byte-order mark, as files have it in the middle that were joined"
    fault = Fault(f"{task.id_column}.mark", task.id_column, ascii(key), reason)
    return Row(row.file, row.number, row.values, (*row.faults, fault), row.raw)


def _read(
    path: Path,
    shown: str,
    task: TaskOptions,
    required: Sequence[str],
    strings: Collection[str],
    problems: list[Problem],
    *,
    tsv_quoted: bool,
) -> Iterator[Row]:
    suffix = suffix_of(path)
    if bomb := gzip_bomb(path, shown):
        problems.append(bomb)
    elif suffix == ".xlsx":
        yield from read_sheet(path, shown, required, strings, problems)
    elif suffix == ".json":
        with faults_of_file(path, shown, problems):
            if problem := whole_problem(path, shown):
                problems.append(problem)
            else:
                yield from read_export(path, shown, task, required, strings, problems)
    else:
        yield from read_file(path, shown, required, strings, problems, tsv_quoted=tsv_quoted)


def digest_of(paths: Iterable[Path]) -> str:
    """One digest of several files: their names and order do not count."""
    return files.sha256_text(files.canonical(sorted(map(files.sha256_file, paths))))


def open_drop(path: Path, shown: str, scratch: Path, *, tsv_quoted: bool = False, renames: Renames = NO_RENAMES) -> Drop:
    """What was handed in at ``path``; archives are unpacked below ``scratch``.

    :raises DataRejected: there is nothing, or something that is not read, such as a file that is still being uploaded.
    """
    source = Source("the drop", path, shown)
    _require_whole(path, shown)
    require_agreement(path, shown)
    found = list_files(source, SUFFIXES, besides=is_list)
    problems = list(_links(path, found))
    tables: list[tuple[Path, str]] = []
    for number, (file, name) in enumerate(found):
        tables += unpack(file, name, scratch / f"{number:04d}", problems) if suffix_of(file) == ".zip" else [(file, name)]
    readable = tuple(suffix for suffix in SUFFIXES if suffix != ".zip")
    strange = [name for file, name in tables if suffix_of(file) not in readable]
    problems += [Problem(message="of this format nothing is read", file=name, rule="file.type", fix="leave it out") for name in strange]
    reject_if(source, problems)
    originals = tuple(file for file, _ in found)
    return Drop(shown, originals, tuple(tables), digest_of(originals), tsv_quoted, renames)


def _links(drop: Path, found: Sequence[tuple[Path, str]]) -> Iterator[Problem]:
    """Files of a folder that lie elsewhere: what somebody else uploads must not name files of this machine."""
    home = drop.resolve()
    for file, name in found:
        if file != drop and not file.resolve().is_relative_to(home):
            message = "is a link that leads out of the drop"
            yield Problem(message=message, file=name, rule="file.link", fix="put the file itself there")


def _require_whole(path: Path, shown: str) -> None:
    names = path.rglob("*") if path.is_dir() else [path]
    half = [name for name in names if name.name.lower().endswith(HALF) or name.name.startswith("~$")]
    if half:
        problem = Problem(message="is still being written", file=str(half[0].relative_to(path.parent)), rule="file.whole")
        raise DataRejected(f"{shown} is not whole yet", fix="wait for the upload, or remove what it left", problems=[problem])
