"""``pretrain``: the base encoder adapted to the corpus by masked-language modelling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.config import PipelineContext, PretrainOptions, StepConfig
from regraft.step import Cost, Metrics, Step
from tasks.tokens import TOKENS


class PretrainConfig(StepConfig):
    """What the adapted encoder depends on besides the tokens."""

    base_model: str
    """What is adapted."""
    base_digest: str
    """Of the base model's files."""
    pretrain: PretrainOptions
    seed: int

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        return cls(base_model=options.base_model, base_digest=context.base_digest, pretrain=options.pretrain, seed=options.seed)


def _run(config: PretrainConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.base_model import locate
    from regraft.train.mlm import pretrain

    return pretrain(locate(config.base_model, Path.cwd()), inputs["tokens"], config.pretrain, config.seed, out / "model")


def _tokens(config: PretrainConfig, _: PretrainConfig | None, metrics: Metrics) -> float:
    """A base model that brings its head needs no warm-up, which only a record can tell."""
    return config.pretrain.budget_tokens + (config.pretrain.head_warmup_tokens if metrics.get("head_steps", 1) else 0)


COST = Cost(follows=(), tokens=_tokens, trains=True)
PRETRAIN = Step(name="pretrain", config=PretrainConfig, run=_run, inputs={"tokens": TOKENS / ""}, version=1, gpu=True, cost=COST)
