"""``python -m flows``: the process that ``regraft run`` starts."""

from __future__ import annotations

import sys

from flows import prefect_server
from regraft.flow_main import run_flow
from regraft.launch import Event
from regraft.repro import Run


def main(run: Run) -> Event:
    """Start the server, and only then import Prefect, which reads its settings when it is imported."""
    own_server = prefect_server.start(run)
    from flows.retrain_flow import retrain_once

    return retrain_once(run, own_server=own_server)


if __name__ == "__main__":
    sys.exit(run_flow(main))
