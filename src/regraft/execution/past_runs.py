"""Earlier runs of the steps: what their records say, and how large what they read and wrote was.

DVC keeps both. A stage's entry in dvc.lock or in the run cache has the size of every input and output, and the
record is one of its outputs, so that nothing needs a store of its own and a run that failed forgets nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.config.step_names import current_name, kind_of
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats

COMMAND = re.compile(r"regraft step (?P<step>[\w-]+) --pipeline (?P<pipeline>\w+) --step-version (?P<version>\d+)")
MOST = 100
"""Entries of the run cache that are read, newest first: 0.2 s."""


@dataclass(frozen=True, eq=False)
class PastRun:
    """One earlier run of a step."""

    step: str
    """Its name today, ``<step>-<candidate>`` of an instance."""
    pipeline: str
    version: int
    record: Mapping[str, Any]
    sizes: Mapping[str, int]
    """Bytes of each input, by its name; those of one that is a list of paths, together."""
    out: int
    """Bytes below ``out/``."""
    listing: str
    """md5 of the list of files below ``out/``, by which DVC's cache has it."""
    current: bool
    """It made the output that dvc.lock names."""

    @property
    def run(self) -> str:
        """The run that computed it."""
        return str(self.record.get("run") or "a run")


def past_runs(workspace: Workspace, kinds: Collection[str]) -> dict[str, list[PastRun]]:
    """Runs of these steps in this workspace, whatever their pipeline and candidate; newest first."""
    cache = dvc_formats.cache_folder(workspace)
    by_kind: dict[str, dict[tuple[str, str, str], PastRun]] = {kind: {} for kind in kinds}
    for entry, current in _entries(workspace, cache, kinds):
        past = _past(entry, current, cache)
        if past is not None:  # an entry of dvc.lock is in the run cache too; the first one stays
            by_kind[kind_of(past.step)].setdefault((past.run, past.pipeline, past.step), past)
    return {kind: sorted(pasts.values(), key=lambda past: str(past.record["started"]), reverse=True) for kind, pasts in by_kind.items()}


def _entries(workspace: Workspace, cache: Path, kinds: Collection[str]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    def ours(text: str) -> bool:
        return (command := COMMAND.search(text)) is not None and kind_of(command["step"]) in kinds

    for stage in dvc_formats.stages(workspace).values():
        if ours(stage.get("cmd", "")):
            yield stage, True
    for path in sorted(dvc_formats.results(cache), key=lambda path: -path.stat().st_mtime_ns)[:MOST]:
        text = path.read_text(encoding="utf8", errors="replace")
        if ours(text) and (result := dvc_formats.read_result(text)) is not None:
            yield result, False


def _past(entry: Mapping[str, Any], current: bool, cache: Path) -> PastRun | None:
    """The run behind an entry; None where its record is no longer in the cache."""
    command = COMMAND.match(entry.get("cmd", ""))
    if command is None:
        return None
    outs = {str(out["path"]).rpartition("/")[2]: out for out in entry.get("outs", [])}
    input_sizes = {dep["path"]: dep.get("size", 0) for dep in entry.get("deps", [])}
    try:
        record = files.read_json(dvc_formats.object_path(cache, outs["record.json"]["md5"]))
        sizes: Counter[str] = Counter()
        for name, item in record["inputs"].items():
            sizes[name.partition(".")[0]] += int(input_sizes[item["path"]])
        return PastRun(
            current_name(command["step"]),
            command["pipeline"],
            int(command["version"]),
            record,
            sizes,
            int(outs["out"]["size"]),
            str(outs["out"]["md5"]),
            current,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
