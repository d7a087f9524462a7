"""What somebody brings for a new pipeline: where it lies, its first rows, whether a run can read it, and its copy in the workspace."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from regraft.core.errors import ConfigError, EnvironmentFault, Problem
from regraft.core.workspace import Workspace
from regraft.data.guesses import Guess, Table
from regraft.data.rows import Row

TOLD = 3
"""Faulty rows that are told of."""


@dataclass(frozen=True)
class Place:
    """Where something lies, and where the workspace will have it."""

    given: Path
    shown: str
    """As the pipeline file has it."""
    copied: bool
    """It lies outside the workspace."""


def place_of(workspace: Workspace, name: str, option: str, given: str) -> Place:
    path = Path(given).expanduser().resolve()
    if given.startswith("hub:"):
        raise ConfigError(f"{option} {given}: only what lies here can be looked at", fix=f"write {given} into pipelines/own.yaml by hand")
    if not path.exists():
        raise ConfigError(f"{option} {given}: no such file or folder", fix=f"ls {Path(given).parent}")
    if path == workspace.root or workspace.root.is_relative_to(path):
        raise ConfigError(f"{option} {given} is a folder with the workspace in it", fix=f"{option} the file, or a folder of data alone")
    if path.is_relative_to(workspace.root) and not (option == "--data" and _is_spreadsheet(path)):
        return Place(path, path.relative_to(workspace.root).as_posix(), copied=False)
    shown = f"data/{name}/{path.name}"
    if option == "--data" and _is_spreadsheet(path):  # a run reads none
        shown = f"data/{name}/{path.stem}.csv"
    if (workspace.root / shown).exists():
        raise ConfigError(f"{given} would be copied to {shown}, and that is there", fix=f"{option} {shown} to use what is there")
    return Place(path, shown, copied=True)


def _is_spreadsheet(path: Path) -> bool:
    return path.suffix.lower() == ".xlsx"


def look(place: Place, key: str, most: int) -> tuple[Table, bool]:
    """The first rows of the tables at ``place``, and whether these are all; DataRejected for what cannot be read."""
    from regraft.data.formats import TABLES
    from regraft.data.handoff.spreadsheets import read_sheet
    from regraft.data.reading import read_file
    from regraft.data.sources import Source, list_files, reject_if

    source = Source(key, place.given, str(place.given) if place.copied else place.shown)
    problems: list[Problem] = []
    if _is_spreadsheet(place.given):
        every = read_sheet(place.given, source.shown, (), (), problems)
    else:
        every = (row for path, shown in list_files(source, TABLES) for row in read_file(path, shown, (), (), problems))
    faulty: list[Row] = []
    table = Table.of(_noting(faulty, islice(every, most)))
    whole = next(every, None) is None
    reject_if(source, problems)
    empty = {name for name, column in table.columns.items() if not column.filled}
    reject_if(source, [problem for row in faulty for problem in _problems(row) if not table.columns or problem["column"] in empty])
    if not table.columns:
        raise ConfigError(f"{key} {source.shown}: no row of it can be read", fix=f"head -3 {source.shown}")
    return table, whole


def _noting(faulty: list[Row], rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows; the first few with faults are put into ``faulty``."""
    for row in rows:
        if row.faults and len(faulty) < TOLD:
            faulty.append(row)
        yield row


def _problems(row: Row) -> Iterator[Problem]:
    for fault in row.faults:
        place = {"file": row.file, "row": row.number, "column": fault.column, "value": fault.value}
        yield Problem(message=fault.reason, **place, rule=fault.rule, fix=f"sed -n {row.number}p {shlex.quote(row.file)}")


def require_readable(place: Place, guessed: Guess) -> None:
    """Refuse files whose text or label `plan` would refuse: JSON that holds something else than text there."""
    from regraft.data import precheck
    from regraft.data.formats import TABLES
    from regraft.data.sources import reject

    columns = [name for name in (guessed.text, guessed.label, guessed.id) if name is not None]
    shown = str(place.given) if place.copied else place.shown
    root = Path(str(place.given).removesuffix(shown) or "/")
    if not _is_spreadsheet(place.given) and (problems := list(precheck.faults(root, "--data", shown, TABLES, columns, columns))):
        reject(f"--data {place.given} cannot be read", problems)


def require_classes(table: Table, whole: bool, label: str) -> None:
    """Refuse a label of fewer than two classes; not of rows that were looked at in part, as the rest may have others."""
    if whole and len(classes := table.columns[label].values) < 2:
        named = f"one class alone, {next(iter(classes))!r}" if classes else "no value at all"
        raise ConfigError(f"the column {label!r} has {named}; a model learns to tell two or more apart", fix="--label with another column")


def corpus_text_of(place: Place, text: str) -> str | None:
    """The column of a corpus whose tables do not call it as the labelled rows do; None: as they do, or there are no columns."""
    from regraft.data.formats import TABLES, TEXTS, suffix_of
    from regraft.data.reading import read_file
    from regraft.data.sources import Source, list_files, reject_if

    source = Source("--corpus", place.given, str(place.given) if place.copied else place.shown)
    tables = [(path, shown) for path, shown in list_files(source, TEXTS) if suffix_of(path) in TABLES]
    if not tables:
        return None
    problems: list[Problem] = []
    table = Table.of(islice(read_file(*tables[0], (), (), problems), 1_000))
    reject_if(source, problems)
    if text in table.columns:
        return None
    if len(table.columns) == 1:
        return next(iter(table.columns))
    longest = max(table.columns.values(), key=lambda column: column.length)
    return longest.name


def copy(given: Path, target: Path) -> None:
    stage = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if given.is_dir():
            shutil.copytree(given, stage)
        elif _is_spreadsheet(given) and target.suffix == ".csv":
            _as_csv(given, stage)
        else:
            shutil.copyfile(given, stage)
        os.replace(stage, target)
    except OSError as error:
        shutil.rmtree(stage, ignore_errors=True)
        stage.unlink(missing_ok=True)
        message = f"{given} could not be copied to {target}: {error.strerror}; nothing was left behind"
        raise EnvironmentFault(message, fix=f"df -h {target.parent}") from error


def _as_csv(given: Path, target: Path) -> None:
    """The rows of a spreadsheet, whose faults :func:`_look` has told, as CSV UTF-8."""
    from regraft.data.handoff.spreadsheets import read_sheet

    rows = list(read_sheet(given, str(given), (), (), []))
    if torn := next((row for row in rows if not row.whole), None):
        raise ConfigError(
            f"{given}, row {torn.number}: {torn.faults[0].reason}", fix="correct that row in the spreadsheet, or save it as CSV UTF-8"
        )
    columns = list(dict.fromkeys(column for row in rows for column in row.values))
    with target.open("w", newline="", encoding="utf8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: row.values.get(column) or "" for column in columns} for row in rows)
