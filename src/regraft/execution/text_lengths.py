"""What ``plan`` knows of cut texts: what the last fine-tuning measured and whether it holds, or what the first rows show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regraft.core import files
from regraft.core.quantities import first_of
from regraft.core.workspace import Workspace
from regraft.data import precheck
from regraft.models import base_model
from regraft.training import lengths

ROWS = 1_000
"""Rows whose tokens are counted before the first training: 0.1 s."""


def cut_texts(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For every length that fine-tunings read: their ``steps``, ``max_length`` (None: the data choose), ``measured`` and ``warning``.

    ``measured`` holds the numbers of :func:`regraft.training.lengths.measured` from the last time that the steps ran here; None: never.
    Then, where a length is set, there is ``first_rows`` too: how many ``rows`` were looked at and which share of them is ``cut``.
    """
    known_lengths: list[int] | None = None
    told: list[dict[str, Any]] = []
    for step, section in resolved.items():
        if not step.startswith("finetune-") or "max_length" not in section["finetune"]:
            continue
        length, path = section["finetune"]["max_length"], workspace.artifacts(pipeline, step) / "record.json"
        numbers = next((known for _, known in lengths.by_step([files.read_json(path)])), None) if path.is_file() else None
        entry = {"max_length": length, "measured": numbers, "warning": lengths.warning(numbers) if numbers else None}
        if numbers is None and length is not None:
            known_lengths = first_lengths(workspace, resolved).tokens if known_lengths is None else known_lengths
            if known_lengths:
                rows, cut = len(known_lengths), lengths.cut_share(known_lengths, length)
                entry |= {"first_rows": {"rows": rows, "cut": cut}, "warning": _warning(rows, cut, length) if cut >= lengths.WARN else None}
        same = next((known for known in told if {**known, "steps": None} == {**entry, "steps": None}), None)
        if same:
            same["steps"].append(step)
        else:
            told.append({"steps": [step], **entry})
    return told


@dataclass(frozen=True)
class FirstRows:
    """The first labelled rows."""

    tokens: list[int]
    """How many each has for the base model; empty for one without a tokenizer.json, which takes transformers to read."""
    size: int
    """Bytes that they take in a file, about."""


def first_lengths(workspace: Workspace, resolved: Mapping[str, Any]) -> FirstRows:
    """How many tokens the first :data:`ROWS` labelled rows have."""
    spec = next((section["base_model"] for section in resolved.values() if isinstance(section, Mapping) and "base_model" in section), None)
    path = base_model.locate(spec, workspace.root) / "tokenizer.json" if spec else None
    if path is None or not path.is_file():
        return FirstRows([], 0)
    from tokenizers import Tokenizer  # 30 ms

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    task = resolved["contract"]["task"]
    columns = [task[key] for key in ("text", "text_pair") if task.get(key)]
    rows = list(precheck.first_rows(workspace.root, resolved, ROWS))
    texts = [tuple(row[column] or "" for column in columns) for row in rows if all(column in row for column in columns)]
    encoded = tokenizer.encode_batch([text if len(text) > 1 else text[0] for text in texts])
    size = sum(len(json.dumps(row, ensure_ascii=False, default=str).encode()) + 1 for row in rows)
    return FirstRows([len(encoding.ids) for encoding in encoded], size)


def _warning(rows: int, cut: float, length: int) -> str:
    return f"{_of_the_first(rows, cut, length)}, and would be cut there; finetune.max_length left out is chosen from the training rows"


def _of_the_first(rows: int, cut: float, length: int) -> str:
    share = f"{lengths.percent(cut)} of the first {rows:,} rows are" if cut else f"none of the first {rows:,} rows is"
    return f"{share} longer than {length} tokens"


def sentence(entry: Mapping[str, Any]) -> str:
    """One entry of :func:`cut_texts` in words."""
    length, numbers, steps = entry["max_length"], entry["measured"], first_of(entry["steps"])
    if numbers is None and length is None:
        return f"{steps}: finetune.max_length is chosen from the training rows"
    if first := entry.get("first_rows"):
        return f"{steps}: {entry['warning'] or _of_the_first(first['rows'], first['cut'], length)}"
    if numbers is None:
        return f"{steps}: how many texts have more than {length} tokens and are cut, the first training tells"
    before = f"in the last training, at {numbers['max_length']:g} tokens, " if length not in (None, numbers["max_length"]) else ""
    return f"{steps}: {before}{entry['warning'] or lengths.sentence(numbers)}"
