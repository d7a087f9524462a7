"""``python -m flows``: the process that ``regraft run`` starts."""

from __future__ import annotations

import sys
from dataclasses import replace

from flows import prefect_server
from regraft.steps.flow import Curves, EarlyStep, Event, Run, Tracker, run_flow, steps, uncollected


def main(run: Run) -> Event:
    """Start the server and the first step, and only then import Prefect: it reads its settings then, and takes 1.6 s."""
    own_server = prefect_server.start(run)
    curves = Curves(run.emit, Tracker(run.workspace))
    early_step = EarlyStep(replace(run, emit=curves.hear, opening_mlflow=True), steps(run.workspace)[0].name)
    with uncollected("prefect"):
        from flows.retrain_flow import retrain_once

    return retrain_once(run, curves, early_step, own_server=own_server)


if __name__ == "__main__":
    sys.exit(run_flow(main))
