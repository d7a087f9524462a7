"""``regraft quarantine release`` and ``drop``: a person decides about rows that were set aside, and says why."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from regraft.core.errors import ConfigError, DataRejected, Problem
from regraft.core.quantities import counted
from regraft.core.workspace import Workspace
from regraft.data.handoff import edition
from regraft.data.handoff.history import Version
from regraft.data.handoff.judge import judge
from regraft.data.handoff.known import Known
from regraft.data.handoff.set_aside import RELEASED, Aside, Decision, Quarantine
from regraft.data.rows import Row
from regraft.production.data_store import DataStore, now
from regraft.production.handoff import examples, in_house, plain, revision
from regraft.registry.journal import whoami


def release(
    workspace: Workspace, pipeline: str, keys: Collection[str], *, reason: str, by: str | None, commit: bool, wait: bool = True
) -> Version:
    """Take rows into the data although they were set aside, as a new version.

    :raises DataRejected: the contract, as it is now, does not allow one of them; a run would set it aside again.
    """
    store = DataStore.of(workspace, pipeline)
    _require_reason(reason, pipeline)
    with store.lease(wait=wait), store.scratch() as scratch:
        quarantine = Quarantine(store.folder)
        rows = quarantine.chosen(keys, pipeline)
        _require_columns(rows)
        head, task = store.found(), store.task
        known = Known.of(in_house(store, store.place.rows()), task)
        again = [Row(row.file, row.row or 0, dict(row.values or {}), (), row.raw) for row in rows]
        contract = store.contract()
        judged = judge(
            lambda: in_house(store, again), known, contract, (), scratch / "rows",
            mode="add", budget=1.0, twins_too=False, tokens=store.tokens(contract),
        )  # fmt: skip
        if faults := [(row, fault) for row, found in judged.validated.quarantine() for fault in found]:
            problems = [Problem(message=fault.reason, file=row.file, row=row.number, rule=fault.rule) for row, fault in faults]
            lines = "\n".join(f"  {problem['file']}:{problem['row']}: {problem['message']}" for problem in problems)
            many = counted(judged.validated.quarantined, "row")
            raise DataRejected(
                f"the contract does not allow {many}, so every run would set it aside again:\n{lines}",
                fix=f"correct the row and hand it in again, or change {store.contract_file.name}",
                problems=problems,
            )
        staged = edition.make(store.place, revision(judged, task), store.history.next_number()) if judged.diff else None
        listed, person = examples(store, judged), by or whoami()
        summary = f"{counted(len(rows), 'row')} released from quarantine: {judged.diff.sentence()}"
        diff = {
            **{key: item for key, item in judged.diff.document().items() if key != "rows"},
            "rows": [plain(change) for change in listed],
            RELEASED: [row.key for row in rows],
        }
        counts = {"read": len(rows), "accepted": len(rows), "quarantined": 0}
        number = store.history.next_number()
        version = Version(
            number, head.number if head else None, "release", now(), person, summary, {}, reason=reason, counts=counts, diff=diff
        )
        attachments = scratch / "version"
        attachments.mkdir()
        total = len(known) + judged.diff.counts["added"]
        version = store.change(version, total, staged, attachments, commit=commit)
        quarantine.decide([Decision(row.key, "released", version.at, person, reason, version.number) for row in rows])
    return version


def drop(workspace: Workspace, pipeline: str, keys: Collection[str], *, reason: str, by: str | None) -> list[Decision]:
    """Leave rows out for good; they are listed no more."""
    store = DataStore.of(workspace, pipeline)
    _require_reason(reason, pipeline)
    with store.lease():
        quarantine = Quarantine(store.folder)
        decisions = [Decision(row.key, "dropped", now(), by or whoami(), reason) for row in quarantine.chosen(keys, pipeline)]
        quarantine.decide(decisions)
    return decisions


def _require_reason(reason: str, pipeline: str) -> None:
    if not reason.strip():
        raise ConfigError("--reason is empty; whoever reads the log wants to know why", fix=f"regraft quarantine list {pipeline}")


def _require_columns(rows: Sequence[Aside]) -> None:
    if unreadable := [row for row in rows if row.values is None]:
        first = unreadable[0]
        message = f"{first.key} ({first.file}:{first.row}) cannot be released: its columns cannot be told apart ({first.reason})"
        raise ConfigError(message, fix="correct the row in your file and hand it in again")
