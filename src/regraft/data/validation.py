"""Every row on one of two sides: it keeps the contract, or it is quarantined. However many rows, a chunk of them at a time.

Rows are read once. Great Expectations judges each chunk; what it says, and the values, go to disk (:mod:`.chunks`), and
what it cannot see, a value that stands in two chunks, is found afterwards (:mod:`.uniqueness`). Only where rows are
quarantined are the files read again, for those rows as they stood: an accepted row is its values, a quarantined one is
what somebody typed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from regraft.core.errors import EnvironmentFault
from regraft.core.quantities import first_of
from regraft.data.chunks import Bools, ChunkStore
from regraft.data.contract import Contract
from regraft.data.expectations import Rule, Tokens, broken_rows, rules
from regraft.data.rows import Fault, Row
from regraft.data.uniqueness import Repeats, hashes

CHUNK_ROWS = 2**16
"""Great Expectations needs 3.4 µs a row in chunks of this size, 9.4 at a quarter of it, 3.1 at twice as much."""
CHUNK_CHARS = 2**25
"""Long texts make a chunk end earlier."""

NUMBER, SHAPE, WHOLE, BAD = "#number", "#shape", "#whole", "#bad"
"""What the store keeps of a row besides its values: its place, its columns, whether they can be told apart, any fault."""


def value(column: str) -> str:
    """Where the store keeps the values of ``column``."""
    return f"v:{column}"


def breaks(rule: str) -> str:
    """Where the store keeps which rows break ``rule``; it has no such column for uniqueness."""
    return f"b:{rule}"


@dataclass
class Validated:
    """What became of the rows."""

    again: Callable[[], Iterable[Row]]
    """Reads the rows once more, in the same order."""
    rules: Sequence[Rule]
    store: ChunkStore
    accepted: list[Bools] = field(default_factory=list)
    """Which rows keep the contract, a mask for every chunk of the store."""
    repeats: dict[str, Repeats] = field(default_factory=dict)
    """Column that has to be unique -> rows that share a value of it."""
    shapes: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Columns that a row may have, in its order -> the number that stands for them in the store."""
    files: list[tuple[int, str]] = field(default_factory=list)
    """The first row of each file, and its name."""
    warned: frozenset[str] = frozenset()
    """Rules whose breach does not set a row aside."""
    besides: dict[int, tuple[Fault, ...]] = field(default_factory=dict)
    """Row -> what is wrong with it that no rule of the contract says."""

    def set_aside(self, faults: Mapping[int, tuple[Fault, ...]]) -> None:
        """Quarantine rows for what was found after validation; each says why."""
        for row, of_row in faults.items():
            chunk = bisect_right(self.store.starts, row) - 1
            self.accepted[chunk][row - self.store.starts[chunk]] = False
            self.besides[row] = (*self.besides.get(row, ()), *of_row)

    def broken_by(self, rule: Rule) -> Iterator[int]:
        """The rows that break ``rule``."""
        for number, (start, table) in enumerate(zip(self.store.starts, self.store.tables, strict=True)):
            yield from (start + np.flatnonzero(self._broken(rule, number, table))).tolist()

    @property
    def read(self) -> int:
        return self.store.rows

    @property
    def kept(self) -> int:
        """How many rows are accepted."""
        return sum(int(mask.sum()) for mask in self.accepted)

    @property
    def quarantined(self) -> int:
        return self.read - self.kept

    def columns(self) -> set[str]:
        """Columns of any accepted row."""
        occurring = {int(n) for table, mask in self._chunks() for n in np.unique(table[SHAPE].to_numpy()[mask])}
        return {name for shape, number in self.shapes.items() if number in occurring for name in shape}

    def values(self, *columns: str) -> Iterator[list[list[str]]]:
        """Values of ``columns`` of the accepted rows, a chunk at a time."""
        for table, mask in self._chunks():
            accepted = table.select([value(name) for name in columns]).filter(pa.array(mask))
            yield [column.to_pylist() for column in accepted.columns]

    def counts(self, column: str) -> Counter[str]:
        """How many accepted rows have each value of ``column``."""
        totals: Counter[str] = Counter()
        for table, mask in self._chunks():
            for item in pc.value_counts(table[value(column)].filter(pa.array(mask))).to_pylist():
                totals[item["values"]] += item["counts"]
        return totals

    def first(self, column: str, wanted: Collection[str]) -> dict[str, tuple[str, int]]:
        """File and line of the first accepted row that has each of the ``wanted`` values of ``column``, where one has it."""
        places: dict[str, tuple[str, int]] = {}
        for start, (table, mask) in zip(self.store.starts, self._chunks(), strict=True):
            values = table[value(column)]
            sought = pa.array([item for item in wanted if item not in places], pa.string())
            for index in np.flatnonzero(mask & pc.is_in(values, value_set=sought).to_numpy()):
                if (item := values[int(index)].as_py()) not in places:
                    places[item] = self.place(start + int(index))
        return places

    def _chunks(self) -> Iterator[tuple[pa.Table, Bools]]:
        return zip(self.store.tables, self.accepted, strict=True)

    def quarantine(self) -> Iterator[tuple[Row, tuple[Fault, ...]]]:
        """Quarantined rows in the order of reading, as they stand in the files, each with all that is wrong with it."""
        rows, rows_read = iter(self.again()), 0
        for number, (start, (table, mask)) in enumerate(zip(self.store.starts, self._chunks(), strict=True)):
            if mask.all():
                continue
            broken = {rule.id: self._broken(rule, number, table) for rule in self.rules if rule.id not in self.warned}
            for _ in islice(rows, start - rows_read):
                pass
            rows_read = start
            for index, row in enumerate(islice(rows, len(mask))):
                rows_read += 1
                if not mask[index]:
                    faults = (self._fault(rule, row, start + index) for rule in self.rules if rule.id in broken and broken[rule.id][index])
                    yield row, (*row.faults, *faults, *self.besides.get(start + index, ()))
            if rows_read < start + len(mask):
                raise EnvironmentFault("a file changed while it was read; nothing was kept", fix="regraft run, when nobody writes to it")

    def _broken(self, rule: Rule, chunk: int, table: pa.Table) -> Bools:
        if rule.unique:
            return self.repeats[rule.column].masks[chunk]
        mask: Bools = table[breaks(rule.id)].to_numpy()
        return mask

    def _fault(self, rule: Rule, row: Row, number: int) -> Fault:
        if not rule.unique:
            return rule.fault(row.values.get(rule.column))
        first, size = self.repeats[rule.column].sharing(number, 4)
        places = [f"{file}:{row}" for file, row in map(self.place, first)]
        return rule.fault(row.values.get(rule.column), first_of(places, 4, total=size))

    def place(self, number: int) -> tuple[str, int]:
        """File and line of the ``number``-th row."""
        table, index = self.store.place(number)
        file = self.files[bisect_right(self.files, number, key=lambda begun: begun[0]) - 1][1]
        return file, table[NUMBER][index].as_py()


def validate(
    again: Callable[[], Iterable[Row]],
    contract: Contract,
    folder: Path,
    chunk_rows: int = CHUNK_ROWS,
    *,
    warned: bool = False,
    tokens: Tokens | None = None,
) -> Validated:
    """Sort the rows by whether they keep ``contract``; ``folder`` is for the store and may go when the result has been used.

    ``again`` is called once, and once more if the quarantined rows are asked for. With ``warned``, rules whose breach is only said are
    evaluated too. ``tokens`` counts those of the base model, for a contract that asks about them.
    """
    validated = Validated(again, list(rules(contract, warned=warned)), ChunkStore(folder))
    validated.warned = frozenset(rule.id for rule in validated.rules) - {rule.id for rule in rules(contract)}
    columns = [column.name for column in contract.columns]
    unique = [rule.column for rule in validated.rules if rule.unique]
    within_chunk = dict[tuple[int, str], list[int]]()
    for chunk in _chunks(again(), chunk_rows):
        if not validated.files or validated.files[-1][1] != chunk[-1].file:
            _note_files(validated, chunk)
        broken = _validated(chunk, columns, contract, warned=warned, tokens=tokens)
        within_chunk.update(
            {(len(validated.store.tables), name): broken.pop(f"{name}.unique") for name in unique if f"{name}.unique" in broken}
        )
        validated.store.append(_stored(chunk, broken, validated, unique))
    validated.repeats = {name: Repeats(validated.store, value(name), f"h:{name}") for name in unique}
    _agree(validated, within_chunk)
    of_rows = [repeats for name, repeats in validated.repeats.items() if f"{name}.unique" not in validated.warned]
    for number, table in enumerate(validated.store.tables):
        bad: Bools = table[BAD].to_numpy()
        validated.accepted.append(~np.logical_or.reduce([bad, *(repeats.masks[number] for repeats in of_rows)]))
    return validated


def _chunks(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum(len(text) for text in row.values.values() if text)
        if len(chunk) >= most or size >= CHUNK_CHARS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _note_files(validated: Validated, chunk: Sequence[Row]) -> None:
    for number, row in enumerate(chunk, start=validated.store.rows):
        if not validated.files or validated.files[-1][1] != row.file:
            validated.files.append((number, row.file))


def _validated(
    chunk: Sequence[Row], columns: Sequence[str], contract: Contract, *, warned: bool, tokens: Tokens | None
) -> dict[str, list[int]]:
    """Indexes in ``chunk`` of the rows that break each rule. A value that could not be read is not also missing."""
    whole = [index for index, row in enumerate(chunk) if row.whole]
    if not whole:
        return {}
    values = {name: [chunk[index].values.get(name) for index in whole] for name in columns}
    broken = broken_rows(values, contract, warned=warned, tokens=tokens)
    unread = {index: {fault.column for fault in chunk[index].faults} for index in whole if chunk[index].faults}
    column_of = {rule.id: rule.column for rule in rules(contract, warned=warned)}
    by_rule = {rule: [whole[index] for index in indexes] for rule, indexes in broken.items()}
    return {rule: [index for index in indexes if column_of[rule] not in unread.get(index, ())] for rule, indexes in by_rule.items()}


def _stored(
    chunk: Sequence[Row], broken: Mapping[str, Collection[int]], validated: Validated, unique: Collection[str]
) -> dict[str, pa.Array]:
    """One chunk of the store."""
    shapes = [validated.shapes.setdefault(tuple(row.values), len(validated.shapes)) for row in chunk]
    bad = np.array([bool(row.faults) for row in chunk])
    flags = {}
    for rule in validated.rules:
        if not rule.unique:
            flags[rule.id] = np.zeros(len(chunk), np.bool_)
            flags[rule.id][list(broken.get(rule.id, ()))] = True
            bad |= flags[rule.id] & (rule.id not in validated.warned)
    names = list(dict.fromkeys([*(rule.column for rule in validated.rules), *(name for row in chunk for name in row.values)]))
    values = {name: [row.values.get(name) for row in chunk] for name in names}
    return {
        NUMBER: pa.array([row.number for row in chunk], pa.int64()),
        SHAPE: pa.array(shapes, pa.int32()),
        WHOLE: pa.array([row.whole for row in chunk], pa.bool_()),
        BAD: pa.array(bad),
        **{breaks(rule): pa.array(flag) for rule, flag in flags.items()},
        **{f"h:{name}": hashes(values[name]) for name in unique},
        **{value(name): pa.array(values[name], pa.string()) for name in names},
    }


def _agree(validated: Validated, within_chunk: Mapping[tuple[int, str], Collection[int]]) -> None:
    """What Great Expectations found to be repeated inside one chunk is among what is repeated anywhere, or one of the two is wrong."""
    for (chunk, column), indexes in within_chunk.items():
        if not validated.repeats[column].masks[chunk][list(indexes)].all():
            raise EnvironmentFault(f"Great Expectations and regraft disagree which rows share their {column}", fix="regraft doctor")
