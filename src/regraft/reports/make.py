"""Reports made and put somewhere: by the flow for its own run, by ``regraft report`` for any."""

from __future__ import annotations

from pathlib import Path

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.evaluation.stats.metrics import COUNTED
from regraft.registry.tracking import Tracker
from regraft.reports.document import Report, document
from regraft.reports.evidence import Evidence, gather
from regraft.reports.label_curve import LabelCurve, label_curve
from regraft.reports.page import render

NAME = "report.html"


def report_on(tracker: Tracker, name: str, *, with_label_curve: bool = False) -> Report:
    """The report about run ``name``, or about a pipeline's latest decided run."""
    evidence = gather(tracker, name)
    return document(evidence, _label_curve(evidence) if with_label_curve else None)


def log_page(tracker: Tracker, run: str, run_id: str) -> str:
    """Make the page about a decided run and log it beside its evidence; where it is, as people type it."""
    page = tracker.workspace.scratch / "reports" / run / NAME
    write(page, render(report_on(tracker, run)))
    tracker.log_report(run_id, page)
    uri = tracker.artifact_uri(run_id)
    if uri.startswith("file://"):
        return tracker.workspace.relative(tracker.fetch(uri, page.parent) / NAME)
    return f"{NAME} in MLflow run {run_id}"


def write(path: Path, page: str) -> None:
    """Put ``page`` at ``path``; ConfigError or EnvironmentFault where that cannot be."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; --out names a file", fix=f"regraft report ... --out {path / NAME}")
    try:
        files.write_text(path, page)
    except OSError as fault:
        raise EnvironmentFault(f"{path} cannot be written: {fault.strerror or fault}") from fault


def _label_curve(evidence: Evidence) -> LabelCurve:
    """The learning curve of labels from what the run kept, with the baseline's own options."""
    record = evidence.records.get("tfidf")
    if evidence.train is None or evidence.test is None or record is None:
        raise EnvironmentFault(
            f"run {evidence.run.name} kept no training rows, so there are no labels to take away; runs of this version keep them",
            fix=f"regraft report {evidence.run.name}",
        )
    params = record["params"]
    return label_curve(
        evidence.train,
        evidence.test,
        evidence.tables["tfidf"].classes,
        metric=metric if (metric := evidence.case.policy.adaptation[0]) in COUNTED else "macro_f1",
        seed=evidence.case.policy.seed,
        trained_on=int(record["metrics"]["rows"]),
        max_ngram=params["max_ngram"],
        inverse_regularization=params["inverse_regularization"],
    )
