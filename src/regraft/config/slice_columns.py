"""Whether the columns that gates slice by are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import Problem
from regraft.core.suggest import guess
from regraft.data.columns import MOST, slice_columns
from regraft.data.options import listed
from regraft.gates.options import DISCOVERED_SLICES
from regraft.gates.registry import gate_of


def slice_problems(root: Path, options: PipelineOptions, shown: str) -> list[Problem]:
    """Columns that gates slice by and the labelled files do not have; ``shown`` is the pipeline file's path."""
    columns = [tuple(gate_of(line).columns(line)) for line in options.gates]
    if not any(columns):
        return []
    known = [*DISCOVERED_SLICES, *slice_columns(_columns(root, listed(options.data.labelled)), options.task, DISCOVERED_SLICES)]
    problems = []
    for position, line in enumerate(options.gates):
        key = f"gates.{position}.{gate_of(line).column_key}"
        for column in (name for name in columns[position] if name not in known):
            probably = guess(column, known, otherwise=".")
            message = f"{key}: the labelled rows have no column {column!r}{probably} Known: {', '.join(known)}"
            place = {"file": shown, "column": key, "value": column}
            problems.append(Problem(message=message, rule="column exists", fix=f"edit {shown}", **place))
    return problems


def _columns(root: Path, paths: Sequence[str]) -> Iterator[str]:
    """Columns of the first rows of every file; faults of files are for others to tell."""
    from regraft.data import hub
    from regraft.data.formats import TABLES
    from regraft.data.reading import read_file
    from regraft.data.sources import Source, list_files

    for path in paths:
        source = Source("data.labelled", hub.fetch(path) if path.startswith("hub:") else root / path, path)
        for file, name in list_files(source, TABLES):
            for row in islice(read_file(file, name, (), (), []), MOST):
                yield from row.values
