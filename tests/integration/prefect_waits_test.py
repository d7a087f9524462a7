"""What a Prefect server that stays is asked for and left with: automations, messages, pools, the next runs, runs taken and not begun."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import services
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import Event
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Running, Scheduled

from flows import arrivals, deploy, elsewhere, lost_runs, notifications, pools, retrain_flow, signs, windows
from regraft.config.pools import PoolOptions
from regraft.core.errors import ConfigError, Conflict, EnvironmentFault, Unreachable
from regraft.core.workspace import Workspace
from regraft.execution import job_templates, server_schedule
from regraft.execution.repro import Run
from regraft.registry.curves import Curves
from regraft.registry.tracking import Tracker


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_UI_URL", "http://prefect.example")  # where its pages are; the tests' servers have none
        with services.prefect(tmp_path_factory.mktemp("prefect") / "home") as api:
            yield api


@pytest.fixture
def client(api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setenv("PREFECT_API_URL", api)
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        yield client


def deployed(client: SyncPrefectClient, name: str) -> UUID:
    return client.create_deployment(client.create_flow_from_name("step"), name, tags=["regraft"], parameters={"pipeline": name})


def taken(client: SyncPrefectClient, name: str) -> FlowRun:
    """A run that an agent has taken, and not begun."""
    flow_run = client.create_flow_run_from_deployment(deployed(client, name), state=Scheduled(), tags=["regraft"])
    client.set_flow_run_state(flow_run.id, Pending(), force=True)
    return client.read_flow_run(flow_run.id)


def listening() -> tuple[Run, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    return Run(Workspace(Path()), "tiny", "tiny-1", told.append), told


def test_an_automation_is_written_once_and_one_that_a_person_paused_stays_paused(client: SyncPrefectClient) -> None:
    one, two = deployed(client, "tiny-inbox"), deployed(client, "other-inbox")
    name = arrivals.automation("tiny-inbox", one).name

    def there() -> Any:
        (automation,) = client.read_automations_by_name(name)
        return automation

    arrivals.listen(client, "tiny-inbox", one)
    client.pause_automation(there().id)
    for deployment in (one, two):
        arrivals.listen(client, "tiny-inbox", deployment)
        assert not there().enabled
        assert there().actions[0].deployment_id == deployment
    for _ in range(2):
        lost_runs.watch(client, "regraft")
    assert len(client.read_automations_by_name(lost_runs.NAME)) == 1
    arrivals.forget(client, "tiny-inbox")
    assert client.read_automations_by_name(name) == []


def deploy_tiny(notify: dict[str, Any] | None, dry_run: bool = False) -> dict[str, Any]:
    document = {"description": "d", "version": "1", "schedule": None, "pool": "regraft", "expected": "a" * 64, "source": None}
    wanted = {"tiny": {**document, "parameters": {"pipeline": "tiny"}, "notify": notify}}
    (change,) = deploy.main({"workspace": "told", "wanted": wanted, "pools": {}, "every": False, "dry_run": dry_run})["changes"]
    return dict(change)


def test_a_server_tells_through_a_block_how_runs_end_and_of_nothing_else(client: SyncPrefectClient) -> None:
    with services.receiver() as (address, came):
        CustomWebhookNotificationBlock(name="ops", url=address, json_data={"title": "{{subject}}", "text": "{{body}}"}).save("ops")
        told = {"block": "custom-webhook/ops", "about": ["crashed", "failed", "inconclusive", "waiting"]}
        assert deploy_tiny({**told, "about": ["crashed"]})["verb"] == "create"
        assert deploy_tiny(told, dry_run=True)["differences"] == ["notify"]
        assert deploy_tiny(told)["differences"] == ["notify"], "a dry run changes nothing"
        assert deploy_tiny(told)["verb"] == "keep"

        ends = {
            "Completed": None,
            "AwaitingApproval": "tiny: it passed and waits for a yes",
            "Crashed": "tiny: its agent is gone",
            "Failed": "tiny: it could not be done",
            "GateFail": "tiny: a gate failed; production stays as it is",
            "GateInconclusive": "tiny: the rows cannot tell; production stays as it is",
        }
        (deployment,) = (each for each in client.read_deployments() if each.name == "tiny" and "workspace:told" in each.tags)
        for name in ends:
            flow_run = client.create_flow_run_from_deployment(deployment.id, name=f"run {name}")
            assert notifications.label(flow_run.id, notifications.PAGE, f"http://mlflow/{name}/report.html") is None
            assert notifications.label(flow_run.id, notifications.MLFLOW, f"http://mlflow/{name}") is None
            kind = StateType[name.upper()] if name in ("Crashed", "Failed") else StateType.COMPLETED
            client.set_flow_run_state(flow_run.id, State(type=kind, name=name, message=f"what came of {name}"), force=True)
        services.until(lambda: len(came) >= len(ends) - 1)
        texts = {message["title"]: message["text"] for message in came}
        assert sorted(message["title"] for message in came) == sorted(filter(None, ends.values()))
        assert texts[ends["Crashed"]].startswith(
            "what came of Crashed\n\nrun: run Crashed\npage: http://mlflow/Crashed/report.html\nMLflow: http://mlflow/Crashed\nPrefect: http://prefect.example/"
        )

        assert deploy_tiny(None)["differences"] == ["notify"]
        assert notifications.document_of(client, "tiny") is None


def test_a_run_without_signs_of_life_is_lost_and_one_that_ended_is_not_though_nobody_told_the_automation(client: SyncPrefectClient) -> None:
    automation = lost_runs.automation("signs")
    soon = automation.trigger.model_copy(update={"within": timedelta(seconds=10)})  # the least that Prefect takes
    client.create_automation(automation.model_copy(update={"name": "soon", "trigger": soon}))
    runs = [taken(client, name) for name in ("ended", "lost")]
    ended, lost = (run.id for run in runs)
    client.set_flow_run_state(ended, State(type=StateType.COMPLETED, name="Completed"), force=True)
    client.set_flow_run_state(lost, Running(), force=True)
    for run in runs:  # after the end, as if what told of it had been lost
        related = [{"prefect.resource.id": "prefect.tag.signs", "prefect.resource.role": "tag"}]
        sign = Event(event="prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"}, related=related)
        client.request("POST", "/events", json=[sign.model_dump(mode="json")])

    def states() -> list[str]:
        return [str(client.read_flow_run(run).state_name) for run in (ended, lost)]

    services.until(lambda: states()[1] == "Crashed")
    assert states() == ["Completed", "Crashed"]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("slack-webhook/nobody", "has no block slack-webhook/nobody"),
        ("secret/token", "secret/token of the Prefect server sends no messages"),
    ],
)
def test_a_block_that_is_not_there_or_tells_nobody_is_refused_before_anything_is_written(block, says, client: SyncPrefectClient) -> None:
    Secret(value="x").save("token", overwrite=True)  # type: ignore[call-arg]
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=says):
            deploy_tiny({"block": block, "about": ["failed"]}, dry_run)


def test_a_pool_of_containers_is_kept_as_it_is_written_and_no_agent_takes_its_steps(client: SyncPrefectClient) -> None:
    def wanted(**options: Any) -> dict[str, Any]:
        pool = PoolOptions(type="kubernetes", image="registry.example/agent:1", **options)
        return {"cluster": {"type": pool.type, "template": job_templates.template(pool)}}

    def verb(pool: dict[str, Any], dry_run: bool = False) -> str:
        (made,) = pools.bring_in_step(client, pool, dry_run)
        return made["verb"]

    assert [verb(wanted(), dry_run=True), verb(wanted()), verb(wanted()), verb(wanted(gpus=2)), verb(wanted(gpus=2))] == [
        "create", "create", "keep", "update", "keep",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="'cluster' of the Prefect server is of type kubernetes") as refused:
        pools.require_agents("cluster")
    assert refused.value.fix == "prefect worker start --pool cluster --type kubernetes"
    client.create_work_pool(WorkPoolCreate(name="of-agents", type="process"))
    pools.require_agents("of-agents")
    with pytest.raises(
        Conflict, match="'of-agents' is of type kubernetes, and the Prefect server has a pool of that name and type process"
    ):
        pools.bring_in_step(client, {"of-agents": wanted()["cluster"]}, dry_run=True)


def test_a_run_that_begins_stands_for_all_windows_that_have_passed_and_for_nothing_else(client: SyncPrefectClient) -> None:
    now, seldom = datetime.now(UTC), deployed(client, "seldom-2")

    def scheduled(minutes: int, tag: str = windows.SCHEDULED, deployment: UUID | None = None) -> UUID:
        state = Scheduled(scheduled_time=now + timedelta(minutes=minutes))
        return client.create_flow_run_from_deployment(deployment or often, state=state, tags=[tag]).id

    often = deployed(client, "often-2")
    passed = [scheduled(-3), scheduled(-2), scheduled(-1)]
    others = [scheduled(5), scheduled(-1, tag="by hand"), scheduled(-1, deployment=seldom)]
    client.set_flow_run_state(passed[0], Pending(), force=True)
    assert windows.stand_for_earlier(client, client.read_flow_run(others[1])) == 0, "somebody's own run"
    assert windows.stand_for_earlier(client, client.read_flow_run(passed[0])) == 2

    def name(flow_run: UUID) -> str | None:
        state = client.read_flow_run(flow_run).state
        return state.name if state else None

    assert [name(each) for each in passed] == ["Pending", "Superseded", "Superseded"]
    assert "Superseded" not in [name(each) for each in others]
    assert windows.stand_for_earlier(client, client.read_flow_run(passed[0])) == 0


def test_the_next_runs_of_all_pipelines_are_one_question(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    for name, hours in (("often", (0, 1, 2)), ("seldom", (9,))):
        deployment = deployed(client, name)
        for hour in hours:
            client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=soon + timedelta(hours=hour)))
    monkeypatch.setattr(server_schedule, "SECONDS", 60.0)
    questions: list[list[str]] = []
    ask = server_schedule._scheduled
    monkeypatch.setattr(server_schedule, "_scheduled", lambda names: questions.append(names) or ask(names))
    times = server_schedule.next_runs(["often", "seldom", "never"])
    assert {name: datetime.fromisoformat(time) - soon for name, time in times.items()} == {
        "often": timedelta(),
        "seldom": timedelta(hours=9),
    }
    assert questions == [["never", "often", "seldom"]]
    monkeypatch.setattr(server_schedule, "PAGE", 3)  # the close schedule fills the answer
    assert server_schedule.next_runs(["often", "seldom"]) == times
    assert questions[1:] == [["often", "seldom"], ["seldom"]]


def test_a_step_whose_agent_was_lost_before_it_began_is_given_up(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(elsewhere, "LOOK_SECONDS", 0.2)
    run, told = listening()
    ended = elsewhere._wait(client, run, taken(client, "lost-gpu").id, "gpu")
    assert ended.state is not None
    assert (ended.state.name, ended.state.message) == ("Crashed", "its agent has said nothing for 0 s, and had not begun")
    assert told == []


def test_a_step_that_waits_for_a_gpu_says_whom_it_waits_for_and_is_not_given_up(api: str, client: SyncPrefectClient) -> None:
    flow_run = taken(client, "waits-gpu")
    sentence = "waits for a GPU of this machine: 0 is held by process 7"
    with signs.given(flow_run.id) as tell:
        tell(sentence)
        line = services.until(lambda: (line := elsewhere._last_line(client, flow_run)).endswith(sentence) and line)
        assert elsewhere._waiting(flow_run, line, 0.0, "gpu") == f"'{flow_run.name}' {sentence}"
        question = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}, "related": {"id": ["prefect.tag.regraft"]}}}
        (heartbeat, *_) = services.until(lambda: httpx.post(f"{api}/events/filter", json=question).json()["events"])
        assert heartbeat["resource"]["prefect.resource.id"] == f"prefect.flow-run.{flow_run.id}"
        client.set_flow_run_state(flow_run.id, Running(), force=True)
    with signs.given(flow_run.id):
        pass
    assert len(httpx.post(f"{api}/logs/filter", json={"logs": {"flow_run_id": {"any_": [str(flow_run.id)]}}}).json()) <= 2, "it has begun"


@pytest.mark.parametrize(
    ("state", "silent", "words"),
    [
        (Scheduled(), 1.0, ""),
        (Scheduled(), 61.0, "no agent has taken 'x' for 60 s: regraft agent start --pool 'my gpus'"),
        (Scheduled(name=elsewhere.CONCURRENCY), 61.0, "'x' waits for another run of the same deployment to end"),
        (Running(), 61.0, ""),
    ],
)
def test_who_waits_is_told_for_what(state: Any, silent: float, words: str) -> None:
    assert elsewhere._waiting(FlowRun(name="x", flow_id=uuid4(), state=state), "", silent, "my gpus") == words


def test_in_the_middle_of_a_run_a_store_that_does_not_answer_is_waited_for_and_said_once(api: str) -> None:
    run, told = listening()
    answers = iter([Unreachable("MLflow does not answer: Connection refused")] * 5)

    def record() -> str:
        for fault in answers:
            raise fault
        return "recorded"

    def refused() -> None:
        refusals.append(EnvironmentFault("MLflow asks for a name and a password"))
        raise refusals[-1]

    refusals: list[EnvironmentFault] = []
    current = retrain_flow.Retraining(run, Curves(run.emit, Tracker(run.workspace)), None, server_stays=True)  # type: ignore[arg-type]
    token = retrain_flow._current.set(current)
    try:
        with temporary_settings({PREFECT_API_URL: api}):
            assert retrain_flow.retried(record, "record", [0.01] * 8)() == "recorded"
            with pytest.raises(EnvironmentFault, match="password"):
                retrain_flow.retried(refused, "refused", [0.01] * 8)()
    finally:
        retrain_flow._current.reset(token)
    assert len(refusals) == 1 + len(retrain_flow.RETRY_SECONDS)
    assert [event["message"] for event in told] == ["MLflow does not answer: Connection refused; it is tried again for a while"]
