"""What the training loop runs: phases of steps, groups of parameters, and what a person is told of their batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """Parameters that share a peak rate."""

    parameters: Sequence[nn.Parameter]
    rate: float
    option: str = ""
    """Key of the pipeline file that sets the rate."""


@dataclass(frozen=True)
class Watch:
    """Looks at the model every so many steps, and ends a phase that went too far at the last look that found it had not."""

    every: int
    allows: Callable[[int, dict[str, float]], bool]
    """(steps done in the phase, notes, to which it may add) -> whether the model may be as it is; asked first at step 0."""


@dataclass(frozen=True)
class Look:
    """Measures the model every so many steps, for a curve and for nothing else: it changes no weight and draws nothing at random."""

    every: int
    measure: Callable[[], dict[str, float]]
    """Of the weights as they are: name of a curve -> its next value."""


@dataclass(frozen=True)
class Phase:
    """Steps trained with one optimizer on one set of parameters; every other parameter of the model is frozen."""

    name: str
    steps: int
    loss: Callable[[int], tuple[Tensor, int]]
    """(mean loss of one step of this phase, counted from 0; how many losses it is the mean of)."""
    groups: Sequence[Group]
    dropout: bool = True
    """The model's own dropout, seeded anew for every step."""
    after: Callable[[], dict[str, float]] = dict
    """Measures the model when the phase is done; the numbers survive in later checkpoints."""
    batches: Batches | None = None
    """What a person is told of a batch that cannot be trained on."""
    watch: Watch | None = None
    look: Look | None = None
    penalty: Callable[[], Tensor] | None = None
    """What the weights themselves cost, added to the loss once a step; None: nothing."""
    part: Callable[[int, int, int], tuple[Tensor, int] | None] | None = None
    """(step, k, n) -> ``loss`` of the k-th of n parts of the step's rows, of which every row is in one; None: that part has no rows.
    Without it a phase cannot be trained in parts."""
    tokens: float | None = None
    """Tokens read in one step, on average; None: they are not counted."""
    factor: Callable[[int], float] | None = None
    """Step of the phase -> share of the groups' peak rates; None: :func:`regraft.training.loop.schedule`."""


@dataclass(frozen=True)
class Batches:
    """What a person is told of a phase's batches."""

    option: str
    """Key of the pipeline file that sets the rows of a batch, such as ``finetune.batch_size``."""
    rows: Callable[[int], Sequence[str]]
    """Ids of the rows of one step."""
    length: Callable[[int], int]
    """Tokens of the longest row of one step."""
    largest: Callable[[int], tuple[Tensor, int]]
    """Loss, as of a step, of a batch of so many rows, the longest there are."""
    accumulated: tuple[str, int] | None = None
    """Key of the pipeline file that computes a batch in parts, one after the other, and the most of them there may be; None: none does."""
