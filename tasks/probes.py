"""``probes``: what adapted and base say of changed test rows and of a user's templates. Only where a gate asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import Cost, Metrics, PipelineContext, PipelineOptions, Step, StepConfig
from regraft.steps.options import PROBED, Invariance, TemplateTest
from tasks.finetune import FINETUNE, FINETUNE_BASE
from tasks.scores import SCORES


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
        options, probe_files = context.options, context.probes
        robustness = next((gate.robustness for gate in options.gates if gate.robustness), None)
        changes = {"tests": robustness.tests, "sentence": robustness.sentence} if robustness else {"tests": (), "sentence": ""}
        probes = {"terms": probe_files.get("counterfactual", {}), "templates": probe_files.get("templates", ())}
        return cls.model_validate({**changes, **probes, "seed": options.seed})


def _run(config: ProbesConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files, progress
    from regraft.steps.evaluation import HeldOut, ask_variants, predictions, probes_evidence, require_labels, variants

    require_labels((test.label for test in config.templates if test.label), files.read_json(inputs["labels"]))
    rows = HeldOut.read(inputs["rows"])
    variants_made = [
        *variants.invariances(rows.ids, rows.texts, config.tests, config.sentence, config.seed),
        *variants.counterfactuals(rows.ids, rows.texts, config.terms),
        *variants.cases(config.templates),
    ]
    answers = {}
    for done, model in enumerate(("adapted", "base"), start=1):
        answers[model] = ask_variants(inputs[model], variants_made, predictions.read(inputs[f"{model}_answers"]))
        progress.progress(done, 2, "models")
    probes_evidence.write(out / probes_evidence.FILE, variants_made, answers)
    return {"variants": len(variants_made)}


def _asked(options: PipelineOptions) -> bool:
    return any(gate.question in PROBED for gate in options.gates)


MODELS = {"adapted": FINETUNE / "model", "base": FINETUNE_BASE / "model"}
ROWS = {"rows": SCORES / "rows.parquet", "labels": SCORES / "labels.json"}
ANSWERS = {"adapted_answers": SCORES / "adapted.parquet", "base_answers": SCORES / "base.parquet"}
INPUTS = {**MODELS, **ROWS, **ANSWERS}
PROBES = Step(name="probes", config=ProbesConfig, run=_run, inputs=INPUTS, version=1, gpu=True, cost=Cost(follows=("rows",)), asked=_asked)
