"""The part of a page about earlier tasks: each at every stage of the way."""

from __future__ import annotations

from typing import Any

from regraft.gates.case import Case
from regraft.gates.earlier_tasks import measured
from regraft.gates.stages import STAGE_WORDS


def section(case: Case) -> dict[str, Any] | None:
    """``measurements.json``'s earlier tasks with each stage in words; None where no gate asked."""
    measurements: dict[str, Any] | None = measured(case).get("earlier_tasks")
    if measurements is None:
        return None
    tasks = [{**task, "stages": [{**row, "said": STAGE_WORDS[row["stage"]]} for row in task["stages"]]} for task in measurements["tasks"]]
    return {**measurements, "tasks": tasks}
