"""The next edition of a pipeline's data: the same file or folder with rows replaced, taken out and added, made beside the old one.

Rows keep their order and what they hold; added ones come last: in a file at its end, in a folder in a file of their own. The new edition
takes the old one's place in one step of the file system, so whoever looks sees the one or the other.
"""

from __future__ import annotations

import csv
import ctypes
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from regraft.core import files
from regraft.core.encoding import packed
from regraft.core.errors import DataRejected, EnvironmentFault, Problem
from regraft.data.formats import TABLES, suffix_of
from regraft.data.reading import read_file
from regraft.data.rows import Row
from regraft.data.sources import Source, list_files, reject_if

Values = Mapping[str, str | None]
NEW = ".regraft-new"
"""How the name of an edition ends that is being made; it begins with a dot, so that nothing reads it."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True)
class Place:
    """Where a pipeline's labelled rows lie: one file, or a folder of them; it need not be there yet."""

    path: Path
    shown: str
    tsv_quoted: bool = False

    @property
    def files(self) -> list[tuple[Path, str]]:
        """Its tables, in the order of reading; none where nothing is there yet."""
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return []
        return list_files(Source("data.labelled", self.path, self.shown), TABLES)

    def rows(self) -> Iterator[Row]:
        """All rows as they stand; :class:`DataRejected` for one whose fields cannot be told apart."""
        for path, shown in self.files:
            yield from self.rows_of(path, shown)

    def rows_of(self, path: Path, shown: str) -> Iterator[Row]:
        """The rows of one of its files."""
        problems: list[Problem] = []
        for row in read_file(path, shown, (), (), problems, tsv_quoted=self.tsv_quoted):
            if not row.whole:
                fault = row.faults[0]
                problem = Problem(message=fault.reason, file=row.file, row=row.number, rule=fault.rule)
                message = f"{self.shown} has a row whose columns cannot be told apart, so no row of it can be replaced"
                fix = f"correct {row.file}, line {row.number}, first; or hand the whole data in with --replace"
                raise DataRejected(message, fix=fix, problems=[problem])
            yield row
        problems = [problem for problem in problems if problem.get("rule") not in ("file.rows", "file.empty")]
        reject_if(Source("data.labelled", path, shown), problems)

    def digest(self) -> str | None:
        """Of its bytes, as records of steps have it; None: nothing is there yet."""
        return files.digest(self.path) if self.path.exists() else None


@dataclass(frozen=True)
class Revision:
    """What the next edition has that the old one has not, and what it lacks. Rows are known by their place in the order of reading."""

    replaced: Mapping[int, Values]
    removed: Collection[int]
    added: Callable[[], Iterable[Values]]
    columns: Sequence[str]
    """Of the rows that are added or replace others."""
    order: Sequence[str]
    """Columns that come first in a file that is made anew."""


def make(place: Place, revision: Revision, number: int) -> Path:
    """The next edition of ``place``, beside it and whole on the disk; ``number`` names a file of added rows in a folder."""
    staged = place.path.parent / f".{place.path.name}{NEW}"
    discard(staged)
    staged.parent.mkdir(parents=True, exist_ok=True)
    try:
        if place.path.is_dir():
            _folder(place, revision, number, staged)
            files.sync_tree(staged)
            files.sync_folder(staged)
        else:
            old = place.files
            _table(place, old[0] if old else (place.path, place.shown), revision, 0, staged, with_added=True)
            _sync(staged)
    except BaseException:
        discard(staged)
        raise
    return staged


def discard(staged: Path) -> None:
    """Remove an edition that took no place."""
    shutil.rmtree(staged) if staged.is_dir() else staged.unlink(missing_ok=True)


def put(staged: Path, place: Path) -> None:
    """Let ``staged`` take the place of what is there, in one step; what was there is gone then.

    :raises EnvironmentFault: the file system cannot exchange two folders in one step.
    """
    if not staged.is_dir() or not place.exists():
        os.replace(staged, place)
    else:
        libc = ctypes.CDLL(None, use_errno=True)
        exchange = getattr(libc, "renameat2", None)
        if exchange is None or exchange(AT_FDCWD, os.fsencode(staged), AT_FDCWD, os.fsencode(place), RENAME_EXCHANGE):
            why = os.strerror(ctypes.get_errno()) if exchange else "the C library has no renameat2"
            message = f"this file system cannot exchange two folders in one step ({why}), so a new version of {place} could be half written"
            raise EnvironmentFault(message, fix="let data.labelled name one file")
        discard(staged)
    files.sync_folder(place.parent)


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _folder(place: Place, revision: Revision, number: int, staged: Path) -> None:
    tables = dict(place.files)
    staged.mkdir()
    before = 0
    for path in sorted(place.path.rglob("*")):
        target = staged / path.relative_to(place.path)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path not in tables:
            shutil.copy2(path, target)
    for path, shown in tables.items():
        count = sum(1 for _ in place.rows_of(path, shown))
        span = range(before, before + count)
        target = staged / path.relative_to(place.path)
        if any(row in revision.removed or row in revision.replaced for row in span):
            _table(place, (path, shown), revision, before, target, with_added=False)
        else:
            shutil.copy2(path, target)
        before += count
    first = next(iter(tables), None)
    suffix = "".join(first.suffixes[-2:] if packed(first) else first.suffixes[-1:]) if first else ".csv"
    name = staged / f"handoff-{number:08d}{suffix}"
    if any(True for _ in revision.added()):
        _table(place, (name, f"{place.shown}/{name.name}"), revision, before, name, with_added=True)


def _table(place: Place, old: tuple[Path, str], revision: Revision, before: int, target: Path, *, with_added: bool) -> None:
    """One table of the next edition; ``before`` rows come before it."""
    path, shown = old
    suffix = suffix_of(path)
    if suffix not in TABLES:
        raise DataRejected(f"{place.shown} is to be written, and {suffix or 'a name without a suffix'} is no format of data.labelled")
    if suffix == ".parquet":
        _parquet(path, revision, before, target, with_added=with_added)
        return
    rows = place.rows_of(path, shown) if path.exists() else iter(())
    mark = b"\xef\xbb\xbf" if path.exists() and suffix != ".jsonl" and _begins_with_mark(path) else b""
    with _text(target, pack=packed(path), mark=mark) as handle:
        write = _json_lines if suffix == ".jsonl" else _delimited
        write(
            handle,
            _merged(rows, revision, before),
            revision,
            "\t" if suffix == ".tsv" else ",",
            _header(place, path, shown),
            with_added,
            place,
        )


def _begins_with_mark(path: Path) -> bool:
    from regraft.core.encoding import open_bytes

    with open_bytes(path) as handle:
        return handle.read(3) == b"\xef\xbb\xbf"


def _header(place: Place, path: Path, shown: str) -> list[str]:
    """Columns of the old table, in its order; none where it is not there yet."""
    first = next(place.rows_of(path, shown), None) if path.exists() else None
    return list(first.raw) if first is not None else []


@contextmanager
def _text(path: Path, *, pack: bool, mark: bytes) -> Iterator[TextIO]:
    with path.open("wb") as raw:
        # Without a time and a name, so that the same rows are the same bytes.
        sink: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if pack else raw
        sink.write(mark)
        text = io.TextIOWrapper(sink, encoding="utf8", newline="")
        yield text
        text.flush()
        text.detach()
        if pack:
            sink.close()
        raw.flush()


def _merged(rows: Iterable[Row], revision: Revision, before: int) -> Iterator[tuple[Row, Values | None]]:
    """The rows that stay, each with the values that take its place; None: it stays as it is."""
    for number, row in enumerate(rows, start=before):
        if number not in revision.removed:
            yield row, revision.replaced.get(number)


def _delimited(
    handle: TextIO, rows: Iterable[tuple[Row, Values | None]], revision: Revision, mark: str, old: list[str], with_added: bool, place: Place
) -> None:
    header = old or [*revision.order, *sorted(set(revision.columns) - set(revision.order))]
    header = [*header, *sorted(set(revision.columns) - set(header))]
    quoted = mark == "," or place.tsv_quoted
    plain: dict[str, Any] = {} if quoted else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    writer = csv.writer(handle, delimiter=mark, lineterminator="\n", **plain)
    writer.writerow(header)
    try:
        for row, values in rows:
            fields = row.raw if values is None else {**row.raw, **{name: text or "" for name, text in values.items()}}
            writer.writerow([fields.get(name, "") for name in header])
        for values in revision.added() if with_added else ():
            writer.writerow([values.get(name) or "" for name in header])
    except csv.Error:
        message = f"a value holds a tab or a line break, which {place.shown} cannot hold: a .tsv file is read as it stands"
        raise DataRejected(message, fix="write data: {tsv_quoted: true} in the pipeline file, or take it out of the value") from None


def _json_lines(
    handle: TextIO, rows: Iterable[tuple[Row, Values | None]], revision: Revision, mark: str, old: list[str], with_added: bool, place: Place
) -> None:
    kinds: dict[str, type] = {}
    for row, values in rows:
        kinds.update({name: type(item) for name, item in row.raw.items() if item is not None and name not in kinds})
        item = row.raw if values is None else {**row.raw, **{name: _typed(text, kinds.get(name)) for name, text in values.items()}}
        handle.write(json.dumps(item, ensure_ascii=False) + "\n")
    order = list(dict.fromkeys([*old, *revision.order, *sorted(revision.columns)]))
    for values in revision.added() if with_added else ():
        item = {name: _typed(values[name], kinds.get(name)) for name in order if name in values}
        handle.write(json.dumps(item, ensure_ascii=False) + "\n")


def _typed(text: str | None, kind: type | None) -> Any:
    """``text`` as the JSON value it was read from, where others of its column are of that ``kind``; else the text."""
    if text is None or kind in (None, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if type(value) in (kind, *((int,) if kind is float else ())) else text


def _parquet(path: Path, revision: Revision, before: int, target: Path, *, with_added: bool) -> None:
    """The table with its types; rows that others replace go to the end with those that are added."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pq.read_table(path) if path.exists() else None
    count = len(old) if old is not None else 0
    stay = [row for row in range(count) if before + row not in revision.removed and before + row not in revision.replaced]
    values = [revision.replaced[row] for row in sorted(revision.replaced) if before <= row < before + count]
    values += list(revision.added()) if with_added else []
    schema = old.schema if old is not None else pa.schema([(name, pa.string()) for name in revision.order])
    for name in sorted(set(revision.columns) - set(schema.names)):
        schema = schema.append(pa.field(name, pa.string()))
    try:
        fresh = pa.table([_cast(pa, [row.get(field.name) for row in values], field.type) for field in schema], schema=schema)
    except (pa.ArrowException, ValueError) as error:
        message = f"values of the drop do not fit the columns of {path.name}: {' '.join(str(error).split())[:200]}"
        raise DataRejected(message, fix="hand in values of the same type, or write that column as strings") from None
    parts = [old.take(pa.array(stay, pa.int64()))] if old is not None else []
    table = pa.concat_tables([*parts, fresh], promote_options="default")
    pq.write_table(table.combine_chunks().cast(schema), target, compression="zstd")


def _cast(pa: Any, values: Sequence[str | None], kind: Any) -> Any:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_nested(plain):
        return pa.array([None if text is None else json.loads(text) for text in values], kind)
    strings = pa.array(values, pa.string())
    cast = strings if pa.types.is_string(plain) else strings.cast(plain)
    return cast.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else cast
