"""What a pipeline file may say: typed, defaulted, documented, and importable without torch.

A key exists only once it works. Everything a step depends on is copied into that step's own section of the
resolved file, so that a change under one key invalidates the steps that read it and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from regraft.config.candidates import DEFAULT, Candidate
from regraft.core.strict import Strict
from regraft.data.options import DataOptions, EarlierRows, GeneralText, SplitOptions, TaskOptions
from regraft.gates.options import DEFAULT_GATES, PROBED, EarlierTasks, Forgetting, GateOptions
from regraft.training.options import (
    AbstainOptions,
    FinetuneOptions,
    MethodOptions,
    PretrainOptions,
    finetune_options,
    pretrain_options,
)


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
    pretrain: PretrainOptions = Field(default_factory=lambda: pretrain_options({}))
    """How the base model is adapted to the corpus; `objective` says what it learns from it, and which keys there are."""
    finetune: FinetuneOptions = Field(default_factory=lambda: finetune_options({}, {}))
    """How a model is made from labelled rows; `method` says by which way, and which keys there are."""
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
        questions = [gate.question for gate in gates]
        if twice := sorted({question for question in questions if question in PROBED and questions.count(question) > 1}):
            raise ValueError(f"`{twice[0]}` stands there more than once; write one such gate with all its tests")
        if questions.count("forgetting") > 1:
            raise ValueError("`forgetting` stands there more than once; adaptation can keep to one budget only")
        if questions.count("earlier_tasks") > 1:
            raise ValueError("`earlier_tasks` stands there more than once; write one such gate with all its tasks")
        seed_counts = [gate.seeds for gate in gates if gate.seeds is not None]
        if len(seed_counts) > 1:
            lines = " and ".join(f"`seeds: {seeds}`" for seeds in seed_counts)
            raise ValueError(f"{lines} stand there; the number of seeds is one for the whole pipeline, so keep one of the lines")
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
    def every_candidate(self) -> tuple[Candidate, ...]:
        """The models that are trained and compared, in their order."""
        return DEFAULT

    @property
    def corpus_column(self) -> str:
        """Column of the corpus that holds the text."""
        return self.data.corpus_text or self.task.text

    @property
    def forgetting(self) -> Forgetting | None:
        """What the gate `forgetting` asks; None where there is none."""
        return next((gate.forgetting for gate in self.gates if gate.forgetting is not None), None)

    @property
    def earlier_tasks(self) -> EarlierTasks | None:
        """What the gate `earlier_tasks` asks; None where there is none."""
        return next((gate.earlier_tasks for gate in self.gates if gate.earlier_tasks is not None), None)

    @model_validator(mode="after")
    def _splits_are_given_or_drawn(self) -> Self:
        column = self.data.split
        if column is None:
            return self
        if column in (self.task.id, self.task.text, self.task.label):
            raise ValueError(f"data.split is {column!r}, which `task` names already; it is a column of its own")
        if shares := sorted({"test", "dev"} & self.split.model_fields_set):
            without = " and ".join(f"split.{share}" for share in shares)
            raise ValueError(f"data.split: the column {column!r} says which row is held out; leave {without} out")
        return self


@dataclass(frozen=True)
class PipelineContext:
    """A pipeline file after its paths were read: what step sections are made of."""

    name: str
    options: PipelineOptions
    base_digest: str
    """Digest of the base model's files."""
    contract: dict[str, Any]
    """The parsed data contract."""
    family: str = "encoder"
    """The base model's family (:mod:`regraft.models.families`)."""
    probes: Mapping[str, Any] = field(default_factory=dict)
    """Question -> the content of the file that its gate names."""
    general_digest: str | None = None
    """Digest of the general text that the gate `forgetting` names; None where it names none."""
    earlier_digests: Mapping[str, str] = field(default_factory=dict)
    """Earlier task that the gate `earlier_tasks` names -> digest of its rows."""
    candidate: Candidate | None = None
    """The candidate whose section is made; None in sections of steps that are no candidate's."""

    @property
    def starts_from_base(self) -> dict[str, str]:
        """``base_model`` and ``base_digest`` for the section of a candidate that starts from the base model; empty for others."""
        if self.candidate is None or self.candidate.start != "base":
            return {}
        return {"base_model": self.options.base_model, "base_digest": self.base_digest}

    @property
    def finetune(self) -> MethodOptions:
        """How the candidate is fine-tuned; the pipeline's own options where there is none."""
        if self.candidate is None or not self.candidate.finetune:
            return self.options.finetune
        return finetune_options(self.options.finetune.model_dump(exclude_unset=True), self.candidate.finetune)

    @property
    def general_text(self) -> GeneralText:
        """What the gate `forgetting` measures on."""
        forgetting = self.options.forgetting
        return GeneralText(text=forgetting.text if forgetting else None, digest=self.general_digest, column=self.options.corpus_column)

    @property
    def earlier_rows(self) -> dict[str, EarlierRows]:
        """What the gate `earlier_tasks` measures on, a task at a time."""
        earlier = self.options.earlier_tasks
        tasks = earlier.tasks if earlier else {}
        return {name: EarlierRows(**task.model_dump(), digest=self.earlier_digests[name]) for name, task in tasks.items()}


class StepConfig(Strict):
    """One step's section of the resolved file: self-contained, so that its identity needs nothing else."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        """This step's section for one pipeline."""
        raise NotImplementedError(cls.__name__)
