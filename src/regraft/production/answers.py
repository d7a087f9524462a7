"""Models that answer for a decision, each in a process of its own, so that the one that decides never loads torch."""

from __future__ import annotations

import sys
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault, Interrupted
from regraft.core.progress import STOP
from regraft.execution import dvc, supervise
from regraft.execution.launch import write_invocation
from regraft.execution.repro import Run
from regraft.gates.verdict import Champion, Facts
from regraft.registry.registration import model_folder
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker


def of_champion(run: Run, tracker: Tracker, scores: Path, incumbent: Champion) -> tuple[Path | None, Facts | None]:
    """The champion's predictions on these test rows, scored only if nobody ever did; or why there are none."""
    store = store_of(run.workspace).predictions
    store.keep(scores)
    rows = files.read_json(scores / "digests.json")["rows"]
    if stored := store.get(incumbent.digest, rows):
        return stored, None
    try:
        folder = model_folder(tracker, run.pipeline, str(incumbent.version))
        predictions = _score(run, folder, scores / "rows.parquet")
        return store.put(incumbent.digest, rows, predictions), None
    except EnvironmentFault as fault:
        return None, {"code": "failed", "message": str(fault).replace(f"{run.workspace.root}/", "")}


def _score(run: Run, folder: Path, rows: Path) -> Path:
    """The predictions of the model in ``folder``."""
    out = run.workspace.scratch / "evidence" / f"{run.name}.champion.parquet"
    spawned(run, "champion", "regraft.evaluation", folder, rows, out)
    return out


def spawned(run: Run, what: str, module: str, folder: Path, source: Path, out: Path) -> None:
    """``python -m MODULE FOLDER SOURCE OUT``: a model runs in a process of its own, so that this one never loads torch.

    EnvironmentFault with the last line of its output where it fails.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    invocation = f"{run.name}-{what}"
    write_invocation(run.workspace, run.pipeline, run.name, invocation, allow_inexact=run.allow_inexact)
    env = {**dvc.environment(), "REGRAFT_WORKSPACE": str(run.workspace.root), "REGRAFT_INVOCATION": invocation}
    lines: list[str] = []
    argv = supervise.module(module, str(folder), str(source), str(out))
    code = supervise.spawn(argv, cwd=run.workspace.root, env=env, log=sys.stderr.fileno()).finish(lines.append)
    sys.stderr.writelines(f"{line}\n" for line in lines)
    if STOP.is_set():
        raise Interrupted(f"stopped while {module} ran the model in {run.workspace.relative(folder)}", fix=f"regraft run {run.pipeline}")
    if code:
        raise EnvironmentFault(lines[-1] if lines else f"{module} ended with exit {code}")
