"""The effect of adaptation is predicted before it is known: ``evidence/adaptation.json``, written as a run opens.

The file holds the prediction and the earlier effects it rests on, each with what was predicted then; so a run's own
evidence tells the whole story, and the next run reads nothing but the last decided run's. ``decision.json`` binds it by
its sha256: what was predicted was there before the verdict. The first run of a pipeline has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.gates.case import Policy
from regraft.gates.options import GateOptions
from regraft.gates.transfer import Effect, Predicted, predict

if TYPE_CHECKING:
    from regraft.registry.tracking import Tracker

SCHEMA = 2
NAME = "adaptation.json"
MOST = 50
"""Earlier effects that are kept, the newest ones."""


def predict_effect(tracker: Tracker, pipeline: str, run: str, run_id: str, gates: Sequence[Mapping[str, Any]]) -> None:
    """Predict what adaptation will change in ``run``, and put it into its evidence here and in MLflow.

    Nothing is written where no earlier run measured an effect. :raises EnvironmentFault: the last run's evidence cannot be read.
    """
    try:
        last = tracker.find_run(pipeline, decided=True)
    except ConfigError:  # this is the first one
        return
    metric = Policy(tuple(GateOptions.model_validate(gate) for gate in gates), seed=0).adaptation[0]
    earlier = history(tracker.download(last, "evidence"), last.name)[-MOST:]
    if not earlier:
        return
    predicted = predict(earlier, metric)
    path = tracker.workspace.scratch / "evidence" / run / NAME
    document = {"schema": SCHEMA, "metric": metric, "predicted": asdict(predicted) if predicted else None}
    files.write_json(path, {**document, "earlier": [asdict(effect) for effect in earlier]})
    tracker.log_evidence_file(run_id, path)


def history(evidence: Path, run: str) -> list[Effect]:
    """The effects up to and with the decided ``run`` whose evidence this is, oldest first; each measured once."""
    try:
        said = files.read_json(evidence / NAME) if (evidence / NAME).is_file() else {"predicted": None, "earlier": []}
        effects = [_effect(each) for each in said["earlier"]]
        decision, verdict = (files.read_json(evidence / f"{name}.json") for name in ("decision", "verdict"))
        found = next((f for f in verdict["findings"] if f["gate"] == "adaptation" and f["value"] is not None), None)
        if found is None:
            return effects
        measured = {key: found[key] for key in ("metric", "value", "low", "high", "n")}
        same = files.sha256_text(files.canonical([decision["rows"]["digest"], found["value"], found["low"], found["high"]]))
        own = _effect({**measured, "run": run, "answers": same, "predicted": said["predicted"]})
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise EnvironmentFault(f"{evidence} cannot be read: {type(fault).__name__}: {fault}", fix=f"regraft explain {run}") from fault
    known = {(effect.answers, effect.metric) for effect in effects}
    return effects if (own.answers, own.metric) in known else [*effects, own]


def _effect(said: Mapping[str, Any]) -> Effect:
    values = {("answers" if key == "models" else key): value for key, value in said.items()}  # schema 1 told models apart
    return Effect(**{**values, "predicted": Predicted(**said["predicted"]) if said["predicted"] else None})
