"""What a line of ``gates:`` may ask, and the keys that may stand beside each question."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from regraft.config.strict import Strict

Model = TypeVar("Model", bound=Strict)
Metric = Literal["macro_f1", "accuracy", "micro_f1", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "log_loss"]
DISCOVERED_SLICES = ("text_length", "text_script", "text_oov", "text_cluster")
"""Slices that need no column: bands of length in words, writing system, bands of out-of-vocabulary share, clusters of topics."""
QUESTIONS: dict[str, frozenset[str]] = {
    "beats": frozenset({"metric", "confidence"}),
    "at_least": frozenset({"metric", "confidence"}),
    "non_inferior_by": frozenset({"metric", "confidence", "against", "slices", "min_rows"}),
    "negative_flips": frozenset({"confidence"}),
    "holdout": frozenset(),
    "calibration": frozenset({"confidence"}),
    "cost": frozenset({"confidence"}),
}
"""What a gate can ask -> the keys that may stand beside it."""


class NegativeFlips(Strict):
    """A budget for rows that the champion got right and the candidate gets wrong."""

    max: float = Field(ge=0, le=1)
    """Share of all test rows; the whole interval must lie at or below it."""


class Holdout(Strict):
    """A budget for decisions on the same test rows; each one tells the next candidate a little about them."""

    budget: int = Field(ge=1)
    """Decisions that may be taken before fresh test rows are asked for."""


class Calibration(Strict):
    """Budgets for how far probabilities are from how often they are right; at least one."""

    max_ece: float | None = Field(None, gt=0, le=1)
    """Expected calibration error: the mean gap between probability and share of right answers, over bins of equally many rows."""
    max_brier: float | None = Field(None, gt=0, le=2)
    """Brier score: mean over rows of the sum over classes of (probability - truth) squared. 0 is perfect, 2 the worst."""
    min_coverage: float | None = Field(None, gt=0, le=1)
    """Share of the test rows that the model has to answer; with `abstain` only."""

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        return _at_least_one(self)


class ServingCost(Strict):
    """Budgets for what serving the candidate takes, measured once per model and kind of machine; at least one."""

    p50_ms_batch_1: float | None = Field(None, gt=0)
    """Median milliseconds for one text."""
    p95_ms_batch_1: float | None = Field(None, gt=0)
    """Milliseconds that 95 of 100 single texts stay within."""
    p50_ms_batch_32: float | None = Field(None, gt=0)
    """Median milliseconds for 32 texts at once."""
    p95_ms_batch_32: float | None = Field(None, gt=0)
    """Milliseconds that 95 of 100 batches of 32 texts stay within."""
    peak_mb: float | None = Field(None, gt=0)
    """Most memory of the process that loads the model and answers, in MB of 10^6 bytes; on a GPU, of its memory as well."""
    size_mb: float | None = Field(None, gt=0)
    """Size of the model's files, in MB of 10^6 bytes."""

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        return _at_least_one(self)


def _at_least_one(budgets: Model) -> Model:
    if not budgets.model_fields_set or all(value is None for _, value in budgets):
        raise ValueError(f"write at least one of {', '.join(f'`{name}`' for name in type(budgets).model_fields)}")
    return budgets


class GateOptions(Strict):
    """One gate: exactly one question, and the keys that belong to it."""

    metric: Metric = "macro_f1"
    """What is compared; slices are compared by accuracy."""
    beats: Literal["champion", "tfidf"] | None = None
    """The paired-bootstrap interval of candidate minus this model must lie above 0."""
    at_least: float | None = Field(None, ge=-1, le=1)
    """The lower end of the candidate's interval must reach this value."""
    non_inferior_by: float | None = Field(None, ge=0, le=1)
    """The interval of candidate minus `against` must lie above minus this margin."""
    against: Literal["champion", "tfidf"] = "champion"
    """What the candidate must not be worse than."""
    slices: tuple[str, ...] | None = Field(None, min_length=1)
    """Ask it of every slice: columns of the labelled data, or text_length, text_script, text_oov, text_cluster."""
    min_rows: int = Field(30, ge=10)
    """Smaller slices are counted and not judged."""
    negative_flips: NegativeFlips | None = None
    """The share of rows that the champion got right and the candidate gets wrong, held against a budget."""
    holdout: Holdout | None = None
    """How often these test rows have decided, held against a budget."""
    calibration: Calibration | None = None
    """How far the candidate's probabilities can be trusted."""
    cost: ServingCost | None = None
    """What serving the candidate takes."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Coverage of the two-sided interval; over all slices together, by Holm's correction."""

    @property
    def question(self) -> str:
        """The one key of :data:`QUESTIONS` that is set."""
        return next(name for name in QUESTIONS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _exactly_one_question(self) -> Self:
        asked = [name for name in QUESTIONS if getattr(self, name) is not None]
        if len(asked) != 1:
            raise ValueError(f"a gate has exactly one of {', '.join(f'`{name}`' for name in QUESTIONS)}")
        if idle := sorted(self.model_fields_set - QUESTIONS[asked[0]] - set(QUESTIONS)):
            raise ValueError(f"`{asked[0]}` does not read {', '.join(f'`{name}`' for name in idle)}; take it out")
        if self.at_least is not None and self.metric == "log_loss":
            raise ValueError("log_loss is better when it is lower, so `at_least` is no floor; use `beats` or `non_inferior_by`")
        if self.at_least is not None and self.at_least < 0 and self.metric != "mcc":
            raise ValueError(f"{self.metric} is never below 0, so at_least: {self.at_least:g} asks nothing")
        if self.cost is not None and self.confidence > 0.99:
            raise ValueError("`cost` times a model often enough for a confidence of 0.99, not more")
        return self

    @model_validator(mode="after")
    def _slices_are_judged_by_accuracy(self) -> Self:
        if self.slices is None:
            if "min_rows" in self.model_fields_set:
                raise ValueError("`min_rows` is about `slices`; name some, or take it out")
            return self
        if "metric" in self.model_fields_set and self.metric != "accuracy":
            raise ValueError(f"slices are compared by accuracy, not {self.metric}: most classes have too few rows in a slice")
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("a column stands twice in `slices`")
        return self

    @model_serializer(mode="wrap")
    def _only_what_the_question_reads(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Resolved files and evidence hold no key without an effect."""
        read = QUESTIONS[self.question] | set(QUESTIONS)
        read -= {"metric"} if self.slices else {"min_rows"}
        return {key: value for key, value in handler(self).items() if key in read}


DEFAULT_GATES = (
    GateOptions(metric="macro_f1", at_least=0.3),
    GateOptions(metric="macro_f1", beats="tfidf"),
    GateOptions(metric="macro_f1", beats="champion"),
)
