"""``scores``: what adapted, base and tfidf say about every test row, and what the rows are sliced by. All that a verdict rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import Cost, Metrics, PipelineContext, Step, StepConfig
from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.finetune import FINETUNE, FINETUNE_BASE
from tasks.tfidf import TFIDF


class ScoresConfig(StepConfig):
    """What a row is called does not matter to its score; which task it belongs to does."""

    task: str
    """The kind of task, which decides how a model is asked."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls(task=context.options.task.type)


def _run(config: ScoresConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files, progress
    from regraft.steps.data import labelled_splits, other_columns, write_table
    from regraft.steps.evaluation import HeldOut, Tfidf, align, discover_slices, predictions, score_folder, scores, temperature

    table = labelled_splits(inputs["rows"], inputs["splits"])
    test = table[table["split"] == "test"].sort_values("id")
    rows = HeldOut(test["id"].tolist(), test["text"].tolist(), test["label"].tolist())
    write_table(out / "rows.parquet", {"id": rows.ids, "text": rows.texts, "label": rows.labels})
    files.write_json(out / "labels.json", files.read_json(inputs["labels"]))

    baseline = Tfidf.load(inputs["tfidf"])
    slices = discover_slices(rows.texts, table[table["split"] == "train"]["text"].tolist(), baseline)
    write_table(out / "slices.parquet", {"id": rows.ids, **other_columns(inputs["rows"], rows.ids, taken=slices), **slices})
    tables = {"tfidf": predictions.Table.of(rows.ids, rows.labels, baseline.predict(rows.texts), baseline.labels)}
    for done, name in enumerate(("adapted", "base"), start=2):
        tables[name] = score_folder(inputs[name], rows)
        progress.progress(done, 3, "models")
    for name, answers in tables.items():
        predictions.write(out / f"{name}.parquet", answers)
    temperatures = {name: temperature.read(inputs[name]) for name in ("adapted", "base")}
    if any(temperatures.values()):  # of models that were never calibrated nothing is said
        files.write_json(out / temperature.FILE, temperatures)
    digests = {name: files.digest(inputs[name]) for name in tables}
    files.write_json(out / "digests.json", {**digests, "rows": rows.digest})
    paired = align({name: answers.for_gates() for name, answers in tables.items()})
    return {"rows": len(rows.ids), **{f"{name}_macro_f1": scores(paired, name)["macro_f1"] for name in tables}}


MODELS = {"adapted": FINETUNE / "model", "base": FINETUNE_BASE / "model", "tfidf": TFIDF / "model"}
ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": CORPUS / "splits.parquet"}
SCORES = Step(name="scores", config=ScoresConfig, run=_run, inputs={**MODELS, **ROWS}, version=2, gpu=True, cost=Cost(follows=("rows",)))
