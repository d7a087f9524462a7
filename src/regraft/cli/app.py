"""The app: every verb, and how what the library raises becomes a message, a next command and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from regraft.core.errors import RegraftError


class Verbs(TyperGroup):
    """Turns what the library raises into a message, a next command and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        from regraft.cli.console import crash, fail, nobody_reads, wants_json
        from regraft.core import limits
        from regraft.core.errors import RegraftError

        try:
            _require_text(sys.argv[1:])
            return super().invoke(ctx)
        except RegraftError as error:
            sys.exit(fail(error))
        except BrokenPipeError:  # `regraft plan demo --json | head`
            nobody_reads()
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:  # the border of the process: a bug is one line with a log, not a traceback
            if type(error).__module__.startswith(("click", "typer")):
                if not wants_json():
                    raise  # a usage error, which Typer prints
                sys.exit(fail(_usage(error, ctx)))
            if fault := limits.explain(error, "regraft", Path.cwd()):
                sys.exit(fail(fault))
            sys.exit(crash(error))


def _require_text(arguments: Sequence[str]) -> None:
    """ConfigError for an argument whose bytes are not UTF-8, before something is blamed that only read it."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            from regraft.core.errors import ConfigError

            shown = os.fsencode(argument)
            fix = "locale charmap, which should say UTF-8; iconv -t UTF-8 converts text of another encoding"
            raise ConfigError(f"argument {number} is not UTF-8: {shown!r}", fix=fix) from None


def _usage(error: Any, ctx: Any) -> RegraftError:
    """A usage error of Typer as ours, for ``--json``."""
    from regraft.core.errors import ConfigError

    where = getattr(error, "ctx", None) or ctx
    return ConfigError(error.format_message(), fix=f"{where.command_path} --help")


def _show_version(asked: bool) -> None:
    if asked:
        from regraft import __version__

        typer.echo(f"regraft {__version__}")
        raise typer.Exit


HELP = "Keeps language models trained: adapt, fine-tune, prove, register, promote, and again when the data has changed."
app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 internal, 2 usage, 3 data contract, 4 gate FAIL, 5 INCONCLUSIVE, 6 approval, 7 conflict, 8 environment.",
)


@app.callback(help=HELP)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)] = False,
) -> None:
    """Options of ``regraft`` itself."""


GROUPS = {
    "Start": ("init", "new"),
    "Train": ("run", "plan", "status", "logs", "deploy", "agent"),
    "Hand in data": ("handoff", "data", "quarantine", "contract"),
    "Read the evidence": ("ls", "report", "open", "ui", "explain", "compare", "diff", "card"),
    "Production": ("approve", "reject", "promote", "rollback", "history", "renew-test", "predict"),
    "Workspace": ("doctor", "store", "gc", "dvc", "schema"),
}
"""How ``--help`` shows the verbs; one that is in no group stands under "Commands"."""


def with_verbs() -> typer.Typer:
    """The app with every verb; reading their signatures imports nothing heavy."""
    from regraft.cli import (
        agent,
        approve,
        card,
        champion,
        compare,
        contract,
        data,
        deploy,
        diff,
        gc,
        handoff,
        history,
        inspect,
        new,
        predict,
        quarantine,
        renewal,
        report,
        run,
        runs,
        schema,
        store,
        workspace,
    )

    verbs = (
        run,
        inspect,
        runs,
        handoff,
        data,
        quarantine,
        contract,
        compare,
        history,
        diff,
        report,
        approve,
        champion,
        renewal,
        card,
        predict,
        deploy,
        agent,
        workspace,
        store,
        new,
        gc,
        schema,
    )
    if not app.registered_commands:
        for module in verbs:
            module.add_to(app)
        _in_groups()
    return app


def _in_groups() -> None:
    places = {verb: (number, panel) for number, panel in enumerate(GROUPS) for verb in GROUPS[panel]}
    every: list[Any] = [*app.registered_commands, *app.registered_groups]
    for info in every:
        if place := places.get(_verb(info)):
            info.rich_help_panel = place[1]
    app.registered_commands.sort(key=lambda info: places.get(_verb(info), (len(GROUPS), ""))[0])


def _verb(info: Any) -> str:
    return str(info.name or info.callback.__name__.replace("_", "-"))
