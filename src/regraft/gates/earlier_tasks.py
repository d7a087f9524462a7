"""Earlier tasks: what an encoder has lost of tasks that it could be used for before it learned a domain and another task.

The answers come from the step ``earlier_tasks``: of four encoders, frozen, under the same linear probe, to the same held-out
rows. Compared is accuracy, row by row, so a task is what a slice is: a paired difference of shares with a score test, and all
tasks of the gate are one family under Holm's correction (:mod:`regraft.evaluation.stats.slices`). It is no bootstrap: where few rows
changed, a percentile interval is far too narrow, and few rows are what a small budget is about (measured in ADR 0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.data.options import EarlierRows, EarlierTask
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.power import POWER
from regraft.gates import budgets, words
from regraft.gates.options import CONFIDENCE, Confidence, GateOptions
from regraft.gates.protocol import Gate, Named, asked
from regraft.gates.section import Cell, Results, Section, SectionTable
from regraft.gates.stages import PRETRAINED, path_of, words_of
from regraft.gates.tables import Table
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regraft.evaluation.retention import EarlierAnswers
    from regraft.evaluation.stats.slices import SliceResult
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for what an encoder loses of tasks that it served before: accuracy of the same linear probe on it, frozen."""

    max_accuracy_loss: float = Field(gt=0, lt=1)
    """Accuracy that the candidate's encoder may lose against the base model as it came; on every task the whole interval must lie
    at or below it."""
    tasks: dict[str, EarlierTask] = Field(min_length=1)
    """A name for each task, and where its rows are."""

    def rows(self, digests: Mapping[str, str]) -> dict[str, EarlierRows]:
        """What is measured on, a task at a time; ``digests`` of their rows."""
        return {name: EarlierRows(**task.model_dump(), digest=digests[name]) for name, task in self.tasks.items()}


class EarlierTasks(GateOptions):
    """A limit to what an encoder may lose of what it could be used for."""

    gate: ClassVar[str] = "earlier_tasks"
    earlier_tasks: Budget
    """What the candidate's encoder has lost of earlier tasks, held against a budget."""
    confidence: Confidence = CONFIDENCE


def _load(path: Any) -> dict[str, EarlierAnswers]:
    from regraft.gates.evidence.earlier_tasks import load

    return load(path)


ANSWERS = Table("earlier_tasks", "earlier_tasks.parquet", step="earlier_tasks", path="earlier_tasks.parquet", load=_load)
"""Task -> answers of a linear probe at every stage."""


Tasks = Mapping[str, "EarlierAnswers"]


def judge(gate: EarlierTasks, comparison: Comparison) -> Finding:
    """The candidate's encoder, as it would be shipped, against the base model as it came; what it lost most of comes first."""
    options, case = gate.earlier_tasks, comparison.case
    answers = case.found(ANSWERS) or {}
    if missing := [name for name in options.tasks if name not in answers]:
        return Finding.without_number("earlier_tasks", 0, "inconclusive", "not_measured", tasks=missing)
    tasks = {name: answers[name] for name in options.tasks}
    path = path_of(comparison.candidate, next(iter(tasks.values())).answers)
    if problem := _not_finite(tasks, path):
        rows = sum(len(task.labels) for task in tasks.values())
        return Finding.without_number("earlier_tasks", rows, "fail", "not_finite", **problem)
    results = compared(tasks, path[-1], options.max_accuracy_loss, gate.confidence, case.policy.power or POWER)
    worst_first = sorted(results, key=lambda result: result.measured.value)
    held = [_held(result, tasks[result.value], options.tasks[result.value], path) for result in worst_first]
    return budgets.finding("earlier_tasks", held)


def compared(tasks: Tasks, stage: str, budget: float, confidence: float, power: float = POWER) -> list[SliceResult]:
    """``stage`` against the base model as it came, on every one of ``tasks``: one family."""
    import numpy as np

    from regraft.evaluation.stats.slices import Slice, compare

    of_row = np.repeat(np.arange(len(tasks)), [len(task.labels) for task in tasks.values()])
    slices = [Slice("task", name, of_row == number) for number, name in enumerate(tasks)]
    now, before = (np.concatenate([right(task, moment) for task in tasks.values()]) for moment in (stage, PRETRAINED))
    return compare(slices, now, before, margin=budget, confidence=confidence, power=power)


def right(task: EarlierAnswers, stage: str) -> NDArray[np.bool_]:
    """[rows] which of them the probe on ``stage`` gets right."""
    import numpy as np

    return np.array([answer == label for answer, label in zip(task.answers[stage], task.labels, strict=True)], dtype=np.bool_)


def lost(result: SliceResult) -> Measured:
    """The accuracy that was lost, against its budget: the difference of ``result``, turned round."""
    gain = result.measured
    value, low, high, threshold = (rounded(-number) for number in (gain.value, gain.high, gain.low, gain.threshold))
    return Measured(value, low, high, threshold, gain.confidence, gain.power, gain.detectable)


def _held(result: SliceResult, task: EarlierAnswers, options: EarlierTask, path: tuple[str, ...]) -> budgets.Held:
    """One task: every stage of the way, what the last one has lost, and what would settle it."""
    from regraft.data.earlier_tasks import HELD_OUT

    stages = [{"stage": stage, "accuracy": float(right(task, stage).mean())} for stage in path]
    more = None if result.more_rows is None else max(1, round(result.more_rows / HELD_OUT / 10)) * 10
    facts = {"task": result.value, "stages": stages, "data": options.data, "more_rows": more}
    return budgets.Held("accuracy", lost(result), result.n, facts=facts)


def _not_finite(tasks: Tasks, path: tuple[str, ...]) -> dict[str, Any] | None:
    """Which rows an encoder gives no usable features of, or None."""
    for name, task in tasks.items():
        for stage in path:
            rows = [str(number) for number, answer in enumerate(task.answers[stage]) if answer is None]
            if rows:
                return {"task": name, "stage": stage, "rows": words.listed(rows)}
    return None


def sentence(f: words.Document) -> str:
    """The finding in words: every task, what was lost most of first."""
    facts = f["facts"]
    if f["code"] == "not_measured":
        return f"nothing was measured on {', '.join(facts['tasks'])}, so nothing is known of what was forgotten there."
    if f["code"] == "not_finite":
        listing = f"held-out row{'s' * (facts['rows']['count'] > 1)} {words.some(facts['rows'])}"
        return f"the features of {facts['task']} {words_of(facts['stage'])} are not finite ({listing}); its training went wrong."
    opening = "a linear probe on the frozen encoder is right about this share of the held-out rows"
    return f"{opening}: {'; '.join(map(_part, facts['parts']))}."


def _part(part: words.Document) -> str:
    facts, value = part["facts"], part["value"]
    stages = ", ".join(f"{words.number(each['accuracy'])} {words_of(each['stage'])}" for each in facts["stages"])
    gap = f"{words.number(abs(value))} {'less' if value > 0 else 'more'} than at first" if value else "the same as at first"
    text = f"{facts['task']} {stages}: {gap} ({words.spread(part)}{words.shown(facts)}; {part['n']:,} rows){budgets.side(part)}"
    if part["outcome"] != "inconclusive":
        return text
    if facts["more_rows"] is None:
        return f"{text}; no sensible number of rows decides that"
    rows = f"label about {facts['more_rows']:,} more rows of {facts['data']} for 80 % power"
    return f"{text}; {rows}, of which every other one is held out"


def measured(comparison: Comparison) -> dict[str, Any]:
    """The part of ``measurements.json``: every task at every stage, and what was lost since the base model came; nothing without the gate.

    Intervals of what was lost are those of the gate: corrected for the number of tasks, at each stage.
    """
    gate, rows = next(asked(EARLIER_TASKS, comparison.case.policy.gates), None), comparison.case.found(ANSWERS)
    if gate is None or not rows:
        return {}
    from regraft.data.earlier_tasks import HELD_OUT

    budget = gate.earlier_tasks.max_accuracy_loss
    table: dict[str, dict[str, Any]] = {
        name: {"task": name, "rows": len(task.labels), "classes": len(set(task.labels)), "stages": []} for name, task in rows.items()
    }
    for stage in next(iter(rows.values())).answers:
        finite = {name: task for name, task in rows.items() if None not in (*task.answers[PRETRAINED], *task.answers[stage])}
        results = {} if stage == PRETRAINED else {result.value: result for result in compared(finite, stage, budget, gate.confidence)}
        for name, task in rows.items():
            table[name]["stages"].append(_stage(task, stage, results.get(name), gate.confidence))
    question = {"max_accuracy_loss": budget, "confidence": gate.confidence}
    return {"earlier_tasks": {**question, "held_out": HELD_OUT, "tasks": list(table.values())}}


def _stage(task: EarlierAnswers, stage: str, result: SliceResult | None, confidence: float) -> dict[str, Any]:
    """One stage of one task in full; None for what features that are not finite leave undefined."""
    from regraft.evaluation.stats.proportions import wilson

    row: dict[str, Any] = {"stage": stage, "accuracy": None, "lost": None, "detectable": None}
    if None not in task.answers[stage]:
        n, hits = len(task.labels), int(right(task, stage).sum())
        low, high = wilson(hits, n, confidence)
        row["accuracy"] = {"value": rounded(hits / n), "low": rounded(low), "high": rounded(high)}
    if result is not None:
        loss = lost(result)
        row["lost"] = {"value": loss.value, "low": loss.low, "high": loss.high, "confidence": loss.confidence}
        row |= {"detectable": loss.detectable, "gained_rows": result.gained, "lost_rows": result.lost}
    return row


def _section(results: Results) -> Section | None:
    """Each task at every stage of the way."""
    if (found := results.measurements.get("earlier_tasks")) is None:
        return None
    corrected = f", and corrected for {len(found['tasks'])} tasks" if len(found["tasks"]) > 1 else ""
    note = "Share of a task's held-out rows that a linear probe gets right: the same probe for every model, trained on the other rows of "
    note += "the task while the model stays as it is. Higher is better. "
    note += f"Intervals of {100 * found['confidence']:g} %; what was lost is paired"
    note += f"{corrected}. The budget is a loss of {found['max_accuracy_loss']:.3f}."
    head = ("model", "right", "interval", "", "lost since the first", "interval")
    tables = []
    for task in found["tasks"]:
        rows = tuple(_row(stage, found["max_accuracy_loss"]) for stage in task["stages"])
        size = f"{task['rows']:,} held-out rows of {task['classes']} classes."
        tables.append(SectionTable(head, rows, title=task["task"], note=size, roomy=(3,)))
    return Section("What is left of earlier tasks", "Earlier tasks", note, tables=tuple(tables))


def _row(stage: Mapping[str, Any], budget: float) -> tuple[Cell, ...]:
    accuracy, lost, name = stage["accuracy"], stage["lost"], Cell(words_of(stage["stage"]))
    cells = (name, Cell("not finite"), Cell(""), Cell(""))
    if accuracy:
        spread = Cell(f"{accuracy['low']:.3f} to {accuracy['high']:.3f}", "muted")
        cells = (name, Cell(f"{accuracy['value']:.3f}"), spread, Cell("", bar=accuracy["value"]))
    return (*cells, *budgets.cells(lost, budget)) if lost else (*cells, Cell(""), Cell(""))


def _read(gate: EarlierTasks, named: Named) -> dict[str, str]:
    """Digests of the rows of each task."""
    tasks = gate.earlier_tasks.tasks
    return {name: named.digest(task.data, "earlier_tasks", "tasks", name, "data") for name, task in tasks.items()}


EARLIER_TASKS = Gate(
    EarlierTasks,
    judge,
    sentence,
    evidence=(ANSWERS,),
    of_encoder=True,
    measured=measured,
    once="write one such gate with all its tasks",
    reads=_read,
    change=lambda f: budgets.change_of("accuracy lost on the earlier task that decides", f, words.number),
    remedy="a run of the step `earlier_tasks`",
    failed=lambda _: "it lost more of an earlier task than is allowed",
    unsettled="the earlier tasks have too few rows to tell what the new model has forgotten",
    section=_section,
)
