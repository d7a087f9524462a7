"""The document behind a page, and the output of ``regraft report --json``: plain values, the same for the same evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from regraft.config.step_names import kind_of
from regraft.core import files
from regraft.data import by_order, contradictions
from regraft.evaluation.stats.paired import Paired, align
from regraft.gates import choice, seeds
from regraft.gates import words as gate_words
from regraft.gates.comparison import Comparison
from regraft.gates.measurements import involved, of_gates
from regraft.gates.registry import GATES, takes_clean_rows
from regraft.gates.section import Results, Section
from regraft.gates.telling import sentences
from regraft.registry.journal import Entry
from regraft.registry.waivers import told
from regraft.reports import flips as flipping
from regraft.reports import measure, switch_point, words
from regraft.reports.evidence import Evidence, Links
from regraft.reports.label_curve import LabelCurve
from regraft.reports.measure import Confusion, Estimate, Slice
from regraft.reports.row_quality import RowEvidence, row_evidence
from regraft.reports.standing import Standing
from regraft.training import lengths

SCHEMA = 5
DATA_COUNTS = {
    "contract": ("read", "accepted", "quarantined"),
    "splits": ("train", "dev", "test"),
    "corpus": ("train", "dev", "test", "documents", "heldout"),  # up to 0.2 it dealt the rows out, too
}


@dataclass(frozen=True)
class Report:
    """Everything a page shows."""

    schema: int
    pipeline: str
    run: str
    begun: str | None
    """When the run began, ISO 8601, as its name says; None: its name says nothing."""
    standing: Standing
    """What has become of the model, as the journal said when the document was made."""
    links: Links
    """The run in MLflow and in Prefect, and its model's version."""
    outcome: str
    headline: str
    support: str
    cautions: tuple[str, ...]
    verdict: dict[str, Any]
    """The content of verdict.json."""
    sentences: tuple[str, ...]
    """Its findings in words, in their order."""
    metrics: tuple[str, ...]
    """Those that gates asked about; the first one chose between adapted and base."""
    confidence: float
    """Coverage of the intervals in ``estimates``."""
    resamples: int
    seed: int
    estimates: tuple[Estimate, ...]
    curves: dict[str, dict[str, list[tuple[int, float]]]]
    """Step -> curve -> points (optimizer step, value)."""
    head_steps: int
    """Optimizer steps of ``pretrain`` in which only a new head was trained."""
    dev_loss: dict[str, float]
    """Candidate -> loss on dev rows after training and calibration; without those that measured none."""
    confusion: Confusion | None
    classes: tuple[Slice, ...]
    slices: dict[str, tuple[Slice, ...]]
    """Column -> its values, the surely worst first."""
    small: dict[str, int]
    """Column -> rows whose value has too few test rows to be a slice."""
    flips: tuple[flipping.FlippedRows, ...]
    """Against the model that matters most first."""
    label_curve: LabelCurve | None
    doubts: RowEvidence | None
    """What speaks against single rows; None where no gate asked."""
    seeds: dict[str, Any] | None
    """Every metric by seed (:func:`regraft.gates.seeds.measured`); None where no gate asked for several."""
    data: dict[str, Any]
    base_model: dict[str, str] | None
    """Name as in the pipeline file, and digest, of the model that training started from; None where no record names it."""
    steps: tuple[dict[str, Any], ...]
    """For every step what it read and wrote, by hash, where and when it was computed, and what that cost.

    ``base_model`` as above is None for a step that does not load it.
    """
    history: tuple[dict[str, Any], ...]
    """What the journal says about these weights when the document was made."""
    sections: tuple[Section, ...]
    """What gates show of what they measured."""


def document(evidence: Evidence, curve: LabelCurve | None = None) -> Report:
    """The document about one run. Nothing in it is newer than the evidence and the journal."""
    verdict, policy = evidence.verdict, evidence.case.policy
    paired = _paired(evidence)
    candidate = verdict["candidate"]["name"]
    comparable = paired is not None and candidate in paired.preds
    metrics = _metrics(verdict, policy.adaptation[0])
    confidence = policy.adaptation[1]
    estimates: tuple[Estimate, ...] = ()
    measured: dict[str, Any] = {}
    comparison = Comparison(evidence.case, paired, candidate=candidate) if paired is not None else None
    if comparison:
        estimates = tuple(measure.estimates(comparison, list(dict.fromkeys((*metrics, "accuracy"))), confidence))
        measured = of_gates(comparison) if comparable else {}
    rivals = _rivals(verdict, paired) if paired is not None and comparable else []
    table = evidence.tables[candidate]
    slices, small = _slices(evidence, paired, candidate, rivals) if paired is not None and comparable else ({}, {})
    pretrain = evidence.records.get("pretrain", {}).get("metrics", {})
    return Report(
        schema=SCHEMA,
        pipeline=evidence.run.pipeline,
        run=evidence.run.name,
        begun=begun(evidence.run.name),
        standing=evidence.standing,
        links=evidence.links,
        outcome=verdict["outcome"],
        headline=words.headline(
            verdict,
            estimates,
            waived=any(_waived(evidence, verdict["candidate"]["digest"])),
            promoted=evidence.standing.state in ("champion", "replaced", "rolled_back"),
        ),
        support=words.support(verdict, estimates),
        cautions=tuple(_cautions(evidence, estimates)),
        verdict=verdict,
        sentences=tuple(sentences(verdict["findings"])),
        metrics=metrics,
        confidence=confidence,
        resamples=policy.resamples,
        seed=policy.seed,
        estimates=estimates,
        curves={step: {name: list(points) for name, points in curves.items()} for step, curves in evidence.curves.items() if curves},
        head_steps=int(pretrain.get("head_steps", 0)),
        dev_loss=_dev_loss(evidence.records),
        confusion=measure.confusion(table.labels, table.preds, table.classes) if comparable else None,
        classes=tuple(measure.class_slices(paired, candidate, next(iter(rivals), None))) if paired is not None and comparable else (),
        slices=slices,
        small=small,
        flips=tuple(_flips(evidence, paired, candidate, rivals)) if paired is not None else (),
        label_curve=curve,
        doubts=row_evidence(evidence, comparison if comparable else None, measured),
        seeds=seeds.measured(comparison, metrics) if comparison else None,
        data=_data(evidence),
        base_model=next(filter(None, map(_base_model, evidence.records.values())), None),
        steps=tuple(_step(record, evidence.run.name) for record in evidence.records.values()),
        history=tuple(map(_of_journal, evidence.history)),
        sections=_sections(evidence, measured, comparison if comparable else None),
    )


def begun(run: str) -> str | None:
    """When a run began, from its name: demo-20261129T010203-abcdef. None for another name."""
    written = re.search(r"-(\d{8}T\d{6})-[0-9a-f]{6}$", run)
    return datetime.strptime(written[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat() if written else None


def _dev_loss(records: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    measured = {
        step.partition("-")[2]: record["metrics"].get("dev_loss") for step, record in records.items() if kind_of(step) == "finetune"
    }
    return {candidate: loss for candidate, loss in measured.items() if loss is not None}


def _sections(evidence: Evidence, measured: Mapping[str, Any], comparison: Comparison | None) -> tuple[Section, ...]:
    """Who was chosen on dev rows, where methods switch, and the sections of gates that were asked or measured something, each once."""
    metrics = {step: record.get("metrics", {}) for step, record in evidence.records.items()}
    chosen = (choice.section(finding) for finding in evidence.verdict["findings"] if finding["gate"] == "choice")
    switched = switch_point.section(metrics.get("switch_point", {}), evidence.records.get("switch_point", {}).get("params", {}))
    results = Results(measured, metrics, comparison, _texts(evidence))
    return tuple(dict.fromkeys(filter(None, (*chosen, switched, *(GATES[name].section(results) for name in involved(evidence.case))))))


def _waived(evidence: Evidence, digest: str) -> Iterator[str]:
    """A sentence for each time that the candidate was promoted on somebody's word."""
    for entry in evidence.history:
        if entry.waivers and entry.digest == digest:
            yield f"This model was {told(entry)}."


def _data_cautions(evidence: Evidence, candidate: str) -> Iterator[str]:
    """Rows that were dropped though their labels contradict others, and what the candidate never saw of the texts, where that is much."""
    if evidence.contradictions and (contradictory := contradictions.sentence(evidence.contradictions)):
        yield f"{contradictory}."
    if warning := lengths.warning(evidence.records.get(f"finetune-{candidate}", {}).get("metrics", {})):
        yield f"Texts are cut: {warning}."


def _cautions(evidence: Evidence, estimates: Sequence[Estimate]) -> Iterator[str]:
    """What whoever reads the headline has to know besides: waivers, what the rows cannot show, what is odd about the data."""
    candidate = evidence.verdict["candidate"]
    yield from _waived(evidence, candidate["digest"])
    yield from words.cautions(evidence.verdict, estimates)
    yield from _data_cautions(evidence, candidate["name"])


def _of_journal(entry: Entry) -> dict[str, Any]:
    waivers = [asdict(waiver) for waiver in entry.waivers]
    plain = {name: getattr(entry, name) for name in ("seq", "at", "action", "to", "by", "reason")}
    return {**plain, "waivers": waivers}


def _paired(evidence: Evidence) -> Paired | None:
    """The models that can be compared, lined up: those that the verdict compared; None: there are none."""
    case = evidence.case
    usable = {model: p for model, p in case.predictions.items() if not p.unusable and (model != "champion" or case.champion_answers_all)}
    return align(usable) if usable else None


def _metrics(verdict: Mapping[str, Any], first: str) -> tuple[str, ...]:
    """What the gates about all test rows asked of, the first gate's first."""
    metrics = [f["metric"] for f in verdict["findings"] if takes_clean_rows(f["gate"]) and f["metric"] in gate_words.METRICS]
    return tuple(dict.fromkeys((first, *metrics)))


def _rivals(verdict: Mapping[str, Any], paired: Paired) -> list[str]:
    """Models to hold the candidate against, the one that matters most first; not itself under another name."""
    same = verdict["champion"] and verdict["champion"]["digest"] == verdict["candidate"]["digest"]
    order = [*(() if same else ("champion",)), "base", "tfidf", "adapted"]
    order += [model for model in paired.preds if model not in ("champion", *order)]
    return [model for model in order if model in paired.preds and model != verdict["candidate"]["name"]]


def _slices(
    evidence: Evidence, paired: Paired, candidate: str, rivals: Sequence[str]
) -> tuple[dict[str, tuple[Slice, ...]], dict[str, int]]:
    """Slices by every column beside id, text and label, and how many rows are in none of them."""
    slices, small = {}, {}
    test = evidence.test or {}
    for column in [name for name in test if name not in ("id", "text", "label")]:
        values = {row: str(value) for row, value in zip(test["id"], test[column], strict=True) if value is not None}
        if parts := measure.column_slices(paired, candidate, next(iter(rivals), None), column, values):
            slices[column] = tuple(parts)
            small[column] = len(paired.ids) - sum(part.n for part in parts)
    return slices, small


def _flips(evidence: Evidence, paired: Paired, candidate: str, rivals: Sequence[str]) -> Iterator[flipping.FlippedRows]:
    answers = {
        model: {row: (answer, float(p.max())) for row, answer, p in zip(table.ids, table.preds, table.p, strict=True)}
        for model, table in evidence.tables.items()
        if model == candidate or model in rivals
    }
    texts = _texts(evidence) or None
    for number, rival in enumerate(rivals):
        yield flipping.flips(paired, candidate, rival, answers, texts, most=20 if number == 0 else 0)


def _texts(evidence: Evidence) -> dict[str, str]:
    """Test row -> text; empty where the run kept none."""
    return dict(zip(evidence.test["id"], evidence.test["text"], strict=True)) if evidence.test else {}


def _data(evidence: Evidence) -> dict[str, Any]:
    """Rows and documents from reading to splitting; keys are absent where a step did not say."""
    counts: dict[str, Any] = {}
    for step, names in DATA_COUNTS.items():
        metrics = evidence.records.get(step, {}).get("metrics", {})
        counts |= {name: int(metrics[name]) for name in names if name in metrics}
        counts |= {name: int(value) for name, value in metrics.items() if name.startswith("dropped_")}
    tokens = evidence.records.get("tokens", {}).get("metrics", {})
    counts |= {name: int(value) for name, value in tokens.items() if name.endswith("_tokens")}
    if order := (evidence.counts or {}).get("order"):
        counts["order"] = {**order, "sentence": by_order.sentence(order)}
    counts["by_rule"] = dict(sorted((evidence.counts or {}).get("by_rule", {}).items()))
    counts["lengths"] = [
        {"steps": steps, **numbers, "sentence": lengths.sentence(numbers)} for steps, numbers in lengths.by_step(evidence.records.values())
    ]
    table = evidence.contradictions or {"id": []}
    counts["contradictions"] = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return counts


def _base_model(record: Mapping[str, Any]) -> dict[str, str] | None:
    """What the step loaded beside its inputs: DVC does not watch it, its section of the settings holds the digest. None: nothing."""
    settings = record.get("params", {})
    if "base_digest" not in settings:
        return None
    return {"name": settings["base_model"], "digest": settings["base_digest"]}


def _step(record: Mapping[str, Any], run: str) -> dict[str, Any]:
    keys = (
        "step",
        "step_version",
        "fingerprint",
        "started",
        "seconds",
        "peak_mb",
        "device",
        "threads",
        "precision",
        "exact",
        "git",
        "energy",
    )
    return {
        **{key: record.get(key) for key in keys},
        "computed": record["run"] == run,
        "run": record["run"],
        "tokens": record["metrics"].get("tokens"),
        "base_model": _base_model(record),
        "inputs": {name: dict(source) for name, source in sorted(record["inputs"].items())},
        "outputs": dict(sorted(record["outputs"].items())),
        "digest": files.digest_of(record["outputs"]),
        "versions": record.get("versions", {}),
    }


def as_json(report: Report) -> dict[str, Any]:
    """The document of ``--json``."""
    return asdict(report)
