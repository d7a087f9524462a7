"""Columns that a drop calls otherwise than the pipeline's data: said by whoever hands it in, and never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from regraft.core.errors import ConfigError, Problem
from regraft.data.options import TaskOptions
from regraft.data.rows import Fault, Row, broken


@dataclass(frozen=True)
class Renames:
    """The drop's name of a column -> the pipeline's."""

    ours: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Sequence[str]) -> Renames:
        """What ``THEIRS=OURS`` says; ConfigError where it says nothing, or one name twice."""
        pairs = [text.partition("=")[::2] for text in said]
        if nothing := next((text for text, (theirs, ours) in zip(said, pairs, strict=True) if not (theirs and ours)), None):
            raise ConfigError(f"--rename {nothing}: it takes the drop's name and the pipeline's", fix="--rename message=body")
        renames = cls(dict(pairs))
        if len({*renames.ours.values()}) < len(pairs):
            raise ConfigError("--rename names one column twice", fix="name each column once: --rename message=body --rename queue=team")
        return renames

    def theirs(self, name: str) -> str:
        """What the drop calls the pipeline's column ``name``."""
        return next((theirs for theirs, ours in self.ours.items() if ours == name), name)

    def of_task(self, task: TaskOptions) -> TaskOptions:
        """``task`` with the drop's names, by which exports of annotation tools are read."""
        names = {key: self.theirs(name) for key in ("id", "text", "text_pair", "label") if (name := getattr(task, key)) is not None}
        return task.model_copy(update=names)

    def row(self, row: Row) -> Row:
        """``row`` with the pipeline's names. One that has a column of such a name already cannot be told apart."""
        if not self.ours:
            return row
        if both := [name for theirs, name in self.ours.items() if theirs in row.values and name in row.values and theirs != name]:
            return broken(row.file, row.number, "row.renamed", f"it has a column {both[0]!r} besides the one that is renamed so", row.raw)
        values = {self.ours.get(name, name): text for name, text in row.values.items()}
        return replace(row, values=values, faults=tuple(map(self._fault, row.faults)))

    def _fault(self, fault: Fault) -> Fault:
        name = self.ours.get(fault.column or "")
        return fault if name is None else replace(fault, column=name, rule=fault.rule.replace(f"{fault.column}.", f"{name}.", 1))

    def told(self, problem: Problem, task: TaskOptions) -> Problem:
        """``problem`` with a next step for whoever hands a drop in: names of `task` are those of the data that are there."""
        if problem.get("rule") != "header.required" or "`task`" not in str(problem.get("fix")):
            return problem
        missing = [
            name for name in (task.id, *task.texts, task.label) if name is not None and f"{name!r}" in problem["message"].split(".")[0]
        ]
        says = " ".join(f"--rename YOURS={name}" for name in missing or [problem.get("column") or task.text])
        return Problem({**problem, "fix": f"name the columns as the pipeline does, or say what yours are called: {says}"})


NO_RENAMES = Renames()
