"""``forgetting``: what general text costs the base model as it came, and what it costs a candidate on every stage of its way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, Candidate, Metrics, Output, PipelineContext, Step, StepConfig, each_candidate
from regraft.steps.options import GeneralText, PretrainOptions, needs_step
from tasks.finetune import FINETUNE
from tasks.pretrain import PRETRAIN


class ForgettingConfig(StepConfig):
    """What text forgetting is measured on, how much of it, and how heads are warmed up."""

    base_model: str
    """What every stage is held against."""
    base_digest: str
    """Digest of the base model's files."""
    general: GeneralText
    sequences: int
    """Held-out sequences that are measured."""
    pretrain: PretrainOptions
    """The options of adaptation, whose lengths, masks and rates hold for the warm-up."""
    seed: int

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, asked = context.options, context.options.asked("forgetting").forgetting
        base = {"base_model": options.base_model, "base_digest": context.base_digest}
        general = asked.general(context.named["forgetting"], options.corpus_column)
        return cls(**base, general=general, sequences=asked.sequences, pretrain=options.pretrain, seed=options.seed)


def _run(config: ForgettingConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    import pyarrow as pa

    from regraft.steps.data import write_table
    from regraft.steps.training import locate, measure_forgetting

    base = locate(config.base_model, Path.cwd())
    masked, nats = measure_forgetting(
        {"came": base, **inputs}, base, config.general, config.pretrain, config.sequences, config.seed, scratch=out.parent
    )
    types = {"masked": pa.int64(), **dict.fromkeys(nats, pa.float64())}
    write_table(out / "losses.parquet", {"masked": masked, **nats}, **types)
    means = {f"{name}_loss": float(losses.sum() / masked.sum()) for name, losses in nats.items()}
    return {"sequences": len(masked), "masked_tokens": int(masked.sum()), **means}


def stages(candidate: Candidate) -> dict[str, Output | str]:
    """The models on a candidate's way, the base model left out."""
    adapted = {"adapted": PRETRAIN / "model"} if candidate.start == "adapted" else {}
    return {**adapted, "finetuned": FINETUNE / "model"}


FORGETTING = Step(
    name="forgetting",
    config=ForgettingConfig,
    run=_run,
    inputs=stages,
    version=2,
    gpu=True,
    instances=lambda options: each_candidate(options) if needs_step(options.gates, "forgetting") else NEVER,
)
