"""Earlier tasks: what an encoder has lost of tasks that it could be used for before it learned a domain and another task.

The answers come from the step ``earlier_tasks``: of four encoders, frozen, under the same linear probe, to the same held-out
rows. Compared is accuracy, row by row, so a task is what a slice is: a paired difference of shares with a score test, and all
tasks of the gate are one family under Holm's correction (:mod:`regraft.evaluation.stats.slices`). It is no bootstrap: where few rows
changed, a percentile interval is far too narrow, and few rows are what a small budget is about (measured in ADR 0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.data.earlier_tasks import HELD_OUT
from regraft.data.options import EarlierTask
from regraft.evaluation.retention import EarlierAnswers
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.power import POWER
from regraft.evaluation.stats.proportions import wilson
from regraft.evaluation.stats.slices import Slice, SliceResult, compare
from regraft.gates import budgets, words
from regraft.gates.case import Case
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.stages import PATHS, PRETRAINED, STAGE_WORDS, STAGES
from regraft.gates.verdict import Finding

Tasks = Mapping[str, EarlierAnswers]


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The candidate's encoder, as it would be shipped, against the base model as it came; what it lost most of comes first."""
    options, case, path = gate.earlier_tasks, comparison.case, PATHS[comparison.candidate]
    assert options is not None
    answers = case.earlier_tasks or {}
    if missing := [name for name in options.tasks if name not in answers]:
        return Finding.without_number("earlier_tasks", 0, "inconclusive", "not_measured", tasks=missing)
    tasks = {name: answers[name] for name in options.tasks}
    if problem := _not_finite(tasks, path):
        rows = sum(len(task.labels) for task in tasks.values())
        return Finding.without_number("earlier_tasks", rows, "fail", "not_finite", **problem)
    results = compared(tasks, path[-1], options.max_accuracy_loss, gate.confidence, case.policy.power or POWER)
    worst_first = sorted(results, key=lambda result: result.measured.value)
    held = [_held(result, tasks[result.value], options.tasks[result.value], path) for result in worst_first]
    return budgets.finding("earlier_tasks", held)


def compared(tasks: Tasks, stage: str, budget: float, confidence: float, power: float = POWER) -> list[SliceResult]:
    """``stage`` against the base model as it came, on every one of ``tasks``: one family."""
    of_row = np.repeat(np.arange(len(tasks)), [len(task.labels) for task in tasks.values()])
    slices = [Slice("task", name, of_row == number) for number, name in enumerate(tasks)]
    now, before = (np.concatenate([right(task, moment) for task in tasks.values()]) for moment in (stage, PRETRAINED))
    return compare(slices, now, before, margin=budget, confidence=confidence, power=power)


def right(task: EarlierAnswers, stage: str) -> NDArray[np.bool_]:
    """[rows] which of them the probe on ``stage`` gets right."""
    return np.array([answer == label for answer, label in zip(task.answers[stage], task.labels, strict=True)], dtype=np.bool_)


def lost(result: SliceResult) -> Measured:
    """The accuracy that was lost, against its budget: the difference of ``result``, turned round."""
    gain = result.measured
    value, low, high, threshold = (rounded(-number) for number in (gain.value, gain.high, gain.low, gain.threshold))
    return Measured(value, low, high, threshold, gain.confidence, gain.power, gain.detectable)


def _held(result: SliceResult, task: EarlierAnswers, options: EarlierTask, path: tuple[str, ...]) -> budgets.Held:
    """One task: every stage of the way, what the last one has lost, and what would settle it."""
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
        return f"the features of {facts['task']} {STAGE_WORDS[facts['stage']]} are not finite ({listing}); its training went wrong."
    opening = "a linear probe on the frozen encoder is right about this share of the held-out rows"
    return f"{opening}: {'; '.join(map(_part, facts['parts']))}."


def _part(part: words.Document) -> str:
    facts, value = part["facts"], part["value"]
    stages = ", ".join(f"{words.number(each['accuracy'])} {STAGE_WORDS[each['stage']]}" for each in facts["stages"])
    gap = f"{words.number(abs(value))} {'less' if value > 0 else 'more'} than at first" if value else "the same as at first"
    text = f"{facts['task']} {stages}: {gap} ({words.spread(part)}{words.shown(facts)}; {part['n']:,} rows){budgets.side(part)}"
    if part["outcome"] != "inconclusive":
        return text
    if facts["more_rows"] is None:
        return f"{text}; no sensible number of rows decides that"
    rows = f"label about {facts['more_rows']:,} more rows of {facts['data']} for 80 % power"
    return f"{text}; {rows}, of which every other one is held out"


def measured(case: Case) -> dict[str, Any]:
    """The part of ``measurements.json``: every task at every stage, and what was lost since the base model came; nothing without the gate.

    Intervals of what was lost are those of the gate: corrected for the number of tasks, at each stage.
    """
    gate = next((gate for gate in case.policy.gates if gate.earlier_tasks is not None), None)
    if gate is None or gate.earlier_tasks is None or not case.earlier_tasks:
        return {}
    budget, rows = gate.earlier_tasks.max_accuracy_loss, case.earlier_tasks
    table: dict[str, dict[str, Any]] = {
        name: {"task": name, "rows": len(task.labels), "classes": len(set(task.labels)), "stages": []} for name, task in rows.items()
    }
    for stage in STAGES:
        finite = {name: task for name, task in rows.items() if None not in (*task.answers[PRETRAINED], *task.answers[stage])}
        results = {} if stage == PRETRAINED else {result.value: result for result in compared(finite, stage, budget, gate.confidence)}
        for name, task in rows.items():
            table[name]["stages"].append(_stage(task, stage, results.get(name), gate.confidence))
    question = {"max_accuracy_loss": budget, "confidence": gate.confidence}
    return {"earlier_tasks": {**question, "held_out": HELD_OUT, "tasks": list(table.values())}}


def _stage(task: EarlierAnswers, stage: str, result: SliceResult | None, confidence: float) -> dict[str, Any]:
    """One stage of one task in full; None for what features that are not finite leave undefined."""
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
