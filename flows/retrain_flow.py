"""Retraining: the steps in the order of the composition, then decide, publish, register and promote.

::

    contract -> corpus -> tokens -> pretrain -> finetune, score of every candidate -> decide -> publish -> register -> promote -> page
                     \\-> tfidf -> held_out -----------/     \\-> what only some gates ask for -> decide

One flow run is one MLflow run, under one name. Steps run one after the other, because two of them would share the
same cores; what waits for what is declared all the same, and shows in Prefect.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import UUID

from prefect import State, Task, flow, tags, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed
from prefect.utilities.urls import url_for

from flows import notifications
from flows.bridge import step_task
from flows.elsewhere import place, run_step_elsewhere
from regraft.steps import Output, files
from regraft.steps.flow import (
    FLOW_PAGE,
    FLOW_RUN,
    STOP,
    Conflict,
    Curves,
    EarlyStep,
    EnvironmentFault,
    Event,
    Interrupted,
    Outcome,
    Run,
    Tracker,
    Unreachable,
    counted_by,
    for_the_chosen,
    listed,
    load_pipeline,
    read_resolved,
    redacted,
    release,
    run_step_with_dvc,
    spent,
    steps_in,
    supervise,
    uncollected,
    verified,
)

P = ParamSpec("P")
R = TypeVar("R")
RETRY_SECONDS: list[float] = [1, 5, 20]
RESTART_SECONDS: list[float] = [*RETRY_SECONDS, *[30] * 5]
"""In the middle of a run a server that does not answer is waited for: 3 minutes, in which one is started anew."""
PATIENCE = timedelta(seconds=sum(RESTART_SECONDS))
"""From the first try to the last one. One that is frozen takes the request and is silent: each try then takes four minutes itself."""


@dataclass
class Retraining:
    """One run under way; its result when it is over."""

    run: Run
    curves: Curves
    early_step: EarlyStep
    server_stays: bool
    """Whether the Prefect server is there after the run."""
    result: Event | None = None


_current: ContextVar[Retraining] = ContextVar("retraining")


def _name() -> str:
    return _current.get().run.name


def _only_a_store(_: object, attempt: TaskRun, state: State[Any]) -> bool:
    """Retry what a store or the network refused; a conflict or a bad model would be refused again."""
    fault = state.result(raise_on_failure=False)
    if STOP.is_set() or not isinstance(fault, EnvironmentFault):
        return False
    if isinstance(fault, Unreachable) and attempt.run_count == 1:
        _current.get().run.emit({"event": "warning", "message": f"{fault}; it is tried again for a while"})
    if isinstance(fault, Unreachable):
        return attempt.start_time is None or datetime.now(UTC) - attempt.start_time < PATIENCE
    return attempt.run_count <= len(RETRY_SECONDS)


def retried(function: Callable[P, R], name: str, delays: list[float] = RESTART_SECONDS) -> Task[P, R]:
    """A task that talks to a store: repeated when the store fails, never cached."""
    return task(
        name=name,
        task_run_name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(delays),
        retry_delay_seconds=delays,
        retry_condition_fn=_only_a_store,
    )(function)


def once(function: Callable[P, R], name: str) -> Task[P, R]:
    """A task that would fail the same way again."""
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(function)


def retrain_once(run: Run, curves: Curves, early_step: EarlyStep, *, own_server: bool) -> Event:
    """Run the flow for ``run``, whose first step is under way, and return its result; raises what a step or a store raised."""
    current = Retraining(run, curves, early_step, server_stays=not own_server)
    if own_server:  # it needs 3 s to answer: time enough to import MLflow
        threading.Thread(target=_warm, args=(curves.tracker,), name="mlflow", daemon=True).start()
    # Heartbeats tell a worker's death, and cost 1 s at the end of a flow; our own server dies with us.
    settings = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}) if own_server else contextlib.nullcontext()
    token = _current.set(current)
    try:
        with settings, tags("regraft", f"pipeline:{run.pipeline}"):
            _begin(run.pipeline)
    finally:
        _current.reset(token)
    assert current.result is not None
    return current.result


def _begin(pipeline: str) -> None:
    """A flow run of its own; on an agent, the one that the server has scheduled."""
    if not (scheduled := os.environ.get(FLOW_RUN)):
        retrain(pipeline)
        return
    from prefect.flow_engine import load_flow_run, run_flow

    run_flow(retrain, flow_run=load_flow_run(UUID(scheduled)), parameters={"pipeline": pipeline})


def _warm(tracker: Tracker) -> None:
    with uncollected("mlflow"), contextlib.suppress(EnvironmentFault):  # the task that needs it says so, after its retries
        tracker.prepare()


@flow(name="retrain", flow_run_name=_name, persist_result=False, validate_parameters=False)
def retrain(pipeline: str) -> State[None]:
    """Bring one pipeline up to date, and promote what earned it."""
    supervise.stop_at_signals()  # Prefect has put its own SIGTERM handler in place
    current = _current.get()
    tracker = current.curves.tracker
    with _tracked(current) as opened:
        outcomes = bring_up_to_date(current, opened)
        current.run = replace(current.run, mlflow_run_id=opened())
        current.result = decide_and_release(current.run, tracker, outcomes, _page(current))
        if current.result["report"]:
            link(current, notifications.PAGE, tracker.page_of(current.run.mlflow_run_id, "/artifacts/report.html"))
    outcome = current.result["outcome"]
    # 6: people are asked, or have rolled back from this model
    names = {0: "Completed", 6: "AwaitingApproval" if current.result.get("approval") else "NotPromoted"}
    return Completed(name=names.get(current.result["exit"], f"Gate{outcome.capitalize()}"), message=current.result["sentence"])


def _page(current: Retraining) -> str | None:
    """The flow run's own page, without a password that stands in the server's address; None where the server ends with the run."""
    address = url_for("flow-run", flow_run.id) if current.server_stays else None
    return redacted(address) if address else None


def _marks(current: Retraining) -> dict[str, str]:
    """Tags of the MLflow run: where Prefect shows it, and that its data is no basis for comparing numbers."""
    return {**({FLOW_PAGE: page} if (page := _page(current)) else {}), **_of_data(current.run)}


def _of_data(run: Run) -> dict[str, str]:
    """Demo data that this release does not know is no basis for comparing numbers."""
    labelled = listed(read_resolved(run.workspace, run.pipeline)["data"]["labelled"])
    if not any(verified((run.workspace.root / path).parent) is False for path in labelled):
        return {}
    run.emit({"event": "warning", "message": "demo: unverified; the demo data is not what this release was measured on"})
    return {"demo": "unverified"}


@contextlib.contextmanager
def _tracked(current: Retraining) -> Iterator[Callable[[], str]]:
    """Open the run's MLflow run beside the first step, and end it as this ends; what it yields waits for its id.

    MLflow takes 2-4 s to import and to open, which nothing needs before the first record.
    """
    run, tracker, marks = current.run, current.curves.tracker, _marks(current)

    def open_run() -> str:
        run_id = tracker.start_run(run.pipeline, run.name, marks)
        files.write_json(run.workspace.mlflow_run_file(run.name), run_id)
        tracker.reap(run.pipeline, keep=run_id)
        link(current, notifications.MLFLOW, tracker.page_of(run_id))
        return run_id

    def give_up(*_: object) -> None:
        files.write_json(run.workspace.mlflow_run_file(run.name), "")  # the first step must not wait for it

    opening = retried(open_run, "track", RETRY_SECONDS).with_options(on_failure=[give_up]).submit()
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        yield opening.result
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        # A run whose end cannot be recorded has ended all the same; the next one ends what it finds RUNNING.
        with contextlib.suppress(EnvironmentFault):
            tracker.finish(opening.result(), status)


def link(current: Retraining, name: str, address: str) -> None:
    """Leave a link at the flow run of a server that stays; where that fails, it is a warning."""
    if current.server_stays and (problem := notifications.label(UUID(flow_run.id), name, address)):
        current.run.emit({"event": "warning", "message": problem})


def bring_up_to_date(current: Retraining, opened: Callable[[], str]) -> dict[str, Outcome]:
    """Every step through DVC, in the order of the composition; what became of each."""
    curves = current.curves
    run, tracker = replace(current.run, emit=curves.hear), curves.tracker
    outcomes: dict[str, Outcome] = {}
    states: dict[str, State[Any]] = {}

    def record(outcome: Outcome) -> None:
        curves.flush()
        tracker.log_record(run.mlflow_run_id, {**outcome.record, "step": outcome.step})  # 0.2 may have called it otherwise
        tracker.log_metrics(run.mlflow_run_id, outcome.step, {**outcome.record["metrics"], **spent(outcome.record)})

    resolved = read_resolved(run.workspace, run.pipeline)
    steps = steps_in(run.workspace, resolved)
    later = for_the_chosen(steps) if "by_cost" in resolved else {}  # the others' gates would ask about nobody
    due, gpu_pool = run.workspace.invocation().get("due"), load_pipeline(run.workspace, run.pipeline).agents.elsewhere
    chosen: str | None = None
    withheld: dict[str, str] | None = None
    for number, step in enumerate(sorted(steps, key=lambda step: step.name in later), start=1):
        if withheld is None and outcomes.keys() >= set(counted_by(resolved)):
            withheld = release.withheld_steps(run, resolved, steps)
        if withheld and step.name in withheld:
            run.emit({"event": "step_finished", "step": step.name, "state": "withheld", "seconds": 0.0})
            continue
        if step.name in later:
            if chosen is None:
                chosen = release.choose_candidate(run, resolved)
                run.emit({"event": "chosen", "candidate": chosen})
            if later[step.name] != chosen:
                run.emit({"event": "step_finished", "step": step.name, "state": "not_chosen", "seconds": 0.0})
                continue
        before = {source.step for source in step.sources.values() if isinstance(source, Output)}
        waits = [states[name] for name in states if name in before]
        if number == 1:
            reproduce = current.early_step.outcome
        elif (due is None or step.name in due) and (pool := place(step.gpu, FLOW_RUN in os.environ, gpu_pool)):
            reproduce = partial(run_step_elsewhere, run, step.name, number, pool)
        else:
            reproduce = partial(run_step_with_dvc, run, step.name, number)
        states[step.name] = step_task(step.name, reproduce)(wait_for=waits, return_state=True)
        outcomes[step.name] = states[step.name].result()
        curves.mlflow_run_id = opened()
        run = replace(run, mlflow_run_id=curves.mlflow_run_id)
        retried(record, f"record {step.name}")(outcomes[step.name])
    return outcomes


def decide_and_release(run: Run, tracker: Tracker, outcomes: dict[str, Outcome], page: str | None) -> Event:
    """Decide, and do what follows from the outcome.

    :param page: the flow run's own; None: there is none that stays.
    """
    resolved = read_resolved(run.workspace, run.pipeline)
    measured = None
    if release.to_be_measured(resolved):
        measured = once(release.measure_candidate, "measure serving")(run, resolved)
    decision = once(release.take_decision, "decide")(run, tracker, resolved, measured)
    summary = retried(release.publish, "publish")(run, tracker, decision, page)
    create_markdown_artifact(summary, key=f"verdict-{run.pipeline.replace('_', '-')}", description=decision.sentence)
    try:
        exit_code, sentence, asked = release_candidate(run, tracker, resolved, decision, outcomes)
    except Conflict:
        release.publish_page(run, tracker)  # whoever lost the race may look why
        raise
    report = retried(release.publish_page, "page")(run, tracker)
    result = release.write_result(
        run, tracker, resolved, decision, outcomes, exit_code=exit_code, sentence=sentence, report=report, asked=asked
    )
    if resolved.get("notify"):
        once(release.notify_hooks, "notify")(run, resolved, decision, result)
    return result


def release_candidate(
    run: Run, tracker: Tracker, resolved: Mapping[str, Any], decision: release.Decision, outcomes: dict[str, Outcome]
) -> tuple[int, str, bool]:
    """Register and promote what passed, or ask people; the run's exit code, its sentence, and whether people were asked."""
    verdict = decision.verdict
    exit_code, sentence = release.EXITS[verdict.outcome], decision.sentence
    if exit_code == 0 and not verdict.already_champion:
        if "approval" not in resolved and (reason := release.withheld(run, decision)):
            return 6, reason, False
        version = retried(release.register_candidate, "register")(run, tracker, decision, outcomes)
        retried(release.write_card, "card")(run, tracker, resolved, version)
        if asked := "approval" in resolved:
            exit_code, sentence = 6, retried(release.ask_for_approval, "ask")(run, resolved, decision, version)
        else:
            sentence = f"{sentence} {retried(release.promote_version, 'promote')(run, tracker, decision, version)}."
        whereabouts = retried(release.tell_whereabouts, "whereabouts")(run, tracker, version)
        create_markdown_artifact(whereabouts, key=f"model-{run.pipeline.replace('_', '-')}")
        return exit_code, sentence, asked
    if exit_code == 0 and verdict.champion and release.stands_on_waiver(run):
        sentence = f"{sentence} {retried(release.promote_version, 'promote')(run, tracker, decision, verdict.champion.version)}."
    return exit_code, sentence, False
