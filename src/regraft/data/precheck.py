"""What can be said of a hand-in in a moment, before a server is started: the files are there and have a header with the columns.

Only what is certain: a file is refused here for what its own reader would refuse it for, found within its first rows.
Importing this loads nothing; a Parquet file costs pyarrow's 0.12 s, a text file a millisecond.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem
from regraft.data.options import listed

ROWS = 20_000
"""Rows looked at, of all files together: 0.1 s."""
COMPRESSED = (".gz", ".parquet")
"""Suffixes of files that may hold more text than they have bytes."""
MOST = 1_000
"""Rows of one file: what is wrong with its encoding often shows in them."""


def look(root: Path, resolved: Mapping[str, Any]) -> None:
    """Raise :class:`DataRejected` if a data file of a pipeline cannot be what its steps need; ``resolved`` is the resolved file.

    Data sets on a hub are fetched if they are not in the local cache: :class:`ConfigError` or :class:`EnvironmentFault` if
    that cannot be.
    """
    from regraft.data.formats import TABLES, TEXTS
    from regraft.data.sources import reject

    contract, corpus = resolved.get("contract", {}), resolved.get("corpus", {})
    columns = contract.get("contract", {}).get("columns", ())
    required = [column["name"] for column in columns if column["required"]]
    strings, quoted = [column["name"] for column in columns], contract.get("tsv_quoted", False)
    labelled = faults(root, "data.labelled", resolved["data"].get("labelled", ()), TABLES, required, strings, tsv_quoted=quoted)
    text = [corpus["text_column"]] if "text_column" in corpus else []
    quoted = corpus.get("tsv_quoted", False)
    of_corpus = faults(root, "data.corpus", resolved["data"].get("corpus", ()), TEXTS, text, text, tsv_quoted=quoted)
    problems = [*labelled, *of_corpus, *_earlier(root, resolved)]
    problems += [] if problems else _short(root, resolved)
    if problems:
        reject("the data cannot be read", problems)


def _short(root: Path, resolved: Mapping[str, Any]) -> Iterator[Problem]:
    """A corpus of too few bytes for one sequence, whatever the tokenizer: a token has a byte at least, and a separator stands after a
    document, so a corpus of one-letter documents has two tokens for each byte.
    """
    if (length := resolved.get("tokens", {}).get("sequence_length")) is None:
        return
    from regraft.data.formats import TEXTS

    paths = resolved["data"].get("corpus", ())
    data_files = _files(root, "data.corpus", paths, TEXTS)
    size = sum(path.stat().st_size for path, _ in data_files)
    if data_files and size < length // 2 and all(path.suffix not in COMPRESSED for path, _ in data_files):
        shown = ", ".join(listed(paths))
        message = f"{shown}: {size} bytes of text do not fill one training sequence of {length} tokens (pretrain.sequence_length)"
        fix = "add text to data.corpus, lower pretrain.sequence_length, or write `adapt: never`"
        yield Problem(message=message, file=shown, column="data.corpus", rule="corpus.length", fix=fix)


def _earlier(root: Path, resolved: Mapping[str, Any]) -> Iterator[Problem]:
    """Faults of the files of earlier tasks."""
    sections = [section for step, section in resolved.items() if step.partition("-")[0] == "earlier_tasks"]  # a candidate's each
    if not (tasks := sections[0]["tasks"] if sections else None):
        return
    from regraft.data.earlier_tasks import key, named_here  # numpy and pyarrow: 0.2 s
    from regraft.data.formats import TABLES

    for name, task in tasks.items():
        columns = (task["text"], task["label"])
        yield from named_here(faults(root, key(name), task["data"], TABLES, columns, columns))


def faults(
    root: Path,
    key: str,
    paths: str | Sequence[str],
    suffixes: Sequence[str],
    required: Sequence[str],
    strings: Collection[str],
    *,
    tsv_quoted: bool = False,
) -> Iterator[Problem]:
    """Faults of the files behind one key of the pipeline file."""
    from regraft.core.errors import DataRejected
    from regraft.data.documents import read_paragraphs
    from regraft.data.formats import suffix_of
    from regraft.data.reading import read_file

    try:
        data_files = _files(root, key, paths, suffixes)
    except DataRejected as error:
        yield from error.problems
        return
    for path, shown in data_files:
        problems: list[Problem] = []
        rows: Iterator[Any] = read_paragraphs(path, shown, problems)
        if suffix_of(path) != ".txt":
            rows = read_file(path, shown, required, strings, problems, tsv_quoted=tsv_quoted)
        for _ in islice(rows, max(1, min(MOST, ROWS // len(data_files)))):
            pass
        yield from problems


def _files(root: Path, key: str, paths: str | Sequence[str], suffixes: Sequence[str]) -> list[tuple[Path, str]]:
    """The data files behind one key of the pipeline file, and how each is shown; none in a workspace whose steps read something else."""
    from regraft.data import hub
    from regraft.data.sources import Source, list_files

    places = [Source(key, hub.fetch(path) if path.startswith("hub:") else root / path, path) for path in listed(paths)]
    return list_files(replace(places[0], beside=tuple(places[1:])), suffixes) if places else []


def first_rows(root: Path, resolved: Mapping[str, Any], most: int) -> Iterator[Mapping[str, Any]]:
    """The values of at most ``most`` labelled rows, as many of every file; of files that :func:`look` found nothing wrong with."""
    from regraft.data.formats import TABLES
    from regraft.data.reading import read_file

    contract = resolved["contract"]
    strings = [column["name"] for column in contract["contract"]["columns"]]
    data_files = _files(root, "data.labelled", resolved["data"].get("labelled", ()), TABLES)
    for path, shown in data_files:
        rows = read_file(path, shown, (), strings, [], tsv_quoted=contract.get("tsv_quoted", False))
        yield from (row.values for row in islice(rows, max(1, most // len(data_files))))
