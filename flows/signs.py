"""Signs of life of a flow run that an agent has taken and that is not RUNNING yet: it fetches a commit, or waits for a GPU.

Prefect's heartbeats begin with the flow, and the place of a PENDING run is held for :data:`flows.deploy.WAIT`'s seconds. So until then this
sends both: a heartbeat, by which a lost machine is told (:mod:`flows.lost_runs`), and a renewal of the place; and a line of the run's log
says what is waited for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import Event
from prefect.events.related import tags_as_related_resources
from prefect.exceptions import PrefectException

from flows.lost_runs import HEARTBEAT_SECONDS

GRACE_SECONDS = 60
"""For which the place of a PENDING run is held after the last renewal: two heartbeats."""


class Signs:
    """What is told of a flow run, and by a thread of its own."""

    def __init__(self, flow_run: UUID) -> None:
        self._flow_run, self._sentence = flow_run, "begins"
        self._wake, self._over = threading.Event(), threading.Event()

    def tell(self, sentence: str) -> None:
        """Say what the run does; said once, and again with every heartbeat while that lasts."""
        if sentence != self._sentence:
            self._sentence = sentence
            self._wake.set()

    def end(self) -> None:
        """Give no more signs."""
        self._over.set()
        self._wake.set()

    def give(self) -> None:
        """Give signs until the flow gives its own, or :meth:`end`; a server that is away for a while gets the next one."""
        with get_client(sync_client=True) as client:
            while not self._over.is_set():
                self._wake.clear()
                try:
                    run = client.read_flow_run(self._flow_run)
                    if run.state is None or run.state.type is not StateType.PENDING:
                        return
                    self._sign(client, run)
                except (PrefectException, httpx.HTTPError):
                    pass
                self._wake.wait(HEARTBEAT_SECONDS)

    def _sign(self, client: SyncPrefectClient, run: FlowRun) -> None:
        about = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
        heartbeat = Event(event="prefect.flow-run.heartbeat", resource=about, related=tags_as_related_resources(set(run.tags)))
        # Not by `emit_event`, whose queue may send it after the end of the run, which would then be called lost.
        client.request("POST", "/events", json=[heartbeat.model_dump(mode="json")])
        line = LogCreate(name="regraft", level=logging.INFO, message=self._sentence, timestamp=datetime.now(UTC), flow_run_id=run.id)
        client.create_logs([line])
        if run.state and (place := run.state.state_details.deployment_concurrency_lease_id):
            client.renew_concurrency_lease(place, GRACE_SECONDS)


@contextmanager
def given(flow_run: UUID) -> Iterator[Callable[[str], None]]:
    """Inside, signs are given of ``flow_run`` while it is PENDING; what this yields says what it does."""
    signs = Signs(flow_run)
    # With our context, in which Prefect keeps its settings.
    thread = threading.Thread(target=copy_context().run, args=(signs.give,), name="signs of life", daemon=True)
    thread.start()
    try:
        yield signs.tell
    finally:
        signs.end()
        thread.join(HEARTBEAT_SECONDS)
