"""``deploy``, ``agent``, and what an agent runs: pipelines that run by themselves, on a Prefect server that stays."""

from __future__ import annotations

import json as json_module
import os
import subprocess
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.run import Json

Pool = Annotated[str, typer.Option("--pool", help="Work pool of the Prefect server.")]
Named = Annotated[
    str | None, typer.Argument(help="A pipeline; all of them without it.", show_default=False, autocompletion=complete.pipelines)
]
WORDS = {"create": "new", "update": "changed", "remove": "gone", "keep": "as it is"}


def add_to(app: typer.Typer) -> None:
    app.command()(deploy)
    agents = typer.Typer(no_args_is_help=True, help="Run what is deployed: `regraft agent start`.")
    agents.command("start")(start)
    agents.callback()(lambda: None)  # a group, though it has one verb so far
    app.add_typer(agents, name="agent")
    app.command(hidden=True)(job)


def deploy(
    pipeline: Named = None,
    pool: Pool = "regraft",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Tell a Prefect server which pipelines run when: PIPELINE, or all of them, and which are gone."""
    from regraft.core.workspace import Workspace
    from regraft.execution import deployments

    workspace = Workspace.find()
    wanted = deployments.wanted(workspace, [pipeline] if pipeline else workspace.pipelines, pool)
    asked = {"workspace": workspace.root.name, "wanted": wanted, "every": pipeline is None, "dry_run": dry_run}
    changes = _told("deploy", asked)["changes"]
    if json:
        console.print_json({"changes": changes, "applied": not dry_run})
        return
    for change in changes:
        when = "" if change["verb"] == "remove" else f"; {deployments.words(workspace, change['pipeline'])}"
        differences = f" ({', '.join(change['differences'])})" if change["differences"] else ""
        console.out.print(console.prose(escape(f"{change['pipeline']}: {WORDS[change['verb']]}{differences}{when}"), 2))
    if dry_run:
        console.out.print("[dim]nothing was changed[/]")
    elif changes:
        console.out.print(f"[dim]next:[/] regraft agent start{'' if pool == 'regraft' else f' --pool {pool}'}, where the runs are to run")


def start(pool: Pool = "regraft") -> None:
    """Examine this machine as `doctor` does, then run what is deployed to a pool, in this clone of the workspace, until Ctrl-C."""
    from regraft.cli.workspace import show
    from regraft.core.workspace import Workspace
    from regraft.upkeep.doctor import examine

    checks = examine(Workspace.find())
    show(check for check in checks if check.state != "ok")
    if any(check.state == "bad" for check in checks):
        console.err.print("[bold red]error[/]: nothing that is deployed would run here\n[dim]next:[/] regraft doctor")
        sys.exit(8)
    _become("agent", pool)


def job() -> None:
    """Run what a Prefect server has scheduled (this is what an agent calls)."""
    _become("job")


def _become(*argv: str) -> None:
    from regraft.core.workspace import Workspace

    os.chdir(Workspace.find().root)
    os.execv(sys.executable, [sys.executable, "-m", "flows", *argv])


def _told(verb: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What ``python -m flows VERB`` answers; raises the error that it raised."""
    from regraft.core.errors import RegraftError
    from regraft.core.workspace import Workspace
    from regraft.execution import supervise

    argv = [sys.executable, "-m", "flows", verb]
    done = subprocess.run(
        argv, cwd=Workspace.find().root, input=json_module.dumps(asked), capture_output=True, text=True, encoding="utf8", check=False
    )
    try:
        answer: dict[str, Any] = json_module.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RegraftError(f"`python -m flows {verb}` ended with exit {done.returncode}: {done.stderr.strip()[-500:]}") from None
    if "error" in answer:
        raise supervise.error_from(answer["error"])
    return answer
