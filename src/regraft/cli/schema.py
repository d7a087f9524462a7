"""``schema``: help while typing a pipeline file or a contract."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Literal

import typer
from rich.markup import escape

from regraft.cli import console
from regraft.cli.run import Json


class Kind(StrEnum):
    """The files that have a schema."""

    pipeline = "pipeline"
    contract = "contract"


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft schema > pipelines/pipeline.schema.json")(schema)


def schema(
    kind: Annotated[Kind, typer.Argument(help="Which file.")] = Kind.pipeline,
    json: Json = False,
) -> None:
    """Print the JSON schema of pipeline files or of contracts: every key, what it means, its default and its limits.

    Write it beside your pipeline files and start them with the line that this verb shows; an editor with the YAML language server
    then completes and checks keys while you type.
    """
    from json import dumps

    from regraft.config.schema import file_name, modeline
    from regraft.config.schema import schema as of

    name: Literal["pipeline", "contract"] = "pipeline" if kind is Kind.pipeline else "contract"
    if json:
        console.print_json({"kind": name, "file": f"pipelines/{file_name(name)}", "line": modeline(name), "json_schema": of(name)})
        return
    sys.stdout.write(dumps(of(name), indent=2, ensure_ascii=False) + "\n")
    if not sys.stdout.isatty():  # redirected to a file: the line has to be said beside it
        files = "pipelines/<name>.yaml" if name == "pipeline" else "pipelines/<name>.contract.yaml"
        console.err.print(f"[dim]next:[/] make this the first line of {files}: {escape(modeline(name))}")
