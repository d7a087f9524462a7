"""What a pipeline file may say of pretraining and fine-tuning; importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from regraft.core.strict import Strict


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
