"""A step of a run that another machine computes: what is handed over, and what comes back.

The two machines share a store and a DVC remote, and nothing else. Whoever runs the pipeline pushes what the step reads and leaves a
request under ``handover/<pipeline>/<step>/<fingerprint>/``; whoever computes the step pulls that, pushes what came of it and leaves
an answer beside the request. Both name bytes by the entries that DVC keeps in dvc.lock, so what is pulled is what was pushed, and the
fingerprint is that of the step's record: the same question has one answer, whichever run asks it, on whichever machine.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import dropwhile
from typing import Any

from regraft.config.resolved_file import read_resolved
from regraft.core import files
from regraft.core.errors import EnvironmentFault, Interrupted, RegraftError
from regraft.core.progress import STOP
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc, dvc_formats, integrity, overridden, supervise
from regraft.execution.repro import PAUSES, Outcome, Run
from regraft.execution.step import Output, Step, fingerprint, locate_inputs
from regraft.registry.store import store_of

SCHEMA = 1
"""Of a request."""
CANNOT_PULL = "its output is not on the DVC remote any more"
SUPPORT = "Having any troubles?"
"""Of DVC, after what it did not expect."""
OTHERWISE = "and by other code or from other inputs"


@dataclass(frozen=True)
class Request:
    """What a machine has to know to compute a step of somebody else's run."""

    pipeline: str
    step: str
    fingerprint: str
    run: str
    """The RUN id, which its record will hold."""
    number: int
    """The place of the step in the run."""
    mlflow_run_id: str
    sets: tuple[str, ...]
    resolved: str
    """sha256 of the resolved file: a clone that resolves otherwise refuses."""
    inputs: Mapping[str, Any]
    """Address -> entry of dvc.lock, of the steps that it reads."""
    allow_inexact: bool = False
    schema: int = SCHEMA

    @property
    def folder(self) -> str:
        """Where request, answer and error lie in the store."""
        return f"handover/{self.pipeline}/{self.step}/{self.fingerprint}"

    @property
    def address(self) -> str:
        return f"{self.step}@{self.pipeline}"


# -- who runs the pipeline


def request_for(run: Run, step: str, number: int) -> Request:
    """What another machine has to know to compute ``step``, the ``number``-th of ``run``, whose inputs are there."""
    workspace, resolved = run.workspace, read_resolved(run.workspace, run.pipeline)
    definition = composition.step_in(workspace, resolved, step)
    stages = dvc_formats.stages(workspace)
    addresses = [f"{source.step}@{run.pipeline}" for source in definition.sources.values() if isinstance(source, Output)]
    return Request(
        run.pipeline,
        step,
        _fingerprint(workspace, run.pipeline, definition, resolved),
        run.name,
        number,
        run.mlflow_run_id,
        overridden.overrides(workspace, run.pipeline),
        files.sha256_file(workspace.resolved_file(run.pipeline)),
        {address: stages[address] for address in addresses},
        run.allow_inexact,
    )


def ask(workspace: Workspace, request: Request) -> None:
    """Push what the step reads, and leave the request for it; an error that an earlier machine left is taken away."""
    transfer(workspace, "push", request.inputs)
    values = store_of(workspace).values
    values.delete(f"{request.folder}/error.json")
    values.put(f"{request.folder}/request.json", files.json_bytes(asdict(request)))


def _fingerprint(workspace: Workspace, pipeline: str, step: Step[Any], resolved: Mapping[str, Any]) -> str:
    located = locate_inputs(step, workspace, pipeline, resolved["data"])
    hashes = {name: item.hash() for name, item in located.items() if item.there}
    return fingerprint(step.config.model_validate(resolved[step.name]), step.version, hashes)


def answered(run: Run, request: Request) -> Outcome | None:
    """What came of the step, brought into this workspace; None: nobody has computed it yet, or what came of it is not to be had."""
    values = store_of(run.workspace).values
    if (text := values.get(f"{request.folder}/answer.json")) is None:
        return None
    answer = json.loads(text)
    dvc_formats.put_stages(run.workspace, {request.address: answer["entry"]})
    try:
        transfer(run.workspace, "pull", [request.address])
    except EnvironmentFault as fault:
        if not dvc_formats.says_missing(str(fault)):
            raise
        run.emit({"event": "warning", "message": f"step '{request.step}' was computed before, and {CANNOT_PULL}: {fault}"})
        values.delete(f"{request.folder}/answer.json")
        return None
    record = integrity.recorded(run.workspace, request.pipeline, request.step)
    if record["fingerprint"] != request.fingerprint:
        run.emit({"event": "warning", "message": f"step '{request.step}' was computed before, {OTHERWISE}"})
        values.delete(f"{request.folder}/answer.json")
        return None
    cached = record["run"] != run.name
    return Outcome(request.step, cached, 0.0 if cached else float(record["seconds"]), record)


def refused(workspace: Workspace, request: Request) -> RegraftError | None:
    """What the step raised on the machine that was to compute it; None: nothing."""
    error = store_of(workspace).values.get(f"{request.folder}/error.json")
    return supervise.error_from(json.loads(error)) if error else None


# -- who computes the step


def requested(workspace: Workspace, pipeline: str, step: str, identity: str) -> Request:
    """The request for a step; EnvironmentFault where none was left in this workspace's store."""
    values = store_of(workspace).values
    folder = f"handover/{pipeline}/{step}/{identity}"
    if (text := values.get(f"{folder}/request.json")) is None:
        message = f"{values.where(folder)} holds no request for step '{step}' of '{pipeline}'"
        raise EnvironmentFault(message, fix="name the store of the agent that asks in regraft.yaml, or REGRAFT_STORE")
    document = json.loads(text)
    if document.get("schema") != SCHEMA:
        message = f"the request for step '{step}' of '{pipeline}' is of schema {document.get('schema')}, and this regraft reads {SCHEMA}"
        raise EnvironmentFault(message, fix="install the same regraft on this machine as on the one that runs the pipeline")
    return Request(**{**document, "sets": tuple(document["sets"])})


def take_inputs(workspace: Workspace, request: Request) -> None:
    """Have what the step reads in this workspace, as it was pushed."""
    dvc_formats.put_stages(workspace, request.inputs)
    transfer(workspace, "pull", request.inputs)


def require_same(workspace: Workspace, request: Request) -> None:
    """EnvironmentFault where this workspace's code, or what the step reads here, would answer another question."""
    resolved = read_resolved(workspace, request.pipeline)
    definition = composition.step_in(workspace, resolved, request.step)
    if (here := _fingerprint(workspace, request.pipeline, definition, resolved)) != request.fingerprint:
        message = f"step '{request.step}' of '{request.pipeline}' is {here[:12]} here (version {definition.version} of its code)"
        message += f" and {request.fingerprint[:12]} where {request.run} runs"
        raise EnvironmentFault(message, fix="bring this clone to the commit that was deployed, and its data with `dvc pull data.dvc`")


def answer(workspace: Workspace, request: Request) -> None:
    """Push what came of the step, and leave the answer."""
    transfer(workspace, "push", [request.address])
    entry = dvc_formats.stages(workspace)[request.address]
    store_of(workspace).values.put(f"{request.folder}/answer.json", files.json_bytes({"schema": 1, "entry": entry}))


def refuse(workspace: Workspace, request: Request, error: RegraftError) -> None:
    """Leave ``error`` for whoever asked; one that comes of being stopped is none: somebody else may go on."""
    if not isinstance(error, Interrupted):
        store_of(workspace).values.put(f"{request.folder}/error.json", files.json_bytes(supervise.said_of(error)))


# -- between the machines


def transfer(workspace: Workspace, verb: str, addresses: Sequence[str] | Mapping[str, Any]) -> None:
    """``dvc push`` or ``dvc pull`` of the outputs of these stages, for as long as it takes; a remote that gives no answer is given up.

    :raises EnvironmentFault: DVC or the remote refused, in DVC's own words.
    """
    if not addresses:
        return
    flags = ["--force"] if verb == "pull" else []  # what lies there is of another run, and in the cache
    argv = supervise.module("regraft.execution.patient_dvc", verb, *flags, *addresses)  # --quiet would keep its errors, too
    for pause in (*PAUSES, None):
        complaints: list[str] = []
        child = supervise.spawn(argv, cwd=workspace.root, env=dvc.environment(), log=subprocess.STDOUT)
        code = child.finish(complaints.append)
        if STOP.is_set():
            raise Interrupted(f"stopped during `dvc {verb}`")
        if code == 0:
            return
        if pause is None or not any(map(dvc_formats.says_busy, complaints)):
            break
        STOP.wait(pause)
    errors = list(dropwhile(lambda line: not line.startswith("ERROR: "), complaints)) or complaints  # before it is what went well
    reason = "; ".join(line.removeprefix("ERROR: ") for line in errors if line.strip() and SUPPORT not in line) or f"exit {code}"
    raise EnvironmentFault(f"`dvc {verb} {' '.join(addresses)}` failed: {reason}", fix="regraft doctor")


def numbered(run: Run, request: Request) -> Run:
    """``run`` as that of the machine which asked, so that records hold its names."""
    return replace(run, mlflow_run_id=request.mlflow_run_id, allow_inexact=request.allow_inexact)


def forget(workspace: Workspace, request: Request) -> None:
    """Take a request away once its run has ended; the answer stays for other runs."""
    with suppress(EnvironmentFault):
        store_of(workspace).values.delete(f"{request.folder}/request.json")
