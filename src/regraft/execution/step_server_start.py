"""The run's step server as the flow starts it: whether, for which steps, and what it is to import for them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regraft.config.resolved_file import read_resolved
from regraft.core.cores import device
from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace
from regraft.execution import composition, supervise
from regraft.execution import step_wire as wire
from regraft.execution.repro import step_environment
from regraft.models import base_model

STEP = (
    "regraft.cli.run",
    "regraft.execution.run_cost",
    "regraft.core.limits",
    "regraft.config.resolved_file",
    "regraft.core.progress",
    "regraft.execution.step",
    "regraft.steps.options",
)
"""What every step needs."""
DATA = (
    *("numpy", "pyarrow.parquet", "pyarrow.dataset", "pandas"),
    *("regraft.data.validation", "regraft.data.contract_page", "regraft.data.tables", "regraft.steps.data"),
)
"""What the steps before the first model need. Great Expectations only one of them does: it imports it for itself."""
MODELS = (
    *("tokenizers", "torch", "transformers", "transformers.models.auto.tokenization_auto", "torch._dynamo", "tabulate"),
    *("safetensors.torch", "regraft.steps.training", "regraft.training.objectives.mlm", "regraft.training.finetuning"),
    *("scipy.optimize", "scipy.stats", "sklearn.linear_model", "sklearn.feature_extraction.text", "regraft.models.tfidf"),
    *("sklearn.metrics", "regraft.steps.evaluation", "regraft.evaluation.scoring", "regraft.evaluation.slice_discovery"),
)
"""What the others need, in the order in which they need it. ``tabulate``: ``torch._dynamo`` imports it when a process ends."""


@dataclass(frozen=True)
class Started:
    """A server that is at work."""

    socket: str
    child: supervise.Child

    def remove_socket(self) -> None:
        """Leave no socket in the workspace: tools that copy folders stumble over one."""
        Path(self.socket).unlink(missing_ok=True)


def start(workspace: Workspace, pipeline: str, due: Sequence[str] | None) -> Started | None:
    """Start the server of a run in which the steps ``due`` may run (None: all of them).

    None where every step imports for itself. Call it in the main thread, whose end is the server's.
    """
    if sys.platform != "linux" or os.environ.get(wire.SWITCH) == "0" or due == []:
        return None
    path = workspace.scratch / "locks" / f"{pipeline}.steps"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a killed run's; this one holds the pipeline
        with socket.socket(socket.AF_UNIX) as listener:
            with wire.address(path) as address:
                listener.bind(address)
            path.chmod(0o600)
            listener.listen()  # from here on a step waits in the queue
            argv = [sys.executable, "-m", "regraft.cli.step_server", str(listener.fileno()), str(os.getpid())]
            argv += _models(workspace, pipeline, due)
            env = step_environment(workspace) | {"REGRAFT_INVOCATION": os.environ["REGRAFT_INVOCATION"]}
            child = supervise.spawn(argv, cwd=workspace.root, env=env, log=sys.stderr.fileno(), stdout=None, pass_fds=[listener.fileno()])
    except OSError as error:  # a file system without sockets
        sys.stderr.write(f"regraft: no step server, every step imports for itself: {error}\n")
        return None
    return Started(str(path), child)


def _models(workspace: Workspace, pipeline: str, due: Sequence[str] | None) -> list[str]:
    """The modules to import for the steps that run a model; none where no such step is due, or where it runs on a GPU."""
    resolved = read_resolved(workspace, pipeline)
    steps = [step for step in composition.steps_in(workspace, resolved) if step.gpu and (due is None or step.name in due)]
    if not steps or device() == "cuda":
        return []
    specs = {section["base_model"] for section in resolved.values() if isinstance(section, dict) and "base_model" in section}
    try:
        kinds = {base_model.kind(base_model.locate(spec, workspace.root)) for spec in specs}
    except RegraftError:  # the step that needs it says so
        return list(MODELS)
    return [*MODELS, *(f"transformers.models.{kind}.modeling_{kind}" for kind in sorted(kinds))]
