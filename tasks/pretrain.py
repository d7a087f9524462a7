"""``pretrain``: the base model adapted to the corpus, to the texts of the training rows, or to both in turn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, ONCE, Cost, First, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import GeneralText, PretrainOptions, Strict, versions_of
from tasks.row_tokens import ROW_TOKENS
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
    replay: GeneralText | None = Field(None, exclude_if=lambda text: text is None)
    """General text that is read in between. Left out where none is."""
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
        return cls(**base, pretrain=options.pretrain, seed=options.seed, forgetting=budget, replay=context.replay, versions=versions)


def _run(config: PretrainConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from tempfile import TemporaryDirectory

    from regraft.steps.training import Budget, locate, pack_general, pack_replay, pretrain, require_versions

    require_versions(config.versions, objective=config.pretrain.objective)
    base, length = locate(config.base_model, Path.cwd()), config.pretrain.sequence_length
    with TemporaryDirectory(dir=out.parent, prefix="general-") as general, TemporaryDirectory(dir=out.parent, prefix="replay-") as replayed:
        replay = pack_replay(config.replay, base, length, Path(replayed)) if config.replay else None
        budget = None
        if asked := config.forgetting:
            budget = Budget(pack_general(asked.general, base, length, Path(general)), asked.max_loss_increase)
        tokens, rows = inputs.get("tokens"), inputs.get("row_tokens")
        return pretrain(base, tokens, config.pretrain, config.seed, out / "model", budget, rows=rows, replay=replay)


def _tokens(config: PretrainConfig, _: PretrainConfig | None, metrics: Metrics) -> float:
    """A base model that brings its head needs no warm-up, which only a record can tell."""
    options = config.pretrain
    return options.budget_tokens + (options.rows_tokens or 0) + (options.head_warmup_tokens if metrics.get("head_steps", 1) else 0)


COST = Cost(follows=(), tokens=_tokens, trains=True, first=First(4.0))
PRETRAIN = Step(
    name="pretrain",
    config=PretrainConfig,
    run=_run,
    inputs={"tokens": TOKENS / "", "row_tokens": ROW_TOKENS / ""},
    optional=("tokens", "row_tokens"),
    version=1,
    gpu=True,
    cost=COST,
    instances=lambda options: ONCE if options.adapts else NEVER,
)
