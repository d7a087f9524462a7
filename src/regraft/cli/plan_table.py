"""The table of ``plan``: a step a row, with what it costs and why it runs, as wide as the terminal lets it be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from regraft.core.quantities import roughly, size

if TYPE_CHECKING:
    from regraft.execution.plan import Assessment
    from regraft.execution.run_cost import RunCost, StepCost

COSTS = ("tokens", "disk", "time")
"""Columns of costs, the first to go first where the reasons need the room; the sum stands below the table."""
WAITS = re.compile(r"if (\S+) comes out different")
WHY = 24
"""Columns that reasons get, unless none needs so many."""
MARKS = {"up to date": "up to date", "runs": "[yellow]runs[/]", "may run": "[dim]may run[/]"}
Row = tuple[str, str, Mapping[str, str], str]
"""Name, state, cells of costs, reasons."""


def plan_table(assessment: Assessment, decision: str | None, costs: RunCost, width: int) -> Table:
    """The table for a terminal of ``width`` columns; steps that nothing asks for are not in it."""
    of_step = {step.name: step for step in costs.steps}
    rows: list[Row] = [
        *(
            (step.name, _state(step.state == "fresh", step.certain), _cells(of_step.get(step.name)), reasons(step.why))
            for step in assessment.steps
            if not step.idle
        ),
        ("decide", _state(decision is None, True), {}, decision or ""),
    ]
    shown = _that_fit(rows, width) if costs.known else ()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("step", "", *shown, "why"):
        table.add_column(column, justify="right" if column in COSTS else "left", no_wrap=column != "why")
    for name, state, cells, why in rows:
        table.add_row(name, MARKS[state], *(cells.get(column, "") for column in shown), escape(why))
    return table


def reasons(why: Sequence[str]) -> str:
    """The reasons of one step in a sentence: "if contract, splits or tfidf comes out different"."""
    waits = [match[1] for reason in why if (match := WAITS.fullmatch(reason))]
    if len(waits) < 2:
        return "; ".join(why)
    others = [reason for reason in why if not WAITS.fullmatch(reason)]
    return "; ".join([*others, f"if {', '.join(waits[:-1])} or {waits[-1]} comes out different"])


def _state(fresh: bool, certain: bool) -> str:
    return "up to date" if fresh else "runs" if certain else "may run"


def _that_fit(rows: Sequence[Row], width: int) -> tuple[str, ...]:
    """The columns of costs that leave room for the reasons, in the order in which they stand."""
    wanted = min(WHY, max(len(row[3]) for row in rows))
    fixed = max(len(row[0]) for row in rows) + max(len(row[1]) for row in rows) + 4
    for first in range(len(COSTS) + 1):
        kept = COSTS[first:]
        if fixed + sum(max(len(column), *(len(row[2].get(column, "")) for row in rows)) + 2 for column in kept) + wanted <= width:
            break
    return tuple(column for column in ("tokens", "time", "disk") if column in kept)


def _cells(step: StepCost | None) -> dict[str, str]:
    """Tokens, time and disk of one step; nothing for a step that does not run."""
    if step is None:
        return {}
    return {
        "tokens": "" if step.tokens is None else f"{step.tokens:,}",
        "time": "unknown" if step.minutes is None else roughly(60 * step.minutes),
        "disk": "unknown" if step.disk_bytes is None else size(step.disk_bytes),
    }
