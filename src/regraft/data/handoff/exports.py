"""Rows of .json files as annotation tools export them: Label Studio's JSON and JSON-MIN, Argilla's records, or a plain list of objects.

Which of these a file is, its keys say; none is guessed. A row's label is what people said: suggestions and predictions of models are
none. Where annotators gave one text different labels, that is a fault of the row, as nothing here knows who is right.
(https://labelstud.io/guide/export, https://docs.argilla.io/latest/how_to_guides/import_export/)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.core.encoding import open_bytes
from regraft.core.errors import Problem
from regraft.core.quantities import first_of
from regraft.data.headers import header_problems
from regraft.data.json_lines import Repeated, once, row_of
from regraft.data.options import TaskOptions
from regraft.data.rows import Fault, Row, broken

Item = Mapping[str, Any]


def read_export(
    path: Path, shown: str, task: TaskOptions, required: Sequence[str], strings: Collection[str], problems: list[Problem]
) -> Iterator[Row]:
    """Rows of ``path``, numbered by their place in the list; what is wrong with it as a whole goes to ``problems``."""
    with open_bytes(path) as handle:
        content = handle.read()
    try:
        items = json.loads(content.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise
    except (Repeated, RecursionError, ValueError) as error:
        place = {"row": error.lineno} if isinstance(error, json.JSONDecodeError) else {}
        why = f"the key {str(error)!r} stands twice in one object" if isinstance(error, Repeated) else str(error)
        problems.append(Problem(message=f"not JSON: {why}", file=shown, rule="json.syntax", fix="export it again", **place))
        return
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        message = "not a list of objects, as Label Studio and Argilla export it"
        problems.append(
            Problem(message=message, file=shown, rule="json.list", fix="export it as JSON, or write JSON lines and call it .jsonl")
        )
        return
    of_item = _reader(items[0])
    rows = [_read(of_item, item, task, shown, number, strings) for number, item in enumerate(items, start=1)]
    columns = sorted({name for row in rows for name in row.values})
    problems += (faults := list(header_problems(columns, shown, None, required)))
    if not faults:
        yield from rows


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


Reader = Callable[[Item, TaskOptions, str, int, Collection[str]], Row]


def _reader(first: Item) -> Reader:
    """Who reads such a file."""
    if "data" in first and ("annotations" in first or "completions" in first):
        return _label_studio
    if "fields" in first and "responses" in first:
        return _argilla
    if "annotation_id" in first and "annotator" in first:
        return _label_studio_min
    return _plain


def _read(of_item: Reader, item: Item, task: TaskOptions, shown: str, number: int, strings: Collection[str]) -> Row:
    """The row of ``item``; broken where something of it is not of the shape that ``of_item`` knows."""
    try:
        return of_item(item, task, shown, number, strings)
    except (AttributeError, KeyError, TypeError, IndexError):  # a list where an object should be, nothing where a list should
        said = json.dumps(item)
        reason = f"not what such an export holds: lists, objects or values stand in each other's place: {said[:160]}"
        return broken(shown, number, "json.shape", reason, said)


def _plain(item: Item, task: TaskOptions, shown: str, number: int, strings: Collection[str]) -> Row:
    return row_of(dict(item), shown, number, strings)


def _label_studio(item: Item, task: TaskOptions, shown: str, number: int, strings: Collection[str]) -> Row:
    if not isinstance(item.get("data"), dict):
        return broken(shown, number, "json.object", "a task of Label Studio without `data`", json.dumps(item, ensure_ascii=False))
    answers, people = [], []
    for annotation in item.get("annotations") or item.get("completions") or []:
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        results = [part for part in annotation.get("result", []) if part.get("type") in ("choices", "rating", "taxonomy")]
        named = [part for part in results if part.get("from_name") == task.label]
        answers += [_choice(part) for part in (named or (results if len({part.get("from_name") for part in results}) == 1 else []))]
        people.append(_person(annotation.get("completed_by")))
    return _labelled(dict(item["data"]), item.get("id"), answers, people, task, shown, number, strings)


def _choice(part: Item) -> Any:
    value = part.get("value", {})
    chosen = value.get(part.get("type", ""), value.get("choices"))
    return chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else chosen


def _person(value: Any) -> str | None:
    return str(value.get("email") or value.get("id")) if isinstance(value, dict) else None if value is None else str(value)


def _label_studio_min(item: Item, task: TaskOptions, shown: str, number: int, strings: Collection[str]) -> Row:
    values = {name: value for name, value in item.items() if name not in ("annotation_id", "lead_time", "created_at", "updated_at")}
    label = values.get(task.label)
    if isinstance(label, dict) and isinstance(label.get("choices"), list):
        values[task.label] = label["choices"]
    ids = {} if task.id is None else {task.id: _digits(values.get(task.id))}
    return row_of({**values, **ids}, shown, number, strings)


def _argilla(item: Item, task: TaskOptions, shown: str, number: int, strings: Collection[str]) -> Row:
    responses = item.get("responses")
    said = responses.get(task.label, []) if isinstance(responses, dict) else []
    submitted = [answer for answer in said if isinstance(answer, dict) and answer.get("status", "submitted") == "submitted"]
    values = {**(item.get("metadata") or {}), **(item.get("fields") or {})}
    people = [_person(answer.get("user_id")) for answer in submitted]
    return _labelled(values, item.get("id"), [answer.get("value") for answer in submitted], people, task, shown, number, strings)


def _labelled(
    values: dict[str, Any],
    key: Any,
    answers: Sequence[Any],
    people: Sequence[str | None],
    task: TaskOptions,
    shown: str,
    number: int,
    strings: Collection[str],
) -> Row:
    """A row of what was annotated and what people answered; an id of the data's own comes before the tool's."""
    different = list(dict.fromkeys(json.dumps(answer, ensure_ascii=False) for answer in answers))
    ids = {} if task.id is None else {task.id: _digits(values.get(task.id, key))}
    values = {**values, **ids, task.label: answers[0] if len(different) == 1 else None}
    if known := sorted({person for person in people if person is not None}):
        values.setdefault("annotator", ", ".join(known))
    row = row_of(values, shown, number, strings)
    if len(different) < 2:
        return row
    said = first_of(different, 4).encode("utf8", "backslashreplace").decode()  # half a character has no bytes
    fault = Fault(f"{task.label}.agreement", task.label, said, f"annotators gave it different labels: {said}; settle on one")
    return Row(row.file, row.number, row.values, (*row.faults, fault), row.raw)


def _digits(value: Any) -> Any:
    return str(value) if type(value) is int else value
