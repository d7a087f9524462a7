"""A card as lines of Markdown, each with the artifact that vouches for its numbers. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from regraft.evaluation.stats.measured import Measured
from regraft.execution.records import external_inputs, scoring
from regraft.gates import words
from regraft.gates.telling import row, sentence
from regraft.registry.waivers import told
from regraft.reports.card import SAID, SCHEMA
from regraft.reports.card.facts import CONFIDENCE, Facts, flat
from regraft.training import lengths

VERDICT = "evidence/verdict.json"
HUB_METRICS = {"macro_f1": "f1"}
"""What the hub calls a metric, where that differs."""
MODELS = {"tfidf": "TF-IDF and logistic regression", "base": "fine-tuned without adaptation", "adapted": "adapted and fine-tuned"}
"""They stand in lines with numbers, by which the cards of 0.1 and 0.2 are verified."""
WEAKEST = 3
"""Labels that are named as weak."""


@dataclass(frozen=True)
class Said:
    """The part of a card that people or the base model's own files said; the content of card.json."""

    intended_use: str | None = None
    limitations: str | None = None
    license: str | None = None
    language: tuple[str, ...] = ()
    base_license: str | None = None
    """The license that the README.md in the base model's folder states; None: it is not known."""
    schema: int = SCHEMA
    """Of which schema the card is."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> Said:
        """The statements in card.json or in the resolved file's ``card``; keys that are not known are left out."""
        known = {key: values[key] for key in cls.__dataclass_fields__ if values.get(key) is not None}
        return cls(**{**known, "language": tuple(known.get("language", ()))})


@dataclass(frozen=True)
class Line:
    """One line, and which artifact its numbers are from."""

    text: str
    source: str


def card(facts: Facts, statements: Said) -> str:
    """The text of README.md."""
    return "".join(f"{line.text}\n" for line in lines(facts, statements))


def lines(facts: Facts, statements: Said) -> list[Line]:
    """The card, line by line."""
    parts = (_front_matter, _opening, _waived, _evaluation, _per_class, _data, _training, _cost, _limitations, _lineage)
    return [Line(text, line.source) for part in parts for line in part(facts, statements) for text in line.text.split("\n")]


def predictions(model: str) -> str:
    """The artifact with the answers of ``model``."""
    return f"evidence/predictions/{model}.parquet"


def _front_matter(facts: Facts, statements: Said) -> Iterator[Line]:
    from huggingface_hub import EvalResult, ModelCardData

    pipeline, rows = facts.verdict["pipeline"], facts.verdict["rows"]
    task = str((scoring(facts.records) or {}).get("params", {}).get("task", "text-classification"))
    spec = _base(facts)["base_model"]
    results = [
        EvalResult(
            task_type=task,
            dataset_type=pipeline,
            dataset_name=f"held-out rows of {pipeline}",
            dataset_split="test",
            dataset_revision=rows["digest"],
            metric_type=HUB_METRICS.get(metric, metric),
            metric_name=_metric(metric),
            metric_value=score.value,
        )
        for metric, score in facts.scores[facts.candidate].items()
    ]
    data = ModelCardData(
        language=list(statements.language) or None,
        license=statements.license,
        library_name="mlflow",
        pipeline_tag=task,
        tags=["regraft", *(["domain-adaptation"] if _is_adapted(facts) else [])],
        base_model=spec.removeprefix("hub:").partition("@")[0] if spec.startswith("hub:") else None,
        model_name=f"{pipeline} version {facts.version}",
        eval_results=results,
        regraft={
            "card": statements.schema,
            "pipeline": pipeline,
            "version": facts.version,
            "digest": facts.entry.digest,
            "run": facts.entry.run,
        },
    )
    yield Line("---", SAID)
    for text in data.to_yaml(line_break="\n").strip().split("\n"):
        yield Line(text, predictions(facts.candidate) if "value:" in text else SAID)
    yield Line("---\n", SAID)


def _is_adapted(facts: Facts) -> bool:
    return facts.candidate == "adapted" or any(record["step"] == "pretrain" for record in facts.lineage)


def _made(facts: Facts) -> str:
    """How the model came about, to stand after a comma."""
    method = _method(facts)
    if method is None:
        return "adapted to the domain's text before it was fine-tuned" if _is_adapted(facts) else "fine-tuned without adaptation"
    if _has_no_base(facts):
        return f"made by `{method}` of the labelled rows alone"
    return f"made by `{method}` of the {'adapted model' if _is_adapted(facts) else 'base model, without adaptation'}"


def _method(facts: Facts) -> str | None:
    """By which method the model was made; None: by full fine-tuning, or no record says."""
    method: str | None = next((record["params"].get("finetune", {}).get("method") for record in facts.lineage[-1:]), None)
    return None if method == "full" else method


def _has_no_base(facts: Facts) -> bool:
    """Whether no step that led to the model read the base model."""
    return _method(facts) is not None and not any("base_model" in record["params"] for record in facts.lineage)


def _opening(facts: Facts, statements: Said) -> Iterator[Line]:
    verdict, labels = facts.verdict, ", ".join(facts.labels)
    pipeline = verdict["pipeline"]
    yield Line(f"# {pipeline}, version {facts.version}\n", _journal(facts))
    yield Line(f"Verdict: **{verdict['outcome'].upper()}**. A text classifier, {_made(facts)}.\n", VERDICT)
    yield Line("## Intended use\n", SAID)
    unstated = f"Not stated: `card.intended_use` in pipelines/{pipeline}.yaml says it."
    yield Line(f"{statements.intended_use or unstated}\n", SAID)
    pair = (task := facts.records.get("contract", {}).get("params", {}).get("task", {})).get("text_pair")
    subject = f"a pair of texts ({task['text']} and {pair})" if pair else "a text"
    yield Line(f"It gives {subject} one of {len(facts.labels)} labels: {labels}.\n", "evidence/labels.json")
    asked = f'pd.DataFrame({{"{task["text"]}": ["a text"], "{pair}": ["another"]}})' if pair else '["a text"]'
    imports = "import mlflow\nimport pandas as pd" if pair else "import mlflow"
    code = f'{imports}\n\nmodel = mlflow.pyfunc.load_model("models:/{pipeline}/{facts.version}")\nmodel.predict({asked})'
    yield Line(f"```python\n{code}\n```\n", _journal(facts))


def _waived(facts: Facts, _: Said) -> Iterator[Line]:
    """Nothing for a version that stood on its verdict alone."""
    for entry in facts.waived:
        source = f"journal entry {entry.seq}"
        yield Line("## Promoted on a waiver\n", source)
        yield Line(f"This version was {told(entry)}. After that day the waiver is over, and what it waived counts again.\n", source)
        for waiver in entry.waivers:
            yield Line(f"- {waiver.outcome}: {waiver.sentence}", source)
        yield Line("", source)


def _evaluation(facts: Facts, statements: Said) -> Iterator[Line]:
    verdict, metrics = facts.verdict, list(facts.scores[facts.candidate])
    rows = f"{verdict['rows']['n']:,} held-out test rows (digest `{verdict['rows']['digest']}`)"
    yield Line("## Evaluation\n", VERDICT)
    how = f"Intervals cover {CONFIDENCE * 100:g} %: {facts.resamples:,} paired bootstrap resamples, seed {facts.seed}."
    yield Line(f"On {rows}. {how}\n", "evidence/decision.json")
    yield from _table(["model", *(_metric(metric) for metric in metrics)], VERDICT)
    for model in sorted(facts.scores, key=lambda name: name != facts.candidate):
        cells = [_with_interval(facts.scores[model][metric]) for metric in metrics]
        yield Line(_row([_named(model, facts), *cells]), predictions(model))
    yield Line("\n### What it had to prove\n", VERDICT)
    yield from _by_gate(verdict) if statements.schema == 1 else _requirements(verdict)
    yield Line("", VERDICT)
    for finding in verdict["findings"]:
        yield Line(f"- {sentence(finding)}", VERDICT)
    yield Line("", VERDICT)


def _requirements(verdict: dict[str, Any]) -> Iterator[Line]:
    yield from _table(["requirement", "needed", "measured", "range", "result"], VERDICT)
    for finding in verdict["findings"]:
        yield Line(_row(astuple(row(finding))), VERDICT)


def _by_gate(verdict: dict[str, Any]) -> Iterator[Line]:
    """The same in cards of schema 1."""
    yield from _table(["gate", "against", "metric", "measured", "threshold", "outcome"], VERDICT)
    for finding in verdict["findings"]:
        metric = _metric(finding["metric"]) if finding["metric"] else ""
        measured = "" if finding["value"] is None else _interval_text(finding["value"], finding["low"], finding["high"])
        threshold = "" if finding["threshold"] is None else words.number(finding["threshold"])
        yield Line(_row([finding["gate"], finding["against"] or "", metric, measured, threshold, finding["outcome"]]), VERDICT)


def _per_class(facts: Facts, _: Said) -> Iterator[Line]:
    source = predictions(facts.candidate)
    yield Line("### Per class\n", source)
    yield Line(f"Precision and recall with {CONFIDENCE * 100:g} % Wilson intervals.\n", source)
    yield from _table(["label", "test rows", "precision", "recall", "F1"], source)
    for each in facts.classes:
        cells = [each.label, f"{each.rows:,}", _with_interval(each.precision), _with_interval(each.recall), words.number(each.f1)]
        yield Line(_row(cells), source)
    yield Line("", source)


def _data(facts: Facts, _: Said) -> Iterator[Line]:
    records = list(facts.records.values())
    yield Line("## Data\n", "records")
    yield from _table(["input", "path", "sha256"], "records")
    for name, item in external_inputs(records).items():
        reader = next(record["step"] for record in records if name in record["inputs"])
        yield Line(_row([name, f"`{item['path']}`", f"`{item['hash']}`"]), _record(reader))
    yield Line("\nWhat each step counted and measured on the way to this model:\n", "records")
    yield from _table(["step", "", "value"], "records")
    for record in facts.lineage:
        for name, value in sorted(record["metrics"].items()):
            yield Line(_row([record["step"], name, _value(value)]), _record(record["step"]))
    yield Line("", "records")


def _training(facts: Facts, statements: Said) -> Iterator[Line]:
    base = _base(facts)
    yield Line("## Training\n", "records")
    if _has_no_base(facts):
        yield Line("Base model: none; it is made of the labelled rows alone.\n", "records")
    else:
        licence = f"{statements.base_license}, as its README.md says" if statements.base_license else "not known; its folder states none"
        named = f"`{base['base_model']}`, digest `{base['base_digest']}`"
        yield Line(f"Base model: {named}. License of the base model: {licence}.\n", base["source"])
    yield from _table(["step", "parameter", "value"], "records")
    for record in facts.lineage:
        for name, value in flat(record["params"]):
            if value not in (None, ""):
                yield Line(_row([record["step"], f"`{name}`", _value(value)]), _record(record["step"]))
    yield Line("", "records")


def _cost(facts: Facts, _: Said) -> Iterator[Line]:
    records = list(facts.records.values())
    yield Line("## Cost\n", "records")
    yield from _table(["step", "computed by", "seconds", "peak memory", "on"], "records")
    for record in records:
        on = f"{record['device']}, {record['precision']}, {record['threads']} thread{'s' * (record['threads'] != 1)}"
        on += f" in {workers} processes" if (workers := record.get("workers", 1)) > 1 else ""
        cells = [record["step"], record["run"] or "", f"{record['seconds']:,.1f}", f"{record['peak_mb']:,} MB", on]
        yield Line(_row(cells), _record(record["step"]))
    total = sum(record["seconds"] for record in records)
    yield Line(f"\n{total:,.1f} seconds in all, the models it was compared with included.\n", "records")


def _limitations(facts: Facts, statements: Said) -> Iterator[Line]:
    yield Line("## Limitations\n", SAID)
    if statements.limitations:
        yield Line(f"{statements.limitations}\n", SAID)
    yield Line(f"- It answers every text with one of its {len(facts.labels)} labels, also a text that fits none.", "evidence/labels.json")
    weak = sorted((each for each in facts.classes if each.rows), key=lambda each: (each.f1, each.label))[:WEAKEST]
    listed = ", ".join(f"{each.label} (F1 {words.number(each.f1)}, {each.rows:,} rows)" for each in weak)
    yield Line(f"- Weakest labels on the test rows: {listed}.", predictions(facts.candidate))
    yield Line("- The numbers hold for texts like the test rows, which come from the same source as the training rows.", SAID)
    for step, length, share in _lengths(facts):
        longer = "" if share is None else f"; {lengths.percent(share)} of the test rows are longer"
        yield Line(f"- Of a longer text it reads the first {length:,} tokens{longer}.", _record(step))
    for finding in facts.verdict["findings"]:
        if finding["outcome"] != "pass" and finding["gate"] not in (
            "choice",
            "seeds",
        ):  # they ask nothing; adaptation stands on the cards of 0.1.0
            yield Line(f"- Not proven by a gate: {sentence(finding)}", VERDICT)
    yield Line("", SAID)


def _lineage(facts: Facts, _: Said) -> Iterator[Line]:
    entry, verdict = facts.entry, facts.verdict
    yield Line("## Lineage\n", _journal(facts))
    yield Line(f"- Model digest `{entry.digest}`; registered {entry.at} by {entry.by}, journal entry {entry.seq}.", _journal(facts))
    yield Line(f"- Run `{entry.run}`, MLflow run `{facts.mlflow_run_id}`.", _journal(facts))
    against = verdict["champion"]
    champion = f"version {against['version']} (digest `{against['digest']}`)" if against else "none"
    yield Line(f"- Champion at the time: {champion}. Policy `{verdict['policy_digest']}`.\n", VERDICT)
    yield from _table(["step", "version", "fingerprint", "commit"], "records")
    for record in facts.lineage:
        git = record["git"]
        commit = f"`{git['sha']}`{' with changes' if git['dirty'] else ''}" if git["sha"] else "no git"
        cells = [record["step"], str(record["step_version"]), f"`{record['fingerprint']}`", commit]
        yield Line(_row(cells), _record(record["step"]))
    if facts.lineage:
        last = facts.lineage[-1]
        shown = ", ".join(f"{name} {version}" for name, version in sorted(last["versions"].items()))
        yield Line(f"\nLibraries of the last step: {shown}.", _record(last["step"]))


# --- words -------------------------------------------------------------------------------------------------------


def _base(facts: Facts) -> dict[str, str]:
    """base_model and base_digest, from the first step that was given them."""
    for record in (*facts.lineage, *facts.records.values()):
        if "base_model" in record["params"]:
            params = record["params"]
            return {"base_model": params["base_model"], "base_digest": params["base_digest"], "source": _record(record["step"])}
    return {"base_model": "not known", "base_digest": "not known", "source": "records"}


def _lengths(facts: Facts) -> Iterator[tuple[str, int, float | None]]:
    """The step that fine-tuned, how many tokens its model reads, and the share of test rows with more; None: it did not measure that."""
    for record in facts.lineage[-1:]:
        written = [value for name, value in flat(record["params"]) if name.endswith("max_length")]
        length = record["metrics"].get("max_length", next(iter(written), None))
        if length is not None:
            yield record["step"], int(length), record["metrics"].get("cut_test")


def _named(model: str, facts: Facts) -> str:
    if model == facts.candidate:
        return f"**this version** ({model})"
    if model == "champion":
        return f"champion, version {facts.verdict['champion']['version']}"
    return MODELS.get(model, model)


def _metric(name: str) -> str:
    return words.METRICS.get(name, name)


def _record(step: str) -> str:
    return f"records/{step}.json"


def _journal(facts: Facts) -> str:
    return f"journal entry {facts.entry.seq}"


def _with_interval(measured: Measured | None) -> str:
    return "never predicted" if measured is None else _interval_text(measured.value, measured.low, measured.high)


def _interval_text(value: float, low: float, high: float) -> str:
    return f"{words.number(value)} ({words.number(low)} to {words.number(high)})"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(cells: Sequence[str]) -> str:
    """A table row; what would end a cell or the line is escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(columns: Sequence[str], source: str) -> Iterator[Line]:
    yield Line(_row(columns), source)
    yield Line("|" + "---|" * len(columns), source)
