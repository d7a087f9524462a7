"""One HTML file of a document: no script, no address, opens anywhere.

Texts come from users, so the template escapes everything that is not a plot of ours, and the page forbids by its own
policy what it does not need: scripts, and every request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from regraft.config.step_names import kind_of
from regraft.core.quantities import duration
from regraft.gates.registry import takes_clean_rows
from regraft.gates.telling import row
from regraft.gates.words import milliseconds
from regraft.reports import plots, words
from regraft.reports.document import Report
from regraft.reports.overview import next_step, remark, stale
from regraft.training.options import ON_DEV

TEMPLATES = Path(__file__).parent / "templates"
CUT = 400
"""Characters of an example's text that are shown."""
HELD_OUT = {"heldout_loss_before": "before", "heldout_loss": "held-out", "heldout_loss_after_rows": "after rows"}
"""Curves of one point -> what is written beside it."""
MISSING = {"intended_use": "what the model is for", "limitations": "what it must not be used for", "license": "under which licence it is"}
"""Keys of ``card:`` -> what a card without them leaves open."""


def render(report: Report) -> str:
    """The page about one run; the same bytes for the same document."""
    return environment().get_template("run.html").render(r=report, plots=_plots(report), words=words)


def render_overview(
    document: dict[str, Any], trends: Mapping[str, Sequence[float]] | None = None, links: Mapping[str, str] | None = None
) -> str:
    """The page about all pipelines, from the document of :func:`regraft.reports.overview.fleet`.

    :param trends: what :func:`regraft.reports.overview.trends` returns.
    :param links: pipeline -> where the page of its last verdict lies, from where this one lies.
    """
    return environment().get_template("overview.html").render(o=document, trends=trends or {}, links=links or {})


def environment() -> jinja2.Environment:
    """Where templates come from and what they may say of values; everything that is no plot of ours is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "count": lambda value: f"{value:,}",
        "score": lambda value: f"{value:.3f}",
        "ms": milliseconds,
        "percent": lambda value: f"{100 * value:.0f}\N{NO-BREAK SPACE}%",
        "at": lambda value: f"{100 * value:.2f}%",
        "metric": lambda name: words.METRICS.get(name, name),
        "missing": MISSING.__getitem__,
        "short": lambda value: value[:12],
        "seconds": duration,
        "stale": stale,
        "remark": remark,
        "next_step": next_step,
        "begin": begin,
        "row": row,
        "mark": lambda outcome: f"{words.MARKS[outcome]}\N{NO-BREAK SPACE}" if outcome in words.MARKS else "",
        "part": lambda part: words.part(part.column, part.value),
        "parts": parts,
        "cut": lambda text: text if len(text) <= CUT else text[:CUT].rstrip() + " …",
        "day": lambda at: datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return made


def begin(sentence: str) -> str:
    """``sentence`` with a capital first letter; a first word with other marks than letters is a name, and stays."""
    first = sentence.partition(" ")[0]
    return sentence[:1].upper() + sentence[1:] if first.replace("-", "").isalpha() else sentence


def parts(name: str) -> list[str]:
    """Where the name of a base model may break: after its marks. A commit of the hub is shortened to twelve digits."""
    return re.split(r"(?<=[:/@_-])", re.sub(r"(?<=@)([0-9a-f]{12})[0-9a-f]{28}$", r"\1", name))


def _plots(report: Report) -> dict[str, Any]:
    """Every plot of the page as SVG; absent where there is nothing to draw."""
    candidate, findings = report.verdict["candidate"]["name"], report.verdict["findings"]
    drawings: dict[str, Any] = {"forests": [], "losses": []}
    for metric in report.metrics if report.estimates else ():
        of_all = [f for f in findings if takes_clean_rows(f["gate"]) and f["n"] == report.verdict["rows"]["n"]]
        with_threshold = [f for f in of_all if f["metric"] == metric and f["threshold"] is not None]
        floors = sorted({f["threshold"] for f in with_threshold if f["against"] is None})
        thresholds = {f["against"]: f["threshold"] for f in with_threshold if f["against"] is not None}
        pair = [plots.scores_plot(report.estimates, metric, candidate, floors)]
        if any(e.against for e in report.estimates):
            pair.append(plots.leads_plot(report.estimates, metric, thresholds))
        drawings["forests"].append((metric, pair))
    drawings["losses"] = _losses(report)
    if report.confusion and len(report.confusion.labels) <= plots.MOST_CLASSES:
        drawings["confusion"] = plots.confusion_plot(report.confusion)
    drawings["sections"] = {section.title: plots.interval_plot(section.plot) for section in report.sections if section.plot}
    if report.label_curve:
        drawings["labels"] = plots.label_curve_plot(report.label_curve)
    return drawings


def _losses(report: Report) -> list[tuple[str, str]]:
    """(caption, SVG) for adaptation and for the task; all candidates share one."""
    figures = []
    if "loss" in (adaptation := report.curves.get("pretrain", {})):
        last_points = {name: points[-1] for name, points in adaptation.items() if name in HELD_OUT and points}
        marks = {HELD_OUT[name]: point for name, point in last_points.items()}
        caption = "Adaptation: loss on what it read"
        figures.append(
            (caption, plots.loss_plot("pretrain", "Loss of the adaptation", {"training": adaptation["loss"]}, marks, report.head_steps))
        )
    tuned = {step.partition("-")[2]: of_step["loss"] for step, of_step in report.curves.items() if kind_of(step) == "finetune"}
    curves = {name: points for name, points in tuned.items() if points}
    if curves:
        measured = {name: report.curves[f"finetune-{name}"].get(ON_DEV, []) for name in curves}
        on_dev = {name: points for name, points in measured.items() if points}
        last = {name: points[-1][0] for name, points in curves.items() if name not in on_dev}
        dots = {f"{name}, dev": (at, report.dev_loss[name]) for name, at in last.items() if name in report.dev_loss}
        caption = "Fine-tuning: loss on the training rows"
        caption += ", and on dev rows after each epoch (dots)" if on_dev else ", and on dev rows at the end" if dots else ""
        figures.append((caption, plots.loss_plot("finetune", "Loss of the fine-tuning", curves, dots, 0, on_dev)))
    return figures
