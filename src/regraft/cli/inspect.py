"""``plan``, ``status`` and ``explain``: verbs that only read."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.live import COLOUR
from regraft.cli.plan_table import plan_table, reasons
from regraft.cli.run import Json, Pipeline, Set
from regraft.core.quantities import counted, first_of, roughly

if TYPE_CHECKING:
    from regraft.config.pipeline import PipelineOptions
    from regraft.core.workspace import Workspace
    from regraft.execution.plan import Assessment
    from regraft.execution.run_cost import RunCost

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="With the details.")]
MARK = {"fresh": "[green]fresh[/]", "stale": "[yellow]stale[/]", "perhaps": "[yellow]stale?[/]", "missing": "[red]missing[/]"}


def add_to(app: typer.Typer) -> None:
    for verb in (plan, status, explain):
        app.command()(verb)


def plan(pipeline: Pipeline, set_: Set = None, verbose: Verbose = False, json: Json = False) -> None:
    """Say which steps of PIPELINE would run, and why. Changes nothing.

    With -v also what the times are measured on, which texts are read whole, and which differences the last test rows could show.
    """
    from regraft.config.pipeline_file import load_pipeline, require_pipeline
    from regraft.core.cores import cores, device
    from regraft.core.workspace import Workspace
    from regraft.data import by_order, precheck
    from regraft.execution import dvc, free_cores, freshness, run_cost, text_lengths
    from regraft.execution.events import require_idle
    from regraft.execution.plan import assess
    from regraft.execution.resolve import resolve
    from regraft.models import base_model, tokenizer_files

    workspace = Workspace.find()
    require_pipeline(workspace, pipeline)
    require_idle(workspace, pipeline)
    values = resolve(workspace, pipeline, set_ or ())
    freshness.require_data(workspace, pipeline, values["data"])
    precheck.look(workspace.root, values)
    options = load_pipeline(workspace, pipeline, set_ or ())
    freshness.require_slices(workspace, pipeline, options)
    dvc.ensure_repository(workspace)
    assessment = assess(workspace, pipeline, values)
    decision = freshness.decision_due(workspace, pipeline, values, assessment)
    power, waiver = freshness.last_power(workspace, pipeline), freshness.waiver(workspace, pipeline)
    idle = {step.name for step in assessment.steps if step.idle}
    texts = text_lengths.cut_texts(workspace, pipeline, {name: section for name, section in values.items() if name not in idle})
    borders = freshness.borders(workspace, pipeline, values)
    base = base_model.locate(options.base_model, workspace.root)
    head, spare = base_model.lost_head(base), tokenizer_files.spare(base)
    costs = run_cost.estimate(workspace, pipeline, values, assessment)
    if json:
        document = {"pipeline": pipeline, "steps": _with_costs(assessment, costs), "data": assessment.data}
        told = {"decision": decision, "cost": costs.document(), "power": power, "waiver": waiver.document() if waiver else None}
        told |= {"texts": texts, "borders": borders, "lost_head": head}
        told |= {"spare_embeddings": dict(zip(("tokens", "embeddings"), spare, strict=True)) if spare else None}
        console.print_json({**document, **told})
        return
    console.out.print(plan_table(assessment, decision, costs, console.out.width))
    for line in (*_idle([step.why[0] for step in assessment.steps if step.idle]), *_unread(options)):
        console.out.print(console.prose(f"[dim]{escape(line)}[/]", 2))
    _total(costs, verbose)
    if assessment.data:
        console.out.print(f"[yellow]data differs from data.dvc[/]: {escape(assessment.data)}; `dvc add data` takes it in", soft_wrap=True)
    quiet = [by_order.sentence(borders)] if borders else []
    due = [step.name for step in assessment.steps if step.state != "fresh" and not step.idle]
    if unused := free_cores.sentence(values, due, cores()) if device() == "cpu" else None:
        quiet.append(unused)
    quiet += _of_base(options.base_model, spare, head)
    _remark(quiet, texts, verbose)
    if power and verbose:
        _show_power(power)
    if waiver:
        console.out.print(console.prose(f"\n{console.warned(waiver.message, waiver.fix)}", 0))
    if decision is not None or due:
        again = "".join(f" --set {shlex.quote(item)}" for item in set_ or ())
        console.out.print(f"[dim]next:[/] regraft run {pipeline}{escape(again)}")


def _with_costs(assessment: Assessment, costs: RunCost) -> list[dict[str, Any]]:
    """Every step of the plan with what it costs; None where nothing is known of that."""
    of_step = {step.name: asdict(step) for step in costs.steps}
    return [asdict(step) | {"cost": of_step.get(step.name)} for step in assessment.steps]


def _of_base(name: str, spare: tuple[int, int] | None, head: str | None) -> Iterator[str]:
    """What is odd about the base model: tokens that its tokenizer does not have, and a head that is left out."""
    if spare:
        tokens, rows = spare
        yield (
            f"{name} embeds {rows:,} tokens, and its tokenizer has {tokens:,}: if it was not published so, the tokenizer is another model's"
        )
    if head:
        yield f"{name} was saved as {head}: its body is kept, its head is left out and a new one trained"


def _remark(quiet: Sequence[str], texts: Sequence[dict[str, Any]], verbose: bool) -> None:
    """Sentences about what is read, and which ``texts`` are cut: always where that is a warning, else in detail."""
    from regraft.execution.text_lengths import sentence

    for remark in quiet:
        console.out.print(console.prose(f"[dim]{escape(remark)}[/]", 2))
    for entry in texts:
        if entry["warning"]:
            console.out.print(console.prose(f"[yellow]warning[/]: {escape(sentence(entry))}", 2))
        elif verbose:
            console.out.print(console.prose(f"[dim]{escape(sentence(entry))}[/]", 2))


def _idle(reasons: Sequence[str]) -> Iterator[str]:
    """How many steps nothing asks for, by why; ``--json`` names each."""
    for reason, count in Counter(reasons).items():
        yield f"{counted(count, 'step')} not needed: {reason}"


def _unread(options: PipelineOptions) -> Iterator[str]:
    """Why a corpus that is named is not read."""
    if options.data.corpus is not None and not options.reads_corpus:
        yield f"data.corpus is not read: {'pretrain.texts is rows' if options.adapts else 'no candidate starts from `adapted`'}"


def _show_power(summary: list[dict[str, Any]]) -> None:
    from regraft.gates.words import power_lines

    title = f"The last run's test rows show a true difference with {summary[0]['power'] * 100:g} % power from"
    console.out.print(console.prose(f"\n[dim]{title}[/]", 2))
    for line in power_lines(summary):
        console.out.print(console.prose(f"  {escape(line)}", 4))


def _total(costs: RunCost, verbose: bool) -> None:
    """The sum, and in detail what it is based on; times of a first run are called so."""
    from regraft.core.quantities import size

    if not costs.steps:
        return
    if not costs.known:
        unknown = "time and disk are unknown until these steps have run here once"
        console.out.print(console.prose(f"\n{unknown}; {size(costs.free_bytes)} of disk are free", 2))
        return
    time = f"about {roughly(60 * costs.minutes)}" if costs.minutes is not None else f"time unknown for {first_of(costs.unknown)}"
    time += " (a first run: estimated from the data and a measurement of this machine)" if costs.guessed else ""
    least = "at least" if costs.partly else "about"
    disk = "disk unknown" if costs.disk_bytes is None else f"{least} {size(costs.disk_bytes)} of disk"
    console.out.print(console.prose(f"\nall that may run: {time}; {disk}, {size(costs.free_bytes)} free", 2))
    if not verbose:
        return
    bases = dict.fromkeys(step.based_on for step in costs.steps)
    for basis in bases:
        names = first_of([step.name for step in costs.steps if step.based_on == basis])
        console.out.print(console.prose(f"[dim]  {names}: {escape(basis)}[/]", 4))
    console.out.print(console.prose("[dim]  times are those of the last computation; what DVC has in its cache takes seconds[/]", 4))


def status(
    pipeline: Annotated[
        str | None, typer.Argument(help="One pipeline; all of them without it.", show_default=False, autocompletion=complete.pipelines)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the runs in progress until Ctrl-C.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with the code of the verdict that stands, 5 before the first.")] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Show champions, the last verdicts and the steps that are not fresh; with -v every step."""
    from regraft.core.workspace import Workspace
    from regraft.reports.overview import overview, standing_exit

    workspace = Workspace.find()
    if watch:
        _watch(workspace, pipeline, json)
        return
    document = overview(workspace, pipeline)
    if json:
        console.print_json(document)
    else:
        for name, entry in document["pipelines"].items():
            _show(name, entry, verbose)
    if check:
        sys.exit(standing_exit(document))


def _watch(workspace: Workspace, pipeline: str | None, json: bool) -> None:
    from regraft.cli.watch import watch
    from regraft.config.pipeline_file import require_pipeline
    from regraft.core.errors import ConfigError

    if json:
        raise ConfigError("--watch is for people, --json for programs: a document is one moment", fix="regraft status --json")
    if pipeline:
        require_pipeline(workspace, pipeline)
    watch(workspace, [pipeline] if pipeline else workspace.pipelines)


def _show(name: str, entry: dict[str, Any], verbose: bool) -> None:
    champion, challenger, verdict = entry["champion"], entry["challenger"], entry["verdict"]
    say = console.out.print
    say(f"[bold]{name}[/]")
    if champion:
        since = console.minute(champion["since"])
        told = f"version {champion['version']} ({champion['digest'][:12]}) since {since}, {champion['run']}"
        say(console.prose(f"  champion      {told}", 16))
        seconds = (datetime.now(UTC) - datetime.fromisoformat(champion["since"])).total_seconds()
        scored = f"; {_scored(entry['score'])}" if entry["score"] else ""
        say(console.prose(f"                for {roughly(max(0, seconds))}{scored}", 16))
    else:
        say("  champion      none")
    if waiver := entry["waiver"]:
        say(console.prose(f"  waiver        {console.warned(waiver['message'], waiver['fix'])}", 16))
    if challenger:
        say(f"  challenger    version {challenger['version']}")
    if verdict:
        ago = roughly(max(0, (datetime.now(UTC) - datetime.fromisoformat(verdict["at"])).total_seconds()))
        say(console.prose(f"  verdict       {verdict['outcome'].upper()} in {verdict['run']}, {ago} ago", 16))
    else:
        say("  verdict       none yet")
    if approval := entry["approval"]:
        told = f"version {approval['version']} {approval['sentence']}"
        said = console.warned(told, approval["fix"]) if approval["fix"] else escape(told)
        say(console.prose(f"  approval      {said}", 16))
    if schedule := entry["schedule"]:
        where = "" if schedule["deployed"] else ", where it is deployed"
        then = f"; the next time is {console.minute(schedule['next'])} UTC{where}" if schedule["next"] else ""
        say(console.prose(f"  schedule      {escape(schedule['words'])}{then}", 16))
    if running := entry["running"]:
        at = f", step {running['step']}" if running["step"] else ""
        say(console.prose(f"  running       {running['run']}{at}; `regraft status --watch` follows it", 16))
    if entry.get("error"):
        message = entry["error"].replace("\n", "\n  ")
        say(f"  [red]{escape(message)}[/]")
        say(f"  next: {escape(entry['fix'])}")
    needed = [step for step in entry["steps"] if step["state"] != "fresh" or not step["why"]]
    shown = [step for step in needed if verbose or step["state"] != "fresh"]
    never_ran = bool(shown) and not verbose and not running and all(step["state"] == "missing" for step in needed)
    if never_ran:
        say(console.prose(f"  steps         none of {len(needed)} has run here yet; `regraft plan {name}` lists them", 16))
        shown = []
    width = max((14, *(len(step["name"]) + 1 for step in shown)))
    for step in shown:
        mark, why = MARK[step["state"] if step["certain"] or step["state"] == "fresh" else "perhaps"], reasons(step["why"])
        if running and step["state"] != "fresh":
            mark, why = "[bold]at work[/]" if step["name"] == running["step"] else "[dim]waits[/]", ""
        say(f"  {step['name']:<{width}}{mark}  [dim]{escape(why)}[/]")
    if not never_ran and (fresh := len(needed) - len(shown)):
        of = f"all {counted(fresh, 'step')}" if fresh == len(needed) else f"{fresh} of {counted(len(needed), 'step')}"
        say(f"  [dim]{of} fresh[/]")
    for line in _idle([step["why"][0] for step in entry["steps"] if step not in needed]):
        say(f"  [dim]{escape(line)}[/]")


def _scored(score: dict[str, Any]) -> str:
    from regraft.gates.words import metric

    interval = f" ({score['low']:.3f} to {score['high']:.3f})" if score["low"] is not None and score["high"] is not None else ""
    return f"{metric(score['metric'])} {score['value']:.3f}{interval} in {score['run']}"


def explain(
    run: Annotated[str, typer.Argument(help="A run, or a pipeline (its latest run).", autocompletion=complete.runs)], json: Json = False
) -> None:
    """Rebuild the verdict of RUN from its stored predictions, byte for byte, and tell what decided it."""
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker
    from regraft.reports import explain as explaining

    workspace = Workspace.find()
    folder = Tracker(workspace).download_evidence(run)
    explanation: Any = explaining.explanation(folder)
    if json:
        console.print_json(asdict(explanation))
        return
    for line in explaining.head(explanation):
        console.out.print(console.prose(escape(line), 2))
    if rows := explaining.rows(explanation):
        console.out.print()
        console.uncut().print(_requirements(rows))
    console.out.print()
    for line in explaining.body(explanation):
        label = explaining.LABEL.match(line)
        hang = label.end() if label else len(line) - len(line.lstrip()) + 2
        console.out.print(console.prose(escape(line), hang))


def _requirements(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("requirement")
    for name in ("needed", "measured", "range"):
        table.add_column(name, justify="right")
    table.add_column("result", no_wrap=True)
    for *cells, result in rows:
        table.add_row(*map(escape, cells), f"[{COLOUR[result]}]{result}[/]")
    return table
