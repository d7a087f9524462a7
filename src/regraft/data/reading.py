"""Rows of .csv, .tsv, .jsonl and .parquet files as people typed them: every value a string, every row with its place.

Nothing is guessed. ``NA``, ``null`` and ``007`` stay what they are; a value is missing (None) only if it is blank,
a JSON null, or absent. A row with the wrong number of fields carries no values at all: which field shifted is
unknowable. Faults of one row travel with it; faults of a file are collected in ``problems``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from regraft.core.errors import Problem
from regraft.data.delimited import read_delimited
from regraft.data.formats import TABLES, faults_of_file, open_text, suffix_of, whole_problem
from regraft.data.json_lines import read_json_lines
from regraft.data.parquet import read_parquet
from regraft.data.rows import Row
from regraft.data.sources import Source, list_files, reject_if


def read_rows(source: Source, required: Sequence[str], strings: Collection[str]) -> Iterator[Row]:
    """All rows of ``source``, streamed; :class:`DataRejected` at the end, naming every faulty file at once.

    ``required`` columns must exist in every file; columns in ``strings`` must hold strings in JSON. JSON values of
    other columns become their JSON text.
    """
    problems: list[Problem] = []
    for path, shown in list_files(source, TABLES):
        yield from read_file(path, shown, required, strings, problems, tsv_quoted=source.tsv_quoted)
    reject_if(source, problems)


def read_file(
    path: Path, shown: str, required: Sequence[str], strings: Collection[str], problems: list[Problem], *, tsv_quoted: bool = False
) -> Iterator[Row]:
    """Rows of one table, streamed; what is wrong with the file as a whole goes to ``problems``.

    :param tsv_quoted: whether quotes around a value of a .tsv file are no part of it.
    """
    suffix = suffix_of(path)
    with faults_of_file(path, shown, problems):
        if problem := whole_problem(path, shown):
            problems.append(problem)
        elif suffix == ".parquet":
            yield from read_parquet(path, shown, required, strings, problems)
        elif suffix == ".jsonl":
            with open_text(path, "\n") as handle:  # U+2028 ends no line
                yield from read_json_lines(handle, shown, required, strings, problems)
        else:
            with open_text(path, "") as handle:  # a quoted line break stays inside its field
                mark = "," if suffix == ".csv" else "\t"
                yield from read_delimited(handle, shown, required, problems, mark, quoted=suffix == ".csv" or tsv_quoted)
