"""A person says yes, or no, to a model that passed: asked by a run, answered by ``regraft approve`` and ``regraft reject``.

A run that passed registers its candidate, asks, and ends with exit 6; it holds nothing while people think. A yes is bound to the
evidence by its digest: the answer looks at the evidence again, and at the champion that it was compared with, and the last yes that is
needed promotes. The order leaves nothing half done: answer, promotion, result; after a kill the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from regraft.config.pipeline_file import require_pipeline
from regraft.config.schedule import seconds
from regraft.core import files
from regraft.core.errors import ApprovalPending, ConfigError, Conflict, EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.registry import signatures
from regraft.registry.approvals import SCHEMA, Answer, Approvals, Request, Standing, Word, moment, standing
from regraft.registry.journal import champion_of, whoami
from regraft.registry.promotion import promote
from regraft.registry.store import store_of
from regraft.registry.tracking import EVIDENCE, Tracker


@dataclass(frozen=True)
class Answered:
    """What became of a request."""

    pipeline: str
    run: str
    version: str
    state: str
    """waiting, approved or refused."""
    sentence: str
    champion: dict[str, str] | None
    note: str | None = None

    def document(self) -> dict[str, Any]:
        return dict(vars(self))


def ask(
    workspace: Workspace,
    pipeline: str,
    run: str,
    version: str,
    model: str,
    champion: Mapping[str, str] | None,
    evidence: Path,
    options: Mapping[str, Any],
    now: datetime | None = None,
) -> Request:
    """Ask for an approval of ``version``, whose model has the digest ``model``; the same run asks once.

    :param options: the section ``approval`` of the resolved file.
    """
    now = now or datetime.now(UTC)
    file = options.get("approvers")
    request = Request(
        schema=SCHEMA,
        pipeline=pipeline,
        run=run,
        version=version,
        digest=model,
        champion={"version": str(champion["version"]), "digest": champion["digest"]} if champion else None,
        evidence=files.digest(evidence),
        at=moment(now),
        until=moment(now + timedelta(seconds=seconds(options["within"]))),
        people=options["people"],
        approvers={"file": file, "sha256": files.sha256_file(_approvers(workspace, file))} if file else None,
    )
    return Approvals(store_of(workspace).values, pipeline).ask(request)


def _approvers(workspace: Workspace, file: str) -> Path:
    path = workspace.root / file
    if not path.is_file():
        raise ConfigError(f"approval.approvers: {file} is not there", fix=f"write {file}: a name and a public key in each line")
    return path


def answer(
    tracker: Tracker, named: str, word: Word, reason: str, key: Path | None = None, now: datetime | None = None, by: str | None = None
) -> Answered:
    """Answer the request of a run, or the one that a pipeline waits with, and do what follows from it.

    :param key: the private key that signs; needed where the pipeline names its approvers.
    :param by: who answers where names are taken at their word; the user of this process without it.
    """
    now, workspace = now or datetime.now(UTC), tracker.workspace
    request, approvals = _request(workspace, named)
    answers = approvals.answers(request)
    _require_genuine(workspace, request, answers)
    before = standing(request, answers, now)
    if before.state == "approved" and word == "approve":  # a kill came before the promotion
        return _finish(tracker, request, before)
    if before.state != "waiting":
        message = f"{request.run} takes no answer any more: version {request.version} {before.sentence}"
        raise ApprovalPending(message, fix=f"regraft {'run' if before.state == 'expired' else 'status'} {request.pipeline}")
    _require_of_today(tracker, request)
    given = _answer(workspace, request, word, reason, key, now, by)
    if given.by in before.by:
        raise Conflict(f"{given.by} has said yes to {request.run} already; {before.missing} more needed", fix="ask somebody else")
    approvals.add(request, len(answers), given)
    after = standing(request, [*answers, given], now)
    if after.state == "approved":
        return _finish(tracker, request, after)
    sentence = f"version {request.version} {after.sentence}"
    if after.state == "refused":
        _keep(workspace, request, sentence)
    return Answered(request.pipeline, request.run, request.version, after.state, f"{request.run}: {sentence}", _champion(tracker, request))


def _request(workspace: Workspace, named: str) -> tuple[Request, Approvals]:
    """What is asked in a run, or in a pipeline's last one. ConfigError where nothing is, Conflict where a later run decided."""
    pipeline, dash, _ = named.partition("-")
    require_pipeline(workspace, pipeline)
    latest = store_of(workspace).latest(pipeline)
    approvals = Approvals(store_of(workspace).values, pipeline)
    run = named if dash else str((latest or {}).get("run", ""))
    request = approvals.request(run) if run and "/" not in run else None
    if request is None:
        raise ConfigError(f"{named} asks for no approval", fix=f"regraft status {pipeline}")
    if latest and latest["run"] != request.run:
        raise Conflict(f"{request.run} is no longer the last word: {latest['run']} has decided since", fix=f"regraft status {pipeline}")
    return request, approvals


def _require_genuine(workspace: Workspace, request: Request, answers: list[Answer]) -> None:
    """EnvironmentFault for an answer that nobody of the approvers has signed, Conflict where those are others by now."""
    if request.approvers is None:
        return
    path = _approvers(workspace, request.approvers["file"])
    if files.sha256_file(path) != request.approvers["sha256"]:
        message = f"{request.approvers['file']} has changed since {request.run} asked, so it is not clear whose word counts"
        raise Conflict(message, fix=f"regraft run {request.pipeline}, which asks anew")
    for given in answers:
        if not given.signature or not signatures.verified(given.signed, given.signature, given.by, path):
            raise EnvironmentFault(f"an answer to {request.run} bears the name of {given.by} and not that person's signature")


def _require_of_today(tracker: Tracker, request: Request) -> None:
    """The evidence is what was asked about, and so is the champion."""
    evidence = tracker.download(tracker.find_run(request.run), EVIDENCE)
    if files.digest(evidence) != request.evidence:
        message = f"the evidence of {request.run} is not what the approval was asked for: its digest is another"
        raise EnvironmentFault(f"{message}, so the request is void", fix=f"regraft explain {request.run}")
    champion = _champion(tracker, request)
    if (champion or {}).get("digest") not in ((request.champion or {}).get("digest"), request.digest):
        message = f"the champion of '{request.pipeline}' is version {champion['version'] if champion else 'none'} by now"
        raise Conflict(f"{message}, and {request.run} was compared with another", fix=f"regraft run {request.pipeline}")


def _answer(workspace: Workspace, request: Request, word: Word, reason: str, key: Path | None, now: datetime, by: str | None) -> Answer:
    if request.approvers is None:
        if key is not None:
            message = f"--key: '{request.pipeline}' names no approvers, so nobody would look at a signature"
            raise ConfigError(message, fix=f"regraft {word} {request.run}, or name `approval: {{approvers: FILE}}`")
        return Answer(SCHEMA, request.sha, word, by or whoami(), moment(now), reason, None)
    if key is None:
        message = f"'{request.pipeline}' takes signed answers alone, by the keys in {request.approvers['file']}"
        raise ConfigError(message, fix=f"regraft {word} {request.run} --key ~/.ssh/id_ed25519")
    name = signatures.name_of(key, _approvers(workspace, request.approvers["file"]))
    unsigned = Answer(SCHEMA, request.sha, word, name, moment(now), reason, None)
    return Answer(**{**vars(unsigned), "signature": signatures.sign(unsigned.signed, key)})


def _finish(tracker: Tracker, request: Request, approved: Standing) -> Answered:
    """Promote what was approved, if it is not champion yet, and make that the result that stands."""
    _require_of_today(tracker, request)
    approval = approved.sentence.removeprefix("was ")
    reason, by = f"{approval} (verdict PASS of {request.run})", " and ".join(approved.by)
    change = promote(tracker, request.pipeline, request.version, expected=request.champion, reason=reason, by=by)
    sentence = f"{change.sentence}; {approval}"
    _keep(tracker.workspace, request, sentence, exit=0, champion=change.champion, journal_seq=change.journal_seq)
    return Answered(request.pipeline, request.run, request.version, "approved", sentence, change.champion, change.note)


def _keep(workspace: Workspace, request: Request, sentence: str, **changed: Any) -> None:
    """The result of the run, as it is now."""
    store = store_of(workspace)
    if (latest := store.latest(request.pipeline)) and latest["run"] == request.run:
        score = {"champion_score": latest.get("score")} if "champion" in changed else {}
        store.keep_latest(request.pipeline, {**latest, "sentence": sentence, **score, **changed})


def _champion(tracker: Tracker, request: Request) -> dict[str, str] | None:
    return champion_of(store_of(tracker.workspace).journal(request.pipeline).entries())
