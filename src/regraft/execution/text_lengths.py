"""What ``plan`` knows of texts that are cut: what the last fine-tuning measured, and whether that still holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.core import files
from regraft.core.quantities import first_of
from regraft.core.workspace import Workspace
from regraft.training import lengths


def cut_texts(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For every length that fine-tunings read: their ``steps``, ``max_length`` (None: the data choose), ``measured`` and ``warning``.

    ``measured`` holds the numbers of :func:`regraft.training.lengths.measured` from the last time that the steps ran here; None: never.
    """
    told: list[dict[str, Any]] = []
    for step, section in resolved.items():
        if not step.startswith("finetune-") or "max_length" not in section["finetune"]:
            continue
        length, path = section["finetune"]["max_length"], workspace.artifacts(pipeline, step) / "record.json"
        numbers = next((known for _, known in lengths.by_step([files.read_json(path)])), None) if path.is_file() else None
        entry = {"max_length": length, "measured": numbers, "warning": lengths.warning(numbers) if numbers else None}
        same = next((known for known in told if {**known, "steps": None} == {**entry, "steps": None}), None)
        if same:
            same["steps"].append(step)
        else:
            told.append({"steps": [step], **entry})
    return told


def sentence(entry: Mapping[str, Any]) -> str:
    """One entry of :func:`cut_texts` in words."""
    length, numbers, steps = entry["max_length"], entry["measured"], first_of(entry["steps"])
    if numbers is None and length is None:
        return f"{steps}: finetune.max_length is chosen from the training rows"
    if numbers is None:
        return f"{steps}: how many texts have more than {length} tokens and are cut, the first training tells"
    before = f"in the last training, at {numbers['max_length']:g} tokens, " if length not in (None, numbers["max_length"]) else ""
    return f"{steps}: {before}{entry['warning'] or lengths.sentence(numbers)}"
