"""What a pipeline file may say: typed, defaulted, documented, and importable without torch.

A key exists only once it works. Everything a step depends on is copied into that step's own section of the
resolved file, so that a change under one key invalidates the steps that read it and no others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from regraft.config.gates import DEFAULT_GATES, PROBED, EarlierTask, EarlierTasks, Forgetting, GateOptions
from regraft.core.strict import Strict

HUB = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})(?:/(?P<inside>.+))?")
"""A data set on the Hugging Face hub, pinned to a commit, or one file or folder of it."""


def listed(paths: str | Sequence[str]) -> list[str]:
    """One path or several, as the pipeline file has them."""
    return [paths] if isinstance(paths, str) else list(paths)


def _one_or_more(value: Any) -> Any:
    """A path, or a list without repeats; a list of one is its path, so that it has the same identity."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given or not all(isinstance(path, str) and path.strip() for path in given):
        raise ValueError("input should be a path, or a list of paths")
    if twice := sorted({path for path in given if list(given).count(path) > 1}):
        raise ValueError(f"{', '.join(twice)} stands there more than once")
    for path in given:
        if path.startswith("hub:") and (not HUB.fullmatch(path) or ".." in path.split("/")):
            raise ValueError(
                "a hub data set is named with its commit, hub:<owner>/<name>@<40 hex digits>, or a file or folder of it, "
                "hub:<owner>/<name>@<40 hex digits>/data/train.parquet, because a branch or tag can change under a trained model"
            )
    return given[0] if len(given) == 1 else tuple(given)


Paths = Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)]


class DataOptions(Strict):
    """Where the text and the labels are; paths are relative to the workspace."""

    corpus: Paths
    """Domain text: a file or folder, `hub:<owner>/<name>@<revision>`, or a list of these. .txt, .csv, .tsv or .jsonl, each also
    as .gz, and .parquet."""
    corpus_text: str | None = Field(None, min_length=1)
    """Column of the corpus that holds the text, where it is a table; by default that of the labelled rows, `task.text`."""
    labelled: Paths
    """Labelled rows: a file or folder, `hub:<owner>/<name>@<revision>`, or a list of these. .csv, .tsv or .jsonl, each also as
    .gz, and .parquet, with the columns that `task` names."""
    split: str | None = None
    """Column of the labelled rows that says train, dev or test; by default a row's split is a hash of its id."""
    contract: str | None = None
    """The data contract; by default `pipelines/<name>.contract.yaml`."""


class TaskOptions(Strict):
    """What the model is for."""

    type: Literal["text-classification"] = "text-classification"
    """The kind of task."""
    text: str = "text"
    """Column that holds the text."""
    label: str = "label"
    """Column that holds the label."""
    id: str = "id"
    """Column that holds a stable, unique id. A row's split is a hash of it."""


class SplitOptions(Strict):
    """How rows are dealt out: a row's split is hash(seed, id), so growing data never moves a row."""

    test: float = Field(0.25, gt=0, lt=1)
    """Share of rows held out for the verdict."""
    dev: float = Field(0.1, gt=0, lt=1)
    """Share of rows that early stopping and model selection may see."""
    near_duplicate: float = Field(0.8, gt=0, le=1)
    """Jaccard similarity of 5-character shingles above which two texts count as near-duplicates."""

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.test + self.dev >= 1:
            raise ValueError(f"split.test ({self.test}) + split.dev ({self.dev}) leave no training rows; keep the sum below 1")
        return self


class PretrainOptions(Strict):
    """Domain-adaptive pretraining (Gururangan et al. 2020, "Don't Stop Pretraining", section 3)."""

    objective: Literal["mlm"] = "mlm"
    """Masked-language modelling: for encoders."""
    budget_tokens: int = Field(300_000, ge=1_000)
    """Real (non-padding) tokens trained on, after the head's warm-up."""
    head_warmup_tokens: int = Field(100_000, ge=0)
    """Tokens that train a newly initialised prediction head with the encoder frozen."""
    sequence_length: int = Field(128, ge=16, le=512)
    """Tokens in one packed training sequence."""
    batch_size: int = Field(16, ge=1)
    """Sequences in one optimizer step."""
    learning_rate: float = Field(2e-4, gt=0, lt=1)
    """Peak rate; linear warm-up over the first 6 % of steps, then linear decay to 0."""
    head_learning_rate: float = Field(3e-3, gt=0, lt=1)
    """Peak rate of a new prediction head while the encoder is frozen, same schedule."""
    dropout: bool = False
    """The model's own dropout while pretraining. Below one epoch there is nothing to overfit, and it costs a third of the speed."""
    mask_probability: float = Field(0.15, gt=0, lt=1)
    """Share of tokens predicted (Devlin et al. 2019, section 3.1)."""
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Most seconds of work a crash may cost."""


class FinetuneOptions(Strict):
    """Task fine-tuning: a new pooler and linear head on the first token, everything trained."""

    epochs: int = Field(8, ge=1, le=100)
    """Passes over the training rows."""
    batch_size: int = Field(32, ge=1)
    """Rows in one optimizer step."""
    learning_rate: float = Field(3e-4, gt=0, lt=1)
    """Peak rate of the encoder; linear warm-up over the first 6 % of steps, then linear decay to 0."""
    head_learning_rate: float = Field(1e-3, gt=0, lt=1)
    """Peak rate of the new pooler and classification head, same schedule."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target spread over all classes (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7)."""
    max_length: int = Field(64, ge=8, le=512)
    """Tokens of a text that the model reads; the rest is cut."""
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Most seconds of work a crash may cost."""


class AbstainOptions(Strict):
    """When the model says that it does not know: the answer stays, and is marked."""

    precision: float = Field(gt=0, lt=1)
    """Share of the given answers that should be right. The threshold that the dev rows show it for travels with the model."""


class CardOptions(Strict):
    """What only people can say about a model; it goes into the model card of every version registered from now on."""

    intended_use: str | None = Field(None, min_length=1)
    """What the model is for, and what it must not be used for. Markdown."""
    limitations: str | None = Field(None, min_length=1)
    """What is known to go wrong, besides what the evidence shows. Markdown."""
    license: str | None = Field(None, min_length=1)
    """License of the trained model, as the Hugging Face hub writes it: `apache-2.0`, `mit`, `other`."""
    language: tuple[str, ...] = ()
    """Languages of the text, as ISO 639 codes: `[en]`."""


class NotifyOptions(Strict):
    """Who is told when a run has reached a verdict. A notification that fails is a warning and fails no run."""

    command: str | None = Field(None, min_length=1)
    """A shell command, run in the workspace, with the verdict as JSON on its stdin."""
    webhook: str | None = None
    """An http address that gets the same JSON by POST. `${NAME}` is taken from the environment, where secrets belong."""
    seconds: float = Field(10.0, gt=0, le=300)
    """Most seconds that a command, and a webhook, may take."""

    @field_validator("webhook")
    @classmethod
    def _is_an_address(cls, webhook: str | None) -> str | None:
        if webhook is not None and not webhook.startswith(("http://", "https://", "$")):
            raise ValueError("write http://..., https://... or ${NAME} of a variable that holds the address")
        return webhook

    @model_validator(mode="after")
    def _someone_is_told(self) -> Self:
        if self.command is None and self.webhook is None:
            raise ValueError("write at least one of `command: ...` and `webhook: https://...`")
        return self


class PipelineOptions(Strict):
    """A pipeline file: what is kept trained, on what, and what it has to prove."""

    version: Literal[1]
    """Version of this file format."""
    base_model: str
    """`package:<module>` of an installed model package, `hub:<owner>/<name>@<40-digit revision>`, or a folder."""
    data: DataOptions
    task: TaskOptions = TaskOptions()
    split: SplitOptions = SplitOptions()
    pretrain: PretrainOptions = PretrainOptions()
    finetune: FinetuneOptions = FinetuneOptions()
    abstain: AbstainOptions | None = None
    """Below which probability the model abstains; needs a gate with `min_coverage`. A change fine-tunes again."""
    gates: tuple[GateOptions, ...] = Field(DEFAULT_GATES, validate_default=True)
    """All of them must pass. The adapted and the un-adapted model are always compared; that needs no gate."""
    card: CardOptions | None = None
    """What the model card says in people's words."""
    notify: NotifyOptions | None = None
    """A command or webhook that is run once on every verdict."""
    seed: int = Field(17, ge=0, lt=2**31)
    """Everything random is a function of (seed, epoch, index)."""

    @field_validator("gates")
    @classmethod
    def _some_are_asked_once(cls, gates: tuple[GateOptions, ...]) -> tuple[GateOptions, ...]:
        asked = [gate.question for gate in gates]
        if twice := sorted({question for question in asked if question in PROBED and asked.count(question) > 1}):
            raise ValueError(f"`{twice[0]}` stands there more than once; write one such gate with all its tests")
        if asked.count("forgetting") > 1:
            raise ValueError("`forgetting` stands there more than once; adaptation can keep to one budget only")
        if asked.count("earlier_tasks") > 1:
            raise ValueError("`earlier_tasks` stands there more than once; write one such gate with all its tasks")
        several = [gate.seeds for gate in gates if gate.seeds is not None]
        if len(several) > 1:
            said = " and ".join(f"`seeds: {seeds}`" for seeds in several)
            raise ValueError(f"{said} stand there; the number of seeds is one for the whole pipeline, so keep one of the lines")
        return gates

    @field_validator("gates")
    @classmethod
    def _abstaining_is_held_to_a_coverage(cls, gates: tuple[GateOptions, ...], info: ValidationInfo) -> tuple[GateOptions, ...]:
        covered = any(gate.calibration and gate.calibration.min_coverage for gate in gates)
        abstains = info.data.get("abstain", covered)  # absent where it is at fault itself
        if abstains and not covered:
            raise ValueError(
                "with `abstain` a model that answers nothing would pass; add `- {calibration: {min_coverage: 0.5}}`, "
                "or another share of the rows that have to be answered"
            )
        if covered and not abstains:
            raise ValueError("`min_coverage` is about `abstain`, which is not there; add `abstain: {precision: 0.9}`, or take it out")
        return gates

    @property
    def corpus_column(self) -> str:
        """Column of the corpus that holds the text."""
        return self.data.corpus_text or self.task.text

    @property
    def forgetting(self) -> Forgetting | None:
        """What the gate `forgetting` asks, where there is one."""
        return next((gate.forgetting for gate in self.gates if gate.forgetting is not None), None)

    @property
    def earlier_tasks(self) -> EarlierTasks | None:
        """What the gate `earlier_tasks` asks, where there is one."""
        return next((gate.earlier_tasks for gate in self.gates if gate.earlier_tasks is not None), None)

    @model_validator(mode="after")
    def _splits_are_given_or_dealt(self) -> Self:
        column = self.data.split
        if column is None:
            return self
        if column in (self.task.id, self.task.text, self.task.label):
            raise ValueError(f"data.split is {column!r}, which `task` names already; it is a column of its own")
        if shares := sorted({"test", "dev"} & self.split.model_fields_set):
            without = " and ".join(f"split.{share}" for share in shares)
            raise ValueError(f"data.split: the column {column!r} says which row is held out; leave {without} out")
        return self


class GeneralText(Strict):
    """Text of no domain, as a part of a step's section. Python's own docstrings are no more identity than other library versions."""

    text: str | None
    """A file or folder; None: the docstrings of Python's standard library."""
    digest: str | None
    """Of its bytes."""
    column: str
    """Of tables, the column that holds the text."""


class EarlierRows(EarlierTask):
    """The rows of one earlier task, as a part of a step's section."""

    digest: str
    """Of their bytes."""


@dataclass(frozen=True)
class PipelineContext:
    """A pipeline file after its paths were read: what step sections are made of."""

    name: str
    options: PipelineOptions
    base_digest: str
    """Digest of the base model's files."""
    contract: dict[str, Any]
    """The parsed data contract."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    """Question -> the content of the file that its gate names."""
    general_digest: str | None = None
    """Digest of the general text that the gate `forgetting` names."""
    earlier_digests: Mapping[str, str] = field(default_factory=dict)
    """Earlier task that the gate `earlier_tasks` names -> digest of its rows."""

    @property
    def general_text(self) -> GeneralText:
        """What the gate `forgetting` measures on."""
        asked = self.options.forgetting
        return GeneralText(text=asked.text if asked else None, digest=self.general_digest, column=self.options.corpus_column)

    @property
    def earlier_rows(self) -> dict[str, EarlierRows]:
        """What the gate `earlier_tasks` measures on, a task at a time."""
        asked = self.options.earlier_tasks
        tasks = asked.tasks if asked else {}
        return {name: EarlierRows(**task.model_dump(), digest=self.earlier_digests[name]) for name, task in tasks.items()}


class StepConfig(Strict):
    """One step's section of the resolved file: self-contained, so that its identity needs nothing else."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        """This step's section for one pipeline."""
        raise NotImplementedError(cls.__name__)
