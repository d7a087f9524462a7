"""Defaults that meant something else before are written into the pipeline files that relied on them: no model changes by an upgrade."""

from __future__ import annotations

from typing import Any

import yaml

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import read_yaml

SECTION, KEY, VALUE = "finetune", "max_length", 64
"""The length at which 0.1 and 0.2 cut texts where their file named none; from 0.3 on the data choose."""
BEFORE = (0, 3)
"""The first version to which the key left out means something else."""


def keep(workspace: Workspace, version: str) -> tuple[list[str], list[str]]:
    """Write ``finetune: {max_length: 64}`` into each pipeline file of a workspace of ``version`` that has no such key.

    :returns: the files that were written, and those whose owners have to, because their YAML is not edited safely.
    """
    written: list[str] = []
    left: list[str] = []
    if tuple(int(part) for part in version.split(".")[:2]) >= BEFORE:
        return written, left
    for name in workspace.pipelines:
        path = workspace.pipeline_file(name)
        shown = workspace.relative(path)
        try:
            value, node = read_yaml(path, shown)
        except ConfigError:
            continue  # whoever mends it is told by `plan`
        if KEY in (value.get(SECTION) or {}):
            continue
        text = path.read_text(encoding="utf8")
        edited = _with_key(text, node)
        if _reads_as(edited, {**value, SECTION: {**(value.get(SECTION) or {}), KEY: VALUE}}):
            files.write_text(path, edited)
            written.append(shown)
        else:
            left.append(shown)
    return written, left


def _with_key(text: str, node: Any) -> str:
    """``text`` with one line more, or a few characters, where its section is; whatever else is in it stays as it is."""
    section = next((value for key, value in node.value if key.value == SECTION), None)
    if section is None:
        line = f"\n# What regraft 0.2 cut texts at. Without it the training rows choose.\n{SECTION}:\n  {KEY}: {VALUE}\n"
        return text + line if text.endswith("\n") else f"{text}\n{line}"
    if not isinstance(section, yaml.MappingNode):
        return text
    if section.flow_style:
        place = section.start_mark.index + 1
        return f"{text[:place]}{KEY}: {VALUE}{', ' if section.value else ''}{text[place:]}"
    first = section.value[0][0].start_mark
    return f"{text[: first.index]}{KEY}: {VALUE}  # what regraft 0.2 cut texts at\n{' ' * first.column}{text[first.index :]}"


def _reads_as(text: str, value: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == value)
    except yaml.YAMLError:
        return False
