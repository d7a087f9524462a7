"""The names of the task types: what they do is said in :mod:`regraft.models.task_types`, where a model is at hand."""

from __future__ import annotations

from typing import Any

from regraft.core.registry import Registry

TASK_TYPES: Registry[Any] = Registry(
    "regraft.task_types", "task type", {"text-classification": "regraft.models.task_types.text_classification:TEXT_CLASSIFICATION"}
)
