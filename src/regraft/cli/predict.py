"""``predict``: ask a registered model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from regraft.cli import console
from regraft.cli.run import Json, Pipeline
from regraft.core.quantities import counted

if TYPE_CHECKING:
    from regraft.cli.prediction_input import Asked
    from regraft.evaluation.answering import Answer


NUMBER = 8
"""Columns of a probability and of what is left free at its sides."""
BESIDE = 20
"""Columns of a terminal that a label leaves for its probability and the beginning of its text."""


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft predict demo 'Plot the graph with these nodes.' 'Compute the eigenvalues.'")(predict)


def predict(
    pipeline: Pipeline,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...", help="Texts, tables (.csv, .tsv, .jsonl, also .gz; .parquet), or - (standard input, one text a line)."
        ),
    ],
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="A registered version; the champion without it.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the answers to a .csv, .tsv, .jsonl or .parquet file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Ask the champion of PIPELINE, or another version, for the label of each TEXT.

    The model is the registered one, its bytes verified against the journal before it is loaded. Of a file the column is read that the
    model was trained on. A model that reads pairs takes texts two at a time, and of standard input a pair a line, with a tab
    between. Write -- before texts that start with a dash. Where the pipeline file has `abstain`, answers
    below the threshold say so, with the best guess beside. With --out a row has its id, if its file has the column `task.id`, or else
    file and row, then text, label and probability.
    """
    from regraft.cli import prediction_input, prediction_output
    from regraft.config.pipeline_file import load_pipeline
    from regraft.core.workspace import Workspace
    from regraft.evaluation.answering import answer
    from regraft.models.kinds import columns_of
    from regraft.registry.registration import model_folder
    from regraft.registry.tracking import Tracker

    tracker = Tracker(Workspace.find())
    if out is not None:
        prediction_output.require_format(out)
    model = _model(tracker, pipeline, version)
    folder = model_folder(tracker, pipeline, model["version"])
    questions = prediction_input.read(texts, columns_of(folder), load_pipeline(tracker.workspace, pipeline).task.id)
    with Progress(console=console.err, transient=True, disable=json or not console.err.is_terminal) as progress:
        bar = progress.add_task(f"asking version {model['version']}", total=len(questions))
        answers = answer(folder, [item.text for item in questions], lambda done: progress.update(bar, completed=done))
    if out is not None:
        prediction_output.write(out, questions, answers)
    if json:
        rows = [{**asdict(item), **asdict(reply)} for item, reply in zip(questions, answers, strict=True)]
        if all(item.id is None for item in questions):
            rows = [{key: value for key, value in row.items() if key != "id"} for row in rows]
        if all(reply.abstains is None for reply in answers):  # of a model that never abstains nothing is said of it
            rows = [{key: value for key, value in row.items() if key != "abstains"} for row in rows]
        console.print_json({"pipeline": pipeline, **model, "answers": rows})
        return
    console.out.print(f"[dim]{pipeline} version {model['version']} ({model['digest'][:12]})[/]")
    if out is not None:
        console.out.print(f"{counted(len(answers), 'answer')} written to {console.linked(out, str(out))}")
        return
    _show(console.out, questions, answers)


def _show(out: Console, questions: Sequence[Asked], answers: Sequence[Answer]) -> None:
    """The answers as a table. The label is the answer: the text gives way to it, and where the terminal is narrow it wraps uncut."""
    labels = [f"abstains: {reply.label}?" if reply.abstains else reply.label for reply in answers]
    texts = [" ".join(item.text.split()) for item in questions]
    longest, text = max(map(cell_len, ("label", *labels))), max(map(cell_len, ("text", *texts)))
    if not out.is_terminal:  # a pipe has no edge
        out = Console(file=out.file, width=max(out.width, longest + NUMBER + text))
    label = min(longest, max(1, out.width - BESIDE))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("label", style="bold", overflow="fold", width=label)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", width=min(text, max(1, out.width - label - NUMBER)))
    for name, reply, line in zip(labels, answers, texts, strict=True):
        table.add_row(f"[dim]{escape(name)}[/]" if reply.abstains else escape(name), f"{reply.p:.2f}", escape(line))
    out.print(table)


def _model(tracker: Any, pipeline: str, version: int | None) -> dict[str, str]:
    """``{version, digest}`` by the journal."""
    from regraft.registry.journal import champion_of
    from regraft.registry.registration import registered
    from regraft.registry.store import store_of
    from regraft.reports.history import journal_of

    entries = journal_of(tracker.workspace, pipeline).entries()
    if version is not None:
        return dict(registered(entries, pipeline, str(version)).to or {})
    if (champion := champion_of(entries)) is None:
        raise store_of(tracker.workspace).nothing_yet(pipeline, "champion")
    return {"version": champion["version"], "digest": champion["digest"]}
