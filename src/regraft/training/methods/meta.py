"""``meta``: other labelled tasks make a start from which few rows of the pipeline's own teach more; then every weight is trained on these.

Nichol et al. 2018, "On First-Order Meta-Learning Algorithms" (Reptile), algorithm 1: an episode trains a few steps on one task, and the
start moves part of the way to where that led, less far with each episode (section 6.1). What tasks of a kind have in common moves it; what
only one of them needs is undone by the next. What lies above the body is of one task, and does not move the start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from regraft.training.methods.full import Full
from regraft.training.methods.multi_task import SideTaskOptions

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from regraft.training.fitting import Fitting
    from regraft.training.phase import Phase

START = "meta_start"
"""What the model calls its start while episodes go on: in its checkpoints, because an episode may be cut."""


class MetaOptions(SideTaskOptions):
    """Full fine-tuning from a start that other tasks made (Nichol et al. 2018, "Reptile")."""

    method: Literal["meta"]
    """Other tasks make the start."""
    episodes: int = Field(60, ge=1, le=10_000)
    """How often the start moves; the tasks take turns."""
    inner_steps: int = Field(8, ge=1, le=1_000)
    """Optimizer steps of an episode."""
    outer_rate: float = Field(0.5, gt=0, le=1)
    """Share of the way that the first episode moves the start; it falls to 0 with the last."""


class Meta(Full):
    """A phase for each episode, and the groups and rates of ``full`` afterwards."""

    name = "meta"
    version = 2
    rank = 54
    options = MetaOptions
    families = frozenset({"encoder", "decoder"})
    """Whose head is a module of its own."""

    def phases(self, fitting: Fitting, options: MetaOptions) -> list[Phase]:
        from torch import nn

        from regraft.training import side_tasks
        from regraft.training.fitting import Taken
        from regraft.training.phase import Group

        groups = self.groups(fitting.model, fitting.family, options)
        sides = side_tasks.fittings(fitting, options.max_length)
        heads, body = side_tasks.heads(sides), list(fitting.model.base_model.parameters())
        start = nn.Module()
        for place, weight in enumerate(body):
            start.register_buffer(str(place), weight.detach().clone())
        setattr(fitting.model, START, start)
        phases = []
        for episode in range(options.episodes):
            turn, number = divmod(episode, len(sides))
            taken = Taken(partial(_step, sides[number], turn * options.inner_steps), longest=sides[number])
            trained = [
                Group(body, options.learning_rate, "finetune.learning_rate"),
                Group(heads[number], options.head_learning_rate, "finetune.head_learning_rate"),
            ]
            rows, move = sides[number].rows, _moved(body, start, options.outer_rate * (1 - episode / options.episodes))
            tokens = sum(map(len, rows.ids)) / rows.steps
            phases.append(taken.phase(f"episode {episode + 1}", options.inner_steps, trained, tokens=tokens, factor=_unchanged, after=move))
        told = {"episodes": float(options.episodes), "side_rows": float(sum(len(side.rows.ids) for side in sides))}
        return [*phases, fitting.phase("all", options.epochs, groups, after=lambda: told)]

    def finish(self, model: PreTrainedModel) -> None:
        from regraft.training import side_tasks

        side_tasks.leave(model)
        delattr(model, START)


def _step(side: Fitting, before: int, step: int) -> tuple[Fitting, int]:
    return side, before + step


def _unchanged(step: int) -> float:
    """An episode is too short for a rate that rises and falls."""
    return 1.0


def _moved(body: list[nn.Parameter], start: nn.Module, rate: float) -> Callable[[], dict[str, float]]:
    """Moves the start by ``rate`` of the way to ``body``, and ``body`` to where it is then."""
    import torch

    def move() -> dict[str, float]:
        with torch.no_grad():
            for weight, began in zip(body, start.buffers(), strict=True):
                began.lerp_(weight, rate)
                weight.copy_(began)
        return {}

    return move


META = Meta()
