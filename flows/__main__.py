"""``python -m flows``: the process that ``regraft run`` starts. ``python -m flows VERB``: what else of regraft talks to Prefect."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

from flows import prefect_server
from regraft.steps.flow import (
    Curves,
    EarlyStep,
    EnvironmentFault,
    Event,
    RegraftError,
    Run,
    Tracker,
    run_flow,
    steps,
    supervise,
    uncollected,
)


def main(run: Run) -> Event:
    """Start the server and the first step, and only then import Prefect: it reads its settings then, and takes 1.6 s."""
    own_server = prefect_server.start(run)
    if run.part:
        with uncollected("prefect"):
            from flows.step_flow import compute_step

        return compute_step(run)
    curves = Curves(run.emit, Tracker(run.workspace))
    early_step = EarlyStep(replace(run, emit=curves.hear, opening_mlflow=True), steps(run.workspace)[0].name)
    with uncollected("prefect"):
        from flows.retrain_flow import retrain_once

    return retrain_once(run, curves, early_step, own_server=own_server)


def deploy() -> int:
    """Take a document from stdin and answer with one on stdout, or with the error."""
    try:
        _require_server()
        from flows import deploy

        answer, code = deploy.main(json.load(sys.stdin)), 0
    except RegraftError as error:
        answer, code = {"error": supervise.said_of(error)}, error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def on_agent(verb: str, *argv: str) -> int:
    """``agent`` and ``job``."""
    try:
        _require_server()
        if verb == "job":
            from flows import job

            return job.main()
        from flows import agent

        agent.main(*argv)
    except RegraftError as error:
        sys.stderr.write(f"error: {error}\nnext: {error.fix}\n")
        return error.exit_code
    return 0


def _require_server() -> None:
    if not (url := os.environ.get("PREFECT_API_URL")):
        message = "PREFECT_API_URL names no server; schedules and agents need one that stays"
        raise EnvironmentFault(message, fix="prefect server start, and: export PREFECT_API_URL=http://127.0.0.1:4200/api")
    prefect_server.require_answer(url)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(run_flow(main))
        case ["deploy"]:
            sys.exit(deploy())
        case verb, *rest:
            sys.exit(on_agent(verb, *rest))
