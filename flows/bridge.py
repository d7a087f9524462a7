"""A step as a Prefect task.

DVC decides whether a step has to run, so Prefect caches nothing (``NO_CACHE``), and a step is not retried: it is a
function of its inputs and would fail again. What crosses a network (MLflow, the registry) is retried by its own task.
"""

from __future__ import annotations

from collections.abc import Callable

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from regraft.steps.flow import Outcome


def step_task(step: str, reproduce: Callable[[], Outcome]) -> Task[[], State[Outcome]]:
    """The task that brings ``step`` up to date with ``reproduce``; what DVC had already ends in the state ``Cached``."""

    def run() -> State[Outcome]:
        outcome = reproduce()
        if not outcome.cached:
            return Completed(data=outcome, message=f"computed in {outcome.seconds:.1f} s")
        origin, mlflow_run = outcome.record.get("run") or "an earlier run", outcome.record.get("mlflow_run_id") or "unknown"
        return Completed(data=outcome, name="Cached", message=f"computed by {origin} (MLflow run {mlflow_run})")

    return task(name=step, task_run_name=step, cache_policy=NO_CACHE, persist_result=False)(run)
