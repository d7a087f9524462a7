"""``deploy``: which pipelines run by themselves, told to a Prefect server that stays."""

from __future__ import annotations

import json as json_module
import shlex
import subprocess
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.run import Json

Pool = Annotated[str, typer.Option("--pool", help="Work pool of the Prefect server; of pipelines whose file names none.")]
Named = Annotated[
    str | None, typer.Argument(help="A pipeline; all of them without it.", show_default=False, autocompletion=complete.pipelines)
]
WORDS = {"create": "new", "update": "changed", "remove": "gone", "keep": "as it is"}


def add_to(app: typer.Typer) -> None:
    app.command()(deploy)


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
    containers = deployments.container_pools(workspace, wanted)
    asked = {"workspace": workspace.root.name, "wanted": wanted, "pools": containers, "every": pipeline is None, "dry_run": dry_run}
    answer = _told("deploy", asked)
    changes, pools = answer["changes"], answer["pools"]
    if json:
        console.print_json({"changes": changes, **({"pools": pools} if pools else {}), "applied": not dry_run})
        return
    for each in pools:
        kind = containers[each["pool"]]
        console.out.print(console.prose(escape(f"pool {each['pool']}: {WORDS[each['verb']]}; {kind['type']}, {kind['image']}"), 2))
    for change in changes:
        name, differences = change["deployment"], f" ({', '.join(change['differences'])})" if change["differences"] else ""
        when = f"; {deployments.words(workspace, name)}" if name in wanted else ""
        console.out.print(console.prose(escape(f"{name}: {WORDS[change['verb']]}{differences}{when}"), 2))
    if dry_run:
        console.out.print("[dim]nothing was changed[/]")
    elif changes:
        named = list(dict.fromkeys(document["pool"] for document in wanted.values()))
        commands = " and ".join(_started(name, containers) for name in named)
        console.out.print(console.prose(f"[dim]next:[/] {commands}, where the runs are to run", 2))


def _started(pool: str, containers: dict[str, Any]) -> str:
    """What starts runs of a pool."""
    if pool in containers:
        return f"prefect worker start --pool {shlex.quote(pool)} --type {containers[pool]['type']}"
    return f"regraft agent start{'' if pool == 'regraft' else f' --pool {shlex.quote(pool)}'}"


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
