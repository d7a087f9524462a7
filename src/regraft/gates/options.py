"""What every line of ``gates:`` is made of. A gate's own keys stand in its file (:mod:`regraft.gates.registry`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from regraft.core.strict import Strict

Model = TypeVar("Model", bound=Strict)
Metric = Literal["macro_f1", "accuracy", "micro_f1", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "log_loss"]
Confidence = Annotated[
    float,
    Field(ge=0.5, lt=1, description="Coverage of the two-sided interval; over all slices, groups or tests of the gate together."),
]
Clean = Annotated[
    Literal["clean"] | None,
    Field(
        description="`clean`: only test rows that share no long run of words with training rows or corpus decide; "
        "all rows are shown beside them."
    ),
]
CONFIDENCE = 0.95
DISCOVERED_SLICES = ("text_length", "text_script", "text_oov", "text_cluster")
"""Slices that need no column: bands of length in words, writing system, bands of out-of-vocabulary share, clusters of topics."""


class GateOptions(Strict):
    """One line of ``gates:``: exactly one gate, and the keys that belong to it."""

    gate: ClassVar[str]
    """The key that names the gate, which is the gate's name."""


class MetricOptions(GateOptions):
    """A gate on a metric of all rows, or of the clean ones."""

    metric: Metric = "macro_f1"
    """What is compared."""


def is_clean(asked: GateOptions) -> bool:
    """Whether the clean rows alone decide."""
    return getattr(asked, "rows", None) == "clean"


def seeds_of(gates: Sequence[GateOptions]) -> int | None:
    """How many seeds the gates ask for; None: one, and nothing is said of seeds."""
    return next((seeds for gate in gates if (seeds := getattr(gate, "seeds", None)) is not None), None)


def at_least_one(budgets: Model) -> Model:
    """``budgets``, if one is set; ValueError otherwise."""
    if not budgets.model_fields_set or all(value is None for _, value in budgets):
        names = ", ".join(f"`{name}`" for name in type(budgets).model_fields)
        raise ValueError(f"write at least one of {names}")
    return budgets
