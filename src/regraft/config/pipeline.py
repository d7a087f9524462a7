"""What a pipeline file may say: typed, defaulted, documented, and importable without torch.

A key exists only once it works. Everything a step depends on is copied into that step's own section of the
resolved file, so that a change under one key invalidates the steps that read it and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails

from regraft.config.agents import AgentOptions
from regraft.config.approval import ApprovalOptions
from regraft.config.auto import expanded, without_objective
from regraft.config.candidates import DEFAULT, Candidate, CandidateOptions, checked
from regraft.config.inbox import InboxOptions
from regraft.config.notify import NotifyOptions
from regraft.config.schedule import ScheduleOptions
from regraft.core.plugin_options import retold
from regraft.core.strict import Strict
from regraft.data.options import DataOptions, GeneralText, SideRows, SplitOptions, TaskOptions, TaskRows
from regraft.gates.options import GateOptions
from regraft.gates.registry import Line, default_gates
from regraft.gates.registry import faults as gate_faults
from regraft.models.families import ModelFamily
from regraft.training.options import (
    AbstainOptions,
    FinetuneOptions,
    GradientOptions,
    MethodOptions,
    ObjectiveOptions,
    PretrainOptions,
    SwitchPointOptions,
    finetune_options,
    pretrain_options,
)
from regraft.training.plugins import METHODS

PAIR = {candidate.name: candidate.start for candidate in DEFAULT}


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


class PipelineOptions(Strict):
    """A pipeline file: which model to train, on what data, and what it has to prove."""

    version: Literal[1]
    """Version of this file format."""
    base_model: str
    """`package:<module>` of an installed model package, `hub:<owner>/<name>@<40-digit revision>`, or a folder."""
    data: DataOptions
    task: TaskOptions = TaskOptions()
    split: SplitOptions = SplitOptions()
    pretrain: PretrainOptions = Field(default_factory=lambda: pretrain_options({}))
    """How the base model is adapted to the corpus; `objective` says what it learns from it, and which keys there are. Left out, or `auto`,
    it is `mlm` for encoders, `clm` for decoders and `span_corruption` for encoder-decoders."""
    adapt: Literal["always", "never"] = "always"
    """Whether the base model is adapted to the corpus; `never` leaves `base` as the only candidate, unless `candidates` names others.
    Without `data.corpus` nothing is adapted, unless `pretrain: {texts: rows}` says that the rows' own texts are read."""
    finetune: FinetuneOptions = Field(default_factory=lambda: finetune_options({}, {}))
    """How a model is made from labelled rows; `method` says by which way, and which keys there are. Left out, it is `lora` for decoders
    and `full` for others."""
    switch_point: SwitchPointOptions | None = None
    """Measure from how many labels a class on `finetune` is better than a method for few; candidates may be withheld by it
    (`withhold: {measured: true}`), as those of `auto` are. `{}` takes the defaults."""
    candidates: dict[str, CandidateOptions] | None = None
    """The models that are trained, scored and chosen from, by name; by default `base` and `adapted`. A new one trains no other again."""
    choose_on: Literal["dev", "test"] | None = None
    """Rows that the candidate is chosen on: `dev`, the default with `candidates`, on rows that do not judge it; or `test`, the rule for
    `base` and `adapted` alone: adapted only where all of its interval lies above 0."""
    abstain: AbstainOptions | None = None
    """Below which probability the model abstains; needs a gate with `min_coverage`. A change fine-tunes again."""
    gates: tuple[Annotated[GateOptions, Line()], ...] = Field(default_gates(), validate_default=True)
    """All of them must pass; `[]`, none at all, needs `promotion: approval`. The adapted + fine-tuned and the fine-tuned-only model are
    always compared; that needs no gate."""
    card: CardOptions | None = None
    """What the model card says in people's words."""
    notify: NotifyOptions | None = None
    """Who is told of verdicts, and of how runs by themselves end."""
    promotion: Literal["automatic", "approval"] = Field("automatic", validate_default=True)
    """What follows when a candidate has passed: it becomes champion, or people are asked first (`regraft approve`)."""
    approval: ApprovalOptions | None = None
    """How people are asked, with `promotion: approval`."""
    schedule: ScheduleOptions | None = None
    """When the pipeline runs by itself, once `regraft deploy` has told a Prefect server."""
    inbox: InboxOptions | None = None
    """Where drops of labelled rows arrive; `regraft handoff` without a source takes them in."""
    agents: AgentOptions = AgentOptions()
    """Whose agents run it then."""
    seed: int = Field(17, ge=0, lt=2**31)
    """Everything random is a function of (seed, epoch, index)."""

    @model_validator(mode="before")
    @classmethod
    def _auto_is_written_out(cls, document: Any) -> Any:
        return expanded(without_objective(document))

    @field_validator("pretrain")
    @classmethod
    def _the_corpus_that_is_read_first_is_there(cls, pretrain: ObjectiveOptions, info: ValidationInfo) -> ObjectiveOptions:
        if pretrain.reads_corpus and pretrain.reads_rows and "data" in info.data and info.data["data"].corpus is None:
            raise ValueError("`texts: corpus_then_rows` needs text of the domain; name it as `data.corpus`, or write `texts: rows`")
        return pretrain

    @field_validator("adapt")
    @classmethod
    def _there_is_something_to_adapt_to(cls, adapt: str, info: ValidationInfo) -> str:
        if adapt == "always" and {"data", "pretrain"} <= info.data.keys() and not _has_texts(info.data):
            raise ValueError("`always` needs text of the domain; name it as `data.corpus`, or write `adapt: never`")
        return adapt

    @field_validator("candidates")
    @classmethod
    def _candidates_are_whole(
        cls, candidates: dict[str, CandidateOptions] | None, info: ValidationInfo
    ) -> dict[str, CandidateOptions] | None:
        shared = info.data.get("finetune")  # absent where it is at fault itself
        if candidates is None or shared is None:
            return candidates
        corpus = "data" in info.data and info.data["data"].corpus is not None
        return checked(candidates, shared, _unadapted(info.data), corpus=corpus)

    @field_validator("switch_point")
    @classmethod
    def _two_ways_are_compared(cls, point: SwitchPointOptions | None, info: ValidationInfo) -> SwitchPointOptions | None:
        shared = info.data.get("finetune")
        if point is None or shared is None:
            return point
        if not isinstance(shared, GradientOptions) or {"teacher", "tasks"} & type(shared).model_fields.keys():
            raise ValueError(
                f"`switch_point` holds `finetune` against a method for few labels, and `finetune.method` is {shared.method}; name one "
                "that trains weights on the rows alone, such as full, and other methods under `candidates`"
            )
        return point

    @field_validator("choose_on")
    @classmethod
    def _test_rows_choose_between_two(cls, choose_on: str | None, info: ValidationInfo) -> str | None:
        candidates = info.data.get("candidates")
        pair = (
            _unadapted(info.data) is None
            if candidates is None
            else {name: options.start or "base" for name, options in candidates.items()} == PAIR
        )
        if choose_on == "test" and not pair:
            raise ValueError("`test` chooses between `base: {start: base}` and `adapted: {start: adapted}` alone; write `choose_on: dev`")
        if choose_on == "test" and any(options.withhold for options in (candidates or {}).values()):
            raise ValueError("`test` compares `base` and `adapted`, so neither can be withheld; write `choose_on: dev`")
        return choose_on

    @field_validator("gates")
    @classmethod
    def _they_fit_together(cls, gates: tuple[GateOptions, ...], info: ValidationInfo) -> tuple[GateOptions, ...]:
        if fault := next(gate_faults(gates, info.data), None):
            raise ValueError(fault)
        return gates

    @field_validator("promotion")
    @classmethod
    def _somebody_judges(cls, promotion: str, info: ValidationInfo) -> str:
        if promotion == "automatic" and info.data.get("gates") == ():
            raise ValueError(
                "`gates: []` asks for nothing, so whatever is trained would be promoted; write a gate, or `promotion: approval`"
            )
        return promotion

    @field_validator("approval")
    @classmethod
    def _somebody_asks(cls, approval: ApprovalOptions | None, info: ValidationInfo) -> ApprovalOptions | None:
        if approval is not None and info.data.get("promotion") == "automatic":
            raise ValueError("nobody is asked; write `promotion: approval` too, or leave it out")
        return approval

    @property
    def asks(self) -> ApprovalOptions | None:
        """How people are asked before a promotion; None: they are not."""
        return (self.approval or ApprovalOptions()) if self.promotion == "approval" else None

    def for_family(self, family: ModelFamily) -> Self:
        """The same, with the objective and the method that ``family`` takes where the file names none.

        :raises ValidationError: with places of the file: one of them does not read a key that stands there.
        """
        chosen = {"pretrain": ("objective", family.objective, pretrain_options), "finetune": ("method", family.method, _finetune)}
        faults: list[InitErrorDetails] = []
        update = {}
        for part, (key, name, read) in chosen.items():
            options = getattr(self, part)
            if key in options.model_fields_set or getattr(options, key) == name:
                continue
            try:
                update[part] = read({**options.model_dump(exclude_unset=True), key: name})
            except ValidationError as error:
                faults += [retold(item, (part, *item["loc"])) for item in error.errors(include_url=False)]
        if faults:
            raise ValidationError.from_exception_data("family", faults)
        return self.model_copy(update=update) if update else self

    @property
    def every_candidate(self) -> tuple[Candidate, ...]:
        """The models that are trained and compared, in the order of the file."""
        if self.candidates is None:
            return tuple(candidate for candidate in DEFAULT if candidate.start != "adapted" or self._pair)
        return tuple(options.named(name, self.finetune) for name, options in self.candidates.items())

    @property
    def _pair(self) -> bool:
        """Whether `base` and `adapted` are the candidates of a file that names none."""
        return self.adapt == "always" and _has_texts({"data": self.data, "pretrain": self.pretrain})

    @property
    def adapts(self) -> bool:
        """Whether any candidate starts from an adapted encoder."""
        return any(candidate.start == "adapted" for candidate in self.every_candidate)

    @property
    def adapts_to_corpus(self) -> bool:
        """Whether any candidate starts from an encoder that has read the corpus."""
        return self.adapts and self.pretrain.reads_corpus

    @property
    def reads_corpus(self) -> bool:
        """Whether any candidate starts from an encoder that has read it, or learns from documents that another one labels."""
        return self.adapts_to_corpus or any(candidate.teacher for candidate in self.every_candidate)

    @property
    def by_cost(self) -> tuple[str, ...] | None:
        """The candidates by what their methods cost, then by the order of the file, where they are chosen on dev rows; None elsewhere."""
        if (self.choose_on or ("test" if self.candidates is None and self._pair else "dev")) == "test":
            return None
        ranks = {candidate.name: METHODS[self.finetune_of(candidate).method].rank for candidate in self.every_candidate}
        return tuple(sorted(ranks, key=ranks.__getitem__))

    def finetune_of(self, candidate: Candidate) -> MethodOptions:
        """How ``candidate`` is fine-tuned."""
        if not candidate.finetune:
            return self.finetune
        return finetune_options(self.finetune.model_dump(exclude_unset=True), candidate.finetune)

    @property
    def data_read(self) -> dict[str, str | tuple[str, ...]]:
        """``corpus`` and ``labelled``, as far as any step reads them."""
        corpus = {"corpus": self.data.corpus} if self.data.corpus is not None and self.reads_corpus else {}
        return {**corpus, "labelled": self.data.labelled}

    @property
    def corpus_column(self) -> str:
        """Column of the corpus that holds the text."""
        return self.data.corpus_text or self.task.text

    def asked(self, gate: str) -> Any:
        """The options of the first line that asks ``gate``; None where there is none."""
        return next((line for line in self.gates if line.gate == gate), None)

    @model_validator(mode="after")
    def _the_column_is_one_of_a_corpus(self) -> Self:
        if self.data.corpus_text is not None and self.data.corpus is None:
            raise ValueError("data.corpus_text names a column of data.corpus, which is left out; name a corpus, or leave both out")
        return self

    @model_validator(mode="after")
    def _what_withholds_is_measured(self) -> Self:
        for name, candidate in (self.candidates or {}).items():
            if self.switch_point is None and candidate.withhold is not None and candidate.withhold.measured:
                raise ValueError(
                    f"candidates.{name}.withhold.measured asks for `switch_point`, which is left out; write `switch_point: {{}}`"
                )
        return self

    @model_validator(mode="after")
    def _splits_are_given_or_drawn(self) -> Self:
        column, by = self.data.split, self.split.by
        if by is not None and column is not None:
            raise ValueError(f"data.split and split.by both say which rows are held out, {column!r} and {by!r}; leave one of them out")
        if by in (*self.task.texts, self.task.label):
            raise ValueError(f"split.by is {by!r}, which `task` names as text or label; it is a column that orders the rows")
        if column is None:
            return self
        if column in (self.task.id, *self.task.texts, self.task.label):
            raise ValueError(f"data.split is {column!r}, which `task` names already; it is a column of its own")
        if shares := sorted({"test", "dev"} & self.split.model_fields_set):
            without = " and ".join(f"split.{share}" for share in shares)
            raise ValueError(f"data.split: the column {column!r} says which row is held out; leave {without} out")
        return self


def _finetune(written: Mapping[str, Any]) -> MethodOptions:
    return finetune_options({}, written)


def _unadapted(values: Mapping[str, Any]) -> str | None:
    """Why no candidate of a file with these values can start from an adapted encoder; None: one can."""
    if values.get("adapt") == "never":
        return "`adapt: never` says that there is none; take that out, or start from `base`"
    if "data" in values and not _has_texts(values):
        return "`data.corpus` is left out; name text of the domain there, or start from `base`"
    return None


def _has_texts(values: Mapping[str, Any]) -> bool:
    """Whether a file with these values has texts to adapt a model to: a corpus, or the rows' own where it asks for those."""
    pretrain = values.get("pretrain")  # absent where it is at fault itself
    return values["data"].corpus is not None or (pretrain is not None and not pretrain.reads_corpus)


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
    named: Mapping[str, Any] = field(default_factory=dict)
    """Gate -> what its ``reads`` made of the files that its line names."""
    replay_digest: str | None = None
    """Of the general text that ``pretrain.replay`` names; None where it names none."""
    pooling: str | None = None
    """What stands for a text by the base model's own files; None: they say nothing of it."""
    candidate: Candidate | None = None
    """The candidate whose section is made; None in sections of steps that are no candidate's."""
    spent: Mapping[str, str] = field(default_factory=dict)
    """``spent`` and ``spent_digest``: the list of rows that test no more, and its sha256. Empty where there is none."""

    side_digests: Mapping[str, str] = field(default_factory=dict)
    """Path -> digest of the rows of other tasks that candidates learn."""

    @property
    def side_tasks(self) -> dict[str, SideRows]:
        """The other tasks that the candidate learns, as its section has them."""
        tasks: Mapping[str, TaskRows] = getattr(self.finetune, "tasks", {})
        return {name: SideRows(**rows.model_dump(), digest=self.side_digests[rows.data]) for name, rows in tasks.items()}

    @property
    def starts_from_base(self) -> dict[str, str]:
        """``base_model`` and ``base_digest`` for the section of a candidate that starts from the base model; empty for others."""
        if self.candidate is None or self.candidate.start != "base":
            return {}
        return {"base_model": self.options.base_model, "base_digest": self.base_digest}

    @property
    def replay(self) -> GeneralText | None:
        """The general text that adaptation reads in between; None: none."""
        if (replay := self.options.pretrain.replay) is None:
            return None
        return GeneralText(text=replay.text, digest=self.replay_digest, column=self.options.corpus_column)

    @property
    def finetune(self) -> MethodOptions:
        """How the candidate is fine-tuned; the pipeline's own options where there is none. The base model pools where the file does not."""
        return self._pooled(self.options.finetune_of(self.candidate) if self.candidate else self.options.finetune)

    @property
    def compared_ways(self) -> dict[str, MethodOptions]:
        """``few`` and ``full``: the options of the two methods between which ``switch_point`` says where to switch."""
        point, full = self.options.switch_point, self.options.finetune
        assert point is not None
        return {"few": self._pooled(point.read(full)), "full": full}

    def _pooled(self, options: MethodOptions) -> MethodOptions:
        left_open = {"pooling"} & type(options).model_fields.keys() - options.model_fields_set
        return options.model_copy(update={"pooling": self.pooling}) if left_open and self.pooling else options


class StepConfig(Strict):
    """One step's section of the resolved file: self-contained, so that its identity needs nothing else."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        """This step's section for one pipeline."""
        raise NotImplementedError(cls.__name__)
