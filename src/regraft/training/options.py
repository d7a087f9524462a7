"""What a pipeline file may say of pretraining and fine-tuning; importable without torch.

Options of a method or an objective stand in its own file; here is what all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, Field, field_validator, model_validator

from regraft.core.plugin_options import Section
from regraft.core.strict import Strict
from regraft.data.options import LocalText
from regraft.training.optimizers import WEIGHT_DECAY, Optimizer, OptimizerName
from regraft.training.plugins import METHODS, OBJECTIVES
from regraft.training.schedules import Schedule


def _power_of_two(shards: int) -> int:
    if shards & (shards - 1):
        raise ValueError(f"must be a power of two; take {1 << (shards.bit_length() - 1)} or {1 << shards.bit_length()}")
    return shards


MOST_PARTS = 64
"""Parts that a batch may be computed in."""
Shards = Annotated[
    int,
    Field(
        ge=1,
        le=MOST_PARTS,
        description="Parts that a batch is computed in, a power of two: at most so many cores work on it, and the model is the same for "
        "any number of them. 1: batches are computed whole, and the model depends on the number of threads. A GPU computes them whole.",
    ),
    AfterValidator(_power_of_two),
]


def rows_for_each(parts: int, batch_size: int, key: str = "shards") -> None:
    """Refuse more parts of a batch than it has rows. ValueError naming both keys."""
    if parts > batch_size:
        most = 1 << (batch_size.bit_length() - 1)
        instead = f"write {key}: {most} or batch_size: {parts}"
        raise ValueError(f"`{key}` ({parts}) cuts a batch into more parts than `batch_size` ({batch_size}) has rows; {instead}")


class StepOptions(Strict):
    """How the steps of a training by gradient descent are taken."""

    optimizer: OptimizerName = Field("adamw", exclude_if=lambda name: name == "adamw")
    """What takes a step: `adamw` (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2), `adam` (Kingma & Ba
    2015, "Adam", algorithm 1), or `sgd` with momentum 0.9, which keeps half as much beside the weights and needs a `learning_rate` of its
    own: its steps are as long as the gradient, those of the others are not."""
    weight_decay: float = Field(WEIGHT_DECAY, ge=0, le=1, exclude_if=lambda decay: decay == WEIGHT_DECAY)
    """How much weights shrink: of `adamw`, by this times the rate at each step; of `adam` and `sgd`, this times the weight is added to its
    gradient."""
    gradient_accumulation: int = Field(1, ge=1, le=MOST_PARTS, exclude_if=lambda parts: parts == 1)
    """Parts that a batch is computed in, one after the other, a power of two: activations take so much less memory, and the model is the
    same but for rounding and dropout's draws. On a CPU cores share these parts, where `shards` is not 1."""
    gradient_checkpointing: bool = Field(False, exclude_if=lambda wanted: not wanted)
    """Whether what layers compute is computed once more for their gradients, and not kept (Chen et al. 2016, "Training Deep Nets with
    Sublinear Memory Cost", section 3.2): a third more time, and memory for one layer in the place of all. The bits are the same."""

    @model_validator(mode="after")
    def _rates_are_those_of_the_optimizer(self) -> Self:
        if self.optimizer == "sgd" and "learning_rate" not in self.model_fields_set:
            raise ValueError("`optimizer: sgd` needs a `learning_rate` of its own, such as 0.01, because the default is made for adamw")
        return self

    @field_validator("gradient_accumulation")
    @classmethod
    def _is_a_power_of_two(cls, parts: int) -> int:
        return _power_of_two(parts)

    @property
    def made_by(self) -> Optimizer:
        """What makes the optimizer of each phase."""
        return Optimizer(self.optimizer, self.weight_decay)


class ReplayOptions(Strict):
    """General text among the text that is adapted to, so that less of it is forgotten (Ibrahim et al. 2024, "Simple and Scalable Strategies
    to Continually Pre-train Large Language Models")."""

    share: float = Field(0.05, gt=0, le=0.5)
    """Share of the sequences that are general text; the budget counts them. 0.05 is what Ibrahim et al. 2024 advise for text that is not
    far from what the base model has read, and up to 0.5 what they tried."""
    text: LocalText = Field(None, min_length=1)
    """General text: a file or folder, read like `data.corpus`; by default the docstrings of Python's standard library. One document in five
    is left out, the ones that the gate `forgetting` measures on."""


class ObjectiveOptions(StepOptions):
    """Domain-adaptive pretraining (Gururangan et al. 2020, "Don't Stop Pretraining", section 3), whatever its objective."""

    objective: str
    """What is learned from the text."""
    texts: Literal["corpus", "rows", "corpus_then_rows"] = Field("corpus", exclude_if=lambda texts: texts == "corpus")
    """What is read: the `corpus`; the texts of the training `rows`, which needs no corpus (task-adaptive pretraining, Gururangan et al.
    2020, section 4); or `corpus_then_rows`, one and then the other (the same, section 4.2). Dev and test rows are never read."""
    budget_tokens: int = Field(300_000, ge=1_000)
    """Real (non-padding) tokens trained on, after the head's warm-up."""
    rows_tokens: int | None = Field(None, ge=1_000, exclude_if=lambda tokens: tokens is None)
    """Of `corpus_then_rows`: tokens of the rows' texts trained on, after the `budget_tokens` of the corpus."""
    rows_learning_rate: float | None = Field(None, gt=0, lt=1, exclude_if=lambda rate: rate is None)
    """Of `corpus_then_rows`: peak rate on the rows, which rises from 0 anew. By default `learning_rate`."""
    replay: ReplayOptions | None = Field(None, exclude_if=lambda replay: replay is None)
    """General text that is read in between; by default none. `{}` is 0.05 of Python's docstrings."""
    head_warmup_tokens: int = Field(100_000, ge=0)
    """Tokens that train a newly initialised prediction head with the encoder frozen."""
    sequence_length: int = Field(128, ge=16, le=512)
    """Tokens in one packed training sequence."""
    batch_size: int = Field(16, ge=1)
    """Sequences in one optimizer step."""
    learning_rate: float = Field(2e-4, gt=0, lt=1)
    """Peak rate; linear warm-up over the first 6 % of steps, then as `schedule` says."""
    schedule: Schedule = Field("linear", exclude_if=lambda name: name == "linear")
    """How rates go after the rise: `linear` and `cosine` down to 0, `wsd` at the peak until the last fifth of the steps and then down to 0,
    `slanted` to 1/32 in nine tenths of them."""
    head_learning_rate: float = Field(3e-3, gt=0, lt=1)
    """Peak rate of a new prediction head while the encoder is frozen, same schedule."""
    shards: Shards = 2
    dropout: bool = False
    """The model's own dropout while pretraining. Below one epoch there is nothing to overfit, and it costs a third of the speed."""
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Most seconds of work a crash may cost."""

    @model_validator(mode="after")
    def _every_part_has_a_row(self) -> Self:
        rows_for_each(self.shards, self.batch_size)
        rows_for_each(self.gradient_accumulation, self.batch_size, "gradient_accumulation")
        return self

    @model_validator(mode="after")
    def _rows_that_follow_have_a_budget(self) -> Self:
        follow = self.texts == "corpus_then_rows"
        if follow and self.rows_tokens is None:
            raise ValueError("`texts: corpus_then_rows` needs `rows_tokens`, how many tokens of the rows are read after the corpus")
        for key in () if follow else ("rows_tokens", "rows_learning_rate"):
            if getattr(self, key) is not None:
                own = key.removeprefix("rows_").replace("tokens", "budget_tokens")
                raise ValueError(f"`{key}` is for `texts: corpus_then_rows`, and texts is {self.texts}, where `{own}` holds; take it out")
        return self

    @property
    def most_parts(self) -> int:
        """Parts that a batch may be computed in."""
        return MOST_PARTS

    @property
    def reads_corpus(self) -> bool:
        """Whether any text of the corpus is read."""
        return self.texts != "rows"

    @property
    def reads_rows(self) -> bool:
        """Whether any text of the training rows is."""
        return self.texts != "corpus"


class MethodOptions(Strict):
    """Task fine-tuning, whatever its method."""

    method: str = Field("full", exclude_if=lambda method: method == "full")
    """How the model is made."""

    @property
    def passes(self) -> int:
        """How often the training rows are read; the time grows with it."""
        return 1

    @property
    def effort(self) -> float:
        """Share of the arithmetic of training every weight that one such pass takes."""
        return 1.0

    @property
    def most_tokens(self) -> int | None:
        """How many tokens of a text are read; None: all of its words, or as many as the data choose."""
        return None


ON_DEV = "loss_on_dev"
"""What the curve of dev rows is called while a model is fine-tuned. ``dev_loss`` is the finished model's, once it is calibrated."""


class GradientOptions(MethodOptions, StepOptions):
    """What methods share that train by gradient descent: a new pooler and linear head on the first token."""

    epochs: int = Field(8, ge=1, le=100)
    """Passes over the training rows."""
    batch_size: int = Field(32, ge=1)
    """Rows in one optimizer step."""
    learning_rate: float = Field(3e-4, gt=0, lt=1)
    """Peak rate of the encoder; linear warm-up over the first 6 % of steps, then as `schedule` says."""
    schedule: Schedule = Field("linear", exclude_if=lambda name: name == "linear")
    """How rates go after the rise: `linear` and `cosine` down to 0, `wsd` at the peak until the last fifth of the steps and then down to 0,
    `slanted` to 1/32 in nine tenths of them."""
    head_learning_rate: float = Field(1e-3, gt=0, lt=1)
    """Peak rate of the new pooler and classification head, same schedule."""
    shards: Shards = 2
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target spread over all classes (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7)."""
    class_weights: Literal["balanced"] | None = Field(None, exclude_if=lambda weights: weights is None)
    """`balanced`: a row costs more the rarer its class is among the training rows, so that all classes together cost the same (King & Zeng
    2001, "Logistic Regression in Rare Events Data"; scikit-learn's `balanced`). By default all rows cost the same."""
    max_length: int | None = Field(None, ge=8, le=512)
    """Tokens of a text that the model reads; the rest is cut. By default the data choose: as many as all but one in 1,000 training rows
    have, in steps of 8, and at most 512 or what the base model reads."""
    checkpoint_seconds: float = Field(30.0, gt=0)
    """Most seconds of work a crash may cost."""
    dev_curve: int = Field(100, ge=0, le=100_000, exclude_if=lambda rows: rows == 100)
    """Dev rows whose loss is measured after every epoch, for the curve on the page; 0: no curve. The model is the same, to
    the bit; the time is that of reading so many rows (of 1,800 training rows: 2 % of the processor time)."""

    @model_validator(mode="after")
    def _every_part_has_a_row(self) -> Self:
        rows_for_each(self.shards, self.batch_size)
        rows_for_each(self.gradient_accumulation, self.batch_size, "gradient_accumulation")
        return self

    @property
    def passes(self) -> int:
        return self.epochs

    @property
    def most_tokens(self) -> int | None:
        return self.max_length


class SwitchPointOptions(Strict):
    """From how many labels a class on fine-tuning is better than a method for few, measured on training and dev rows before anything else
    is trained. It trains both on subsets of 4, 8, 16 ... rows a class, each `draws` times, so it may cost more than all else."""

    few: Literal["contrastive", "prototype"] = "contrastive"
    """What the pipeline's own `finetune` is held against. `prototype` only embeds rows; `contrastive` reads each `4 * pairs` times."""
    up_to: int = Field(32, ge=8, le=512)
    """Most rows a class that are tried, and no more than the rarest class has. The time grows with it."""
    draws: int = Field(3, ge=2, le=20)
    """How often the rows of each size are drawn, and both are trained on them. The time grows with it."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows a class, each twice the one before."""
        return tuple(4 << shift for shift in range(self.up_to.bit_length() - 2) if 4 << shift <= self.up_to)

    def read(self, shared: MethodOptions) -> MethodOptions:
        """The options of :attr:`few`, with what ``shared`` says that it reads."""
        return finetune_options(shared.model_dump(exclude_unset=True), {"method": self.few})


class AbstainOptions(Strict):
    """When the model says that it does not know: the answer stays, and is marked."""

    precision: float = Field(gt=0, lt=1)
    """Share of the given answers that should be right. The threshold that the dev rows show it for travels with the model."""


_PRETRAIN = Section(OBJECTIVES, "objective", besides="auto")
_FINETUNE = Section(METHODS, "method", besides="auto")
PretrainOptions = Annotated[ObjectiveOptions, _PRETRAIN]
"""The section ``pretrain``, read by the options of its objective."""
FinetuneOptions = Annotated[MethodOptions, _FINETUNE]
"""The section ``finetune``, read by the options of its method."""


def pretrain_options(written: Mapping[str, Any]) -> ObjectiveOptions:
    """The options of the objective that ``written`` names. ValidationError with keys of it as places."""
    options = _PRETRAIN.read(dict(written))
    assert isinstance(options, ObjectiveOptions)
    return options


def finetune_options(shared: Mapping[str, Any], own: Mapping[str, Any]) -> MethodOptions:
    """A candidate's options: what the pipeline's ``finetune`` has, as far as the candidate's method reads it, and ``own`` over it.

    Both as they are written, without defaults. A key of ``own`` that the method does not read, or whose only value it is not, is a
    fault; one of ``shared`` is not for it: ValidationError with keys as places.
    """
    name = own.get("method", shared.get("method", METHODS.first))
    fields = METHODS[name].options.model_fields if isinstance(name, str) and name in METHODS else {}
    known = {key for key, field in fields.items() if not _has_one_value(field.annotation)}
    options = _FINETUNE.read({key: value for key, value in shared.items() if key in known} | dict(own) | {"method": name})
    assert isinstance(options, MethodOptions)
    return options


def _has_one_value(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1
