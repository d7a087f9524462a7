"""What a line of ``gates:`` may ask, and the keys that may stand beside each question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from regraft.core.strict import Strict
from regraft.data.options import EarlierTask
from regraft.evaluation.probe_options import Invariance

Model = TypeVar("Model", bound=Strict)
Metric = Literal["macro_f1", "accuracy", "micro_f1", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "log_loss"]
DISCOVERED_SLICES = ("text_length", "text_script", "text_oov", "text_cluster")
"""Slices that need no column: bands of length in words, writing system, bands of out-of-vocabulary share, clusters of topics."""
QUESTIONS: dict[str, frozenset[str]] = {
    "beats": frozenset({"metric", "confidence", "rows"}),
    "at_least": frozenset({"metric", "confidence", "rows"}),
    "non_inferior_by": frozenset({"metric", "confidence", "against", "slices", "min_rows", "rows"}),
    "negative_flips": frozenset({"confidence"}),
    "holdout": frozenset(),
    "fairness": frozenset({"confidence"}),
    "robustness": frozenset({"confidence"}),
    "counterfactual": frozenset({"confidence"}),
    "templates": frozenset(),
    "seeds": frozenset(),
    "calibration": frozenset({"confidence"}),
    "cost": frozenset({"confidence"}),
    "forgetting": frozenset({"confidence"}),
    "earlier_tasks": frozenset({"confidence"}),
}
"""What a gate can ask -> the keys that may stand beside it."""
OF_CLEAN_ROWS = tuple(question for question, keys in QUESTIONS.items() if "rows" in keys)
"""Questions that may be asked of clean test rows alone."""
PROBED = ("robustness", "counterfactual", "templates")
"""Questions about texts that no one wrote for training or test: the models have to be asked once more, by the step `probes`."""


class NegativeFlips(Strict):
    """A budget for rows that the champion got right and the candidate gets wrong."""

    max: float = Field(ge=0, le=1)
    """Share of all test rows; the whole interval must lie at or below it."""


class Holdout(Strict):
    """A budget for decisions on the same test rows; each one tells the next candidate a little about them."""

    budget: int = Field(ge=1)
    """Decisions that may be taken before fresh test rows are asked for."""


class Fairness(Strict):
    """A budget for the gap between groups of test rows: the largest difference of their rates (fairlearn's `between_groups`)."""

    groups: tuple[str, ...] = Field(min_length=1)
    """Columns of the labelled data; each value is a group, rows without a value belong to none."""
    max_gap: float = Field(gt=0, lt=1)
    """Largest gap allowed; the whole interval must lie at or below it."""
    rate: Literal["accuracy", "recall", "selection_rate"] = "accuracy"
    """`accuracy`; `recall` of `label` (equal opportunity, Hardt et al. 2016); `selection_rate`, the share of rows that are given
    `label` (demographic parity, Dwork et al. 2012)."""
    label: str | None = None
    """The label that `recall` and `selection_rate` are about."""
    min_rows: int = Field(30, ge=10)
    """Groups with fewer rows are counted and not judged; of `recall`, rows that have the label."""

    @model_validator(mode="after")
    def _a_rate_of_a_label_names_it(self) -> Self:
        if self.rate == "accuracy" and self.label is not None:
            raise ValueError("accuracy is about every label; take `label` out, or ask for `rate: recall`")
        if self.rate != "accuracy" and self.label is None:
            raise ValueError(f"{self.rate} is about one label; name it: `label: ...`")
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("a column stands twice in `groups`")
        return self


class Robustness(Strict):
    """A budget for test rows that get another answer after a change that says nothing: CheckList's invariance tests
    (Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList")."""

    max_failure_rate: float = Field(gt=0, lt=1)
    """Share of the changed rows that get another answer; the whole interval of every test must lie at or below it."""
    tests: tuple[Invariance, ...] = ("typos", "case", "punctuation", "whitespace", "length")
    """`typos`: two neighbouring letters swapped; `case`: no capitals, or nothing else; `punctuation`: the last mark taken away or
    added; `whitespace`: a line break for a blank; `length`: one more sentence."""
    sentence: str = Field("Thank you.", min_length=1)
    """What `length` adds at the end. Write one that says nothing, in the language of the rows."""
    min_rows: int = Field(30, ge=10)
    """A test that can change fewer rows is counted and not judged."""

    @model_validator(mode="after")
    def _each_test_once(self) -> Self:
        if not self.tests or len(set(self.tests)) < len(self.tests):
            raise ValueError("a test stands twice in `tests`" if self.tests else "`tests` is empty; take it out for all of them")
        return self


class Counterfactual(Strict):
    """A budget for test rows that get another answer when the people they speak of are others (Garg et al. 2019,
    "Counterfactual Fairness in Text Classification through Robustness", after Kusner et al. 2017)."""

    max_flip_rate: float = Field(gt=0, lt=1)
    """Share of the rows that hold an identity term and get another answer for another group's; the whole interval of every
    dimension (gender, religion, ...) must lie at or below it."""
    terms: str = Field("default", min_length=1)
    """`default`, English terms that come with regraft, or a YAML file of your own."""
    min_rows: int = Field(30, ge=10)
    """A dimension with fewer such rows is counted and not judged."""


class Templates(Strict):
    """A budget for cases of your own that come out wrong: CheckList's minimum functionality and directional tests."""

    file: str = Field(min_length=1)
    """A YAML file of tests; docs/ml-engineer.md shows one."""
    max_failure_rate: float = Field(0.0, ge=0, lt=1)
    """Share of all cases. They are all there are, so this has no interval."""


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
        names = ", ".join(f"`{name}`" for name in type(budgets).model_fields)
        raise ValueError(f"write at least one of {names}")
    return budgets


class Forgetting(Strict):
    """A budget for what a model loses of general language while it learns a domain and a task."""

    max_loss_increase: float = Field(ge=0)
    """Nats a masked token of general text may cost the candidate's encoder more than the base model as it came; the whole
    interval must lie at or below it. Adaptation stops where it would spend more, so a change adapts again."""
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


class EarlierTasks(Strict):
    """A budget for what an encoder loses of tasks that it served before: accuracy of the same linear probe on it, frozen."""

    max_accuracy_loss: float = Field(gt=0, lt=1)
    """Accuracy that the candidate's encoder may lose against the base model as it came; on every task the whole interval must lie
    at or below it."""
    tasks: dict[str, EarlierTask] = Field(min_length=1)
    """A name for each task, and where its rows are."""


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
    rows: Literal["clean"] | None = None
    """`clean`: only test rows that share no long run of words with training rows or corpus decide; all rows are shown beside them."""
    negative_flips: NegativeFlips | None = None
    """The share of rows that the champion got right and the candidate gets wrong, held against a budget."""
    holdout: Holdout | None = None
    """How often these test rows have decided, held against a budget."""
    fairness: Fairness | None = None
    """The largest gap between groups of rows, held against a budget."""
    robustness: Robustness | None = None
    """The share of rows whose answer a typo, capitals, a mark, a line break or one more sentence changes, held against a budget."""
    counterfactual: Counterfactual | None = None
    """The share of rows whose answer changes with the gender, religion, ... of the people in it, held against a budget."""
    templates: Templates | None = None
    """The share of cases of your own that come out wrong, held against a budget."""
    seeds: int | None = Field(None, ge=3, le=50)
    """Fine-tune adapted and base so many times, each time with another seed, and judge the mean: every interval of a metric then
    holds the noise of the seeds too. At most one such line; it fails nothing by itself."""
    calibration: Calibration | None = None
    """How far the candidate's probabilities can be trusted."""
    cost: ServingCost | None = None
    """What serving the candidate takes."""
    forgetting: Forgetting | None = None
    """What general text costs the candidate more than the base model as it came, held against a budget."""
    earlier_tasks: EarlierTasks | None = None
    """What the candidate's encoder has lost of earlier tasks, held against a budget."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Coverage of the two-sided interval; over all slices, groups or tests of the gate together."""

    @property
    def question(self) -> str:
        """The one key of :data:`QUESTIONS` that is set."""
        return next(name for name in QUESTIONS if getattr(self, name) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the test rows need for the gate."""
        return self.fairness.groups if self.fairness else self.slices or ()

    @property
    def needs(self) -> str | None:
        """The step without which this gate cannot be judged, of those that only some pipelines have; None: it needs none of them."""
        if self.rows:
            return "overlap"
        if self.question in PROBED:
            return "probes"
        return self.question if self.question in ("seeds", "forgetting", "earlier_tasks") else None

    @model_validator(mode="after")
    def _exactly_one_question(self) -> Self:
        questions = [name for name in QUESTIONS if getattr(self, name) is not None]
        if len(questions) != 1:
            names = ", ".join(f"`{name}`" for name in QUESTIONS)
            raise ValueError(f"a gate has exactly one of {names}")
        if idle := sorted(self.model_fields_set - QUESTIONS[questions[0]] - set(QUESTIONS)):
            names = ", ".join(f"`{name}`" for name in idle)
            raise ValueError(f"`{questions[0]}` does not read {names}; take it out")
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
        if self.rows:
            raise ValueError("`rows` and `slices` exclude each other: the clean rows of a slice are too few; ask in two gates")
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("a column stands twice in `slices`")
        return self

    @model_serializer(mode="wrap")
    def _only_what_the_question_reads(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Resolved files and evidence hold no key without an effect."""
        keys = QUESTIONS[self.question] | set(QUESTIONS)
        keys -= {"metric"} if self.slices else {"min_rows"}
        return {key: value for key, value in handler(self).items() if key in keys}


def seeds_of(gates: Sequence[GateOptions]) -> int | None:
    """How many seeds the gates ask for; None: one, and nothing is said of seeds."""
    return next((gate.seeds for gate in gates if gate.seeds is not None), None)


DEFAULT_GATES = (
    GateOptions(metric="macro_f1", at_least=0.3),
    GateOptions(metric="macro_f1", beats="tfidf"),
    GateOptions(metric="macro_f1", beats="champion"),
)
