"""``probes``: what a candidate says of changed test rows and of a user's templates. Only where a gate asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, Cost, Instances, Metrics, PipelineContext, PipelineOptions, Step, StepConfig, each_candidate
from regraft.steps.options import Invariance, TemplateTest, needs_step
from tasks.finetune import FINETUNE
from tasks.held_out import HELD_OUT
from tasks.score import SCORE


class ProbesConfig(StepConfig):
    """What is changed, and how; what may come of it is the gates' to say."""

    tests: tuple[Invariance, ...]
    """Invariance tests of the gate `robustness`."""
    sentence: str
    """What the test `length` adds."""
    terms: dict[str, dict[str, tuple[str, ...]]]
    """Dimension -> group -> identity terms, of the gate `counterfactual`."""
    templates: tuple[TemplateTest, ...]
    """Tests of the gate `templates`."""
    seed: int

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, named, gate = context.options, context.named, context.options.asked("robustness")
        robustness = gate.robustness if gate else None
        changes = {"tests": robustness.tests, "sentence": robustness.sentence} if robustness else {"tests": (), "sentence": ""}
        probes = {"terms": named.get("counterfactual", {}), "templates": named.get("templates", ())}
        return cls.model_validate({**changes, **probes, "seed": options.seed})


def _run(config: ProbesConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.evaluation import HeldOut, ask_variants, predictions, require_labels, variants, write_probes

    require_labels((test.label for test in config.templates if test.label), files.read_json(inputs["labels"]))
    rows = HeldOut.read(inputs["rows"])
    variants_made = [
        *variants.invariances(rows.ids, rows.texts, config.tests, config.sentence, config.seed),
        *variants.counterfactuals(rows.ids, rows.texts, config.terms),
        *variants.cases(config.templates),
    ]
    answers = ask_variants(inputs["model"], variants_made, predictions.read(inputs["answers"]))
    write_probes(out / "probes.parquet", variants_made, answers)
    return {"variants": len(variants_made)}


def _instances(options: PipelineOptions) -> Instances:
    return each_candidate(options) if needs_step(options.gates, "probes") else NEVER


ROWS = {"rows": HELD_OUT / "test.parquet", "labels": HELD_OUT / "labels.json"}
PROBES = Step(
    name="probes",
    config=ProbesConfig,
    run=_run,
    inputs={"model": FINETUNE / "model", "answers": SCORE / "test.parquet", **ROWS},
    version=2,
    gpu=True,
    cost=Cost(follows=("rows",)),
    instances=_instances,
)
