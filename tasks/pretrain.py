"""``pretrain``: the base encoder adapted to the corpus by masked-language modelling."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, ONCE, Cost, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import GeneralText, PretrainOptions, Strict, versions_of
from tasks.tokens import TOKENS


class ForgettingBudget(Strict):
    """What adaptation may cost on general text."""

    max_loss_increase: float
    general: GeneralText


class PretrainConfig(StepConfig):
    """What the adapted encoder depends on besides the tokens."""

    base_model: str
    """What is adapted."""
    base_digest: str
    """Digest of the base model's files."""
    pretrain: PretrainOptions
    seed: int
    forgetting: ForgettingBudget | None = Field(None, exclude_if=lambda budget: budget is None)
    """Left out where no gate asks."""
    versions: dict[str, int] = Field(default_factory=dict, exclude_if=lambda versions: not versions)
    """Of the plug-ins that train. Left out where all are the first of their kind, in version 1."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, budget = context.options, None
        if gate := options.asked("forgetting"):  # adaptation ends where the gate would refuse what it made
            general = gate.forgetting.general(context.named["forgetting"], options.corpus_column)
            budget = ForgettingBudget(max_loss_increase=gate.forgetting.max_loss_increase, general=general)
        base = {"base_model": options.base_model, "base_digest": context.base_digest}
        versions = versions_of(objective=options.pretrain.objective, family=context.family)
        return cls(**base, pretrain=options.pretrain, seed=options.seed, forgetting=budget, versions=versions)


def _run(config: PretrainConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from tempfile import TemporaryDirectory

    from regraft.steps.training import Budget, locate, pack_general, pretrain, require_versions

    require_versions(config.versions, objective=config.pretrain.objective)
    base, budget = locate(config.base_model, Path.cwd()), config.forgetting
    train = partial(pretrain, base, inputs["tokens"], config.pretrain, config.seed, out / "model")
    if budget is None:
        return train()
    with TemporaryDirectory(dir=out.parent, prefix="general-") as folder:
        general = pack_general(budget.general, base, config.pretrain.sequence_length, Path(folder))
        return train(Budget(general, budget.max_loss_increase))


def _tokens(config: PretrainConfig, _: PretrainConfig | None, metrics: Metrics) -> float:
    """A base model that brings its head needs no warm-up, which only a record can tell."""
    return config.pretrain.budget_tokens + (config.pretrain.head_warmup_tokens if metrics.get("head_steps", 1) else 0)


COST = Cost(follows=(), tokens=_tokens, trains=True)
PRETRAIN = Step(
    name="pretrain",
    config=PretrainConfig,
    run=_run,
    inputs={"tokens": TOKENS / ""},
    version=1,
    gpu=True,
    cost=COST,
    instances=lambda options: ONCE if options.adapts else NEVER,
)
