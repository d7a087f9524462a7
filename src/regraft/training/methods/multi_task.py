"""``multi_task``: every weight is trained, and on other labelled tasks too, each under a head of its own.

Liu et al. 2019, "Multi-Task Deep Neural Networks for Natural Language Understanding" (MT-DNN), algorithm 1: a step trains one task, and
tasks take turns at random. How often is tempered by their sizes (Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer", section 3.5.2). The other heads are left out of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from regraft.data.options import TaskRows
from regraft.training.methods.full import Full
from regraft.training.options import GradientOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from regraft.training.fitting import Fitting
    from regraft.training.phase import Phase

TaskName = Annotated[str, StringConstraints(min_length=1)]


class SideTaskOptions(GradientOptions):
    """What methods share that learn other tasks as well."""

    tasks: dict[TaskName, TaskRows] = Field(min_length=1)
    """A name for each other task, and where its labelled rows are. A row whose text tests or calibrates the model is left out."""


class MultiTaskOptions(SideTaskOptions):
    """Full fine-tuning on several tasks at once (Liu et al. 2019, "MT-DNN")."""

    method: Literal["multi_task"]
    """Other tasks are learned beside the pipeline's own."""
    temperature: float = Field(2.0, ge=1, le=100)
    """How near the tasks come to taking as many steps each: at 1 a task's steps grow with its rows, at 2 with their square root, at 100 all
    take nearly as many. The pipeline's own rows are read once an epoch whatever it is."""


class MultiTask(Full):
    """The groups and rates of ``full``, and the other heads at ``head_learning_rate``."""

    name = "multi_task"
    version = 2
    rank = 52
    options = MultiTaskOptions
    families = frozenset({"encoder", "decoder"})
    """Whose head is a module of its own."""

    def phases(self, fitting: Fitting, options: MultiTaskOptions) -> list[Phase]:
        from regraft.training import side_tasks
        from regraft.training.fitting import Taken
        from regraft.training.phase import Group
        from regraft.training.schedules import factor_of

        groups = self.groups(fitting.model, fitting.family, options)
        sides = side_tasks.fittings(fitting, options.max_length)
        groups += [Group(head, options.head_learning_rate, "finetune.head_learning_rate") for head in side_tasks.heads(sides)]
        fitted = [fitting, *sides]
        turns = side_tasks.Turns([each.rows for each in fitted], options.temperature, fitting.learning.seed)

        def at(step: int) -> tuple[Fitting, int]:
            task, own = turns.turn(step)
            return fitted[task], own

        taken = Taken(at, longest=max(fitted, key=lambda each: max(map(len, each.rows.ids))))
        steps, read = turns.steps * options.epochs, _tokens(fitted, turns.of_epoch)
        told = {"tokens": read * options.epochs, "steps": float(steps), "side_rows": float(sum(len(side.rows.ids) for side in sides))}
        factor = factor_of(options.schedule, steps)
        look = fitting.look(turns.steps)
        return [taken.phase("all", steps, groups, tokens=read / turns.steps, factor=factor, after=lambda: told, look=look)]

    def finish(self, model: PreTrainedModel) -> None:
        from regraft.training import side_tasks

        side_tasks.leave(model)


def _tokens(fitted: list[Fitting], steps: list[int]) -> float:
    """Tokens that one epoch reads, on average."""
    return sum(count * sum(map(len, each.rows.ids)) / each.rows.steps for each, count in zip(fitted, steps, strict=True))


MULTI_TASK = MultiTask()
