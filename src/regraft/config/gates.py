"""What a line of ``gates:`` may ask, and the keys that may stand beside each question."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from regraft.config.strict import Strict

Metric = Literal["macro_f1", "accuracy", "micro_f1", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "log_loss"]
DISCOVERED_SLICES = ("text_length", "text_script", "text_oov", "text_cluster")
"""Slices that need no column: bands of length in words, writing system, bands of out-of-vocabulary share, clusters of topics."""
QUESTIONS: dict[str, frozenset[str]] = {
    "beats": frozenset({"metric", "confidence"}),
    "at_least": frozenset({"metric", "confidence"}),
    "non_inferior_by": frozenset({"metric", "confidence", "against", "slices", "min_rows"}),
    "negative_flips": frozenset({"confidence"}),
    "holdout": frozenset(),
    "forgetting": frozenset({"confidence"}),
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


class Forgetting(Strict):
    """A budget for what a model loses of general language while it learns a domain and a task."""

    max_loss_increase: float = Field(ge=0)
    """Nats a masked token of general text may cost the candidate's encoder more than the base model as it came; the whole
    interval must lie at or below it. Adaptation stops where it would spend more."""
    text: str | None = Field(None, min_length=1)
    """General text: a file or folder, read like `data.corpus`; by default the docstrings of Python's standard library."""
    sequences: int = Field(128, ge=16)
    """Held-out sequences that are measured; more make the interval narrower."""

    @field_validator("text")
    @classmethod
    def _is_local(cls, text: str | None) -> str | None:
        if text is not None and text.startswith("hub:"):
            raise ValueError("general text is a file or folder of the workspace; fetch the data set and name where it lies")
        return text


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
    forgetting: Forgetting | None = None
    """What general text costs the candidate more than the base model as it came, held against a budget."""
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
