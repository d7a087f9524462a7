"""Rows of a Parquet file: strings stay strings, integers become their digits, dates are written as ISO 8601 does, and nothing else is text.

A file has one schema, so a column of another type than a contract's is a fault of the file, said before any row is
read. Read batch by batch: a row group need not fit into memory unpacked.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem
from regraft.data.headers import header_problems, warn_of_nameless
from regraft.data.rows import Fault, Row, present

BATCH = 8192
"""Rows unpacked at once."""


def read_parquet(path: Path, file: str, required: Sequence[str], strings: Collection[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows of ``path``; ``strings`` are the columns that must hold text, other columns become their JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # Without these two the whole row group is fetched first: 9 times the memory on a 1 GB file of one group.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as table:
            if faults := [
                *header_problems(table.schema_arrow.names, file, None, required),
                *_type_problems(table.schema_arrow, file, strings),
            ]:
                problems += faults
                return
            warn_of_nameless(table.schema_arrow.names, file)
            for batch in table.iter_batches(BATCH):
                yield from _rows(batch, file, number, strings)
                number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:200]
        where = f" after row {number:,}" if number else ""
        message = f"not a whole Parquet file{where}: {why}"
        fix = f"write or fetch it again: {shlex.quote(file)}"
        problems.append(Problem(message=message, file=file, row=number + 1 if number else None, rule="file.parquet", fix=fix))
        return
    if not number:
        problems.append(Problem(message="a schema and no rows", file=file, rule="file.rows", fix="add rows or remove the file"))


def _type_problems(schema: Any, file: str, strings: Collection[str]) -> Iterator[Problem]:
    import pyarrow.types as kinds

    textual = (
        kinds.is_string,
        kinds.is_large_string,
        kinds.is_string_view,
        kinds.is_integer,
        kinds.is_null,
        kinds.is_date,
        kinds.is_timestamp,
    )
    for field in schema:
        kind = field.type.value_type if kinds.is_dictionary(field.type) else field.type
        if field.name in strings and not any(fits(kind) for fits in textual):
            message = f"the column {field.name!r} holds {kind}; regraft reads strings and integers there"
            fix = f"cast {field.name!r} to string before it is written"
            if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
                one = f"frame[{field.name!r}].str[0]"
                fix = f"write the one value of {field.name!r} in its place (in pandas: {one}); with several decide on one"
            elif kinds.is_struct(kind) or kinds.is_map(kind):
                fix = f"write one field of {field.name!r} in its place"
            yield Problem(message=message, file=file, column=field.name, rule="parquet.type", fix=fix)


def _rows(batch: Any, file: str, before: int, strings: Collection[str]) -> Iterator[Row]:
    names = batch.schema.names
    columns, faults = [], dict[int, list[Fault]]()
    for name, column in zip(names, batch.columns, strict=True):
        values = _values(column)
        for index, value in enumerate(values):
            if isinstance(value, bytes) and _is_text(column):
                reason = f"{name} is not UTF-8: {value[:24]!r}"
                faults.setdefault(index, []).append(Fault(f"{name}.utf8", name, repr(value[:80]), reason))
                values[index] = None
            elif value is not None and not isinstance(value, str):
                values[index] = str(value) if name in strings else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
        columns.append(values)
    for index, fields in enumerate(zip(*columns, strict=True)):
        raw = dict(zip(names, fields, strict=True))
        values_of = {name: None if text is None else present(text) for name, text in raw.items() if name.strip()}
        yield Row(file, before + index + 1, values_of, tuple(faults.get(index, ())), raw)


def _is_text(column: Any) -> bool:
    import pyarrow.types as kinds

    kind = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    return any(fits(kind) for fits in (kinds.is_string, kinds.is_large_string, kinds.is_string_view))


def _values(column: Any) -> list[Any]:
    """Python values; of a text column with bytes that are not UTF-8, those as bytes (other writers do not check)."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        flat = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        return [_decoded(value) for value in flat.cast(pa.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return value
