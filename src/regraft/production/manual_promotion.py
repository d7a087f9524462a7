"""``regraft promote``: what a person makes champion, and on whose word.

Without a waiver a verdict has to have passed. With one, the person answers for the findings that the waiver names, and
for no other: the evidence is rebuilt first, and the candidate of a run that did not pass is registered only now, from
what its step left (:mod:`regraft.execution.weights`). The order leaves nothing half done: register, card, promote, card with the
waiver; after a kill the same command goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regraft.config.pipeline_file import load_pipeline
from regraft.core import files
from regraft.core.errors import ApprovalPending, ConfigError, EnvironmentFault, GateFailed, GateInconclusive
from regraft.execution import weights
from regraft.execution.records import MODEL, data_hashes, scoring
from regraft.gates.decide import rebuild
from regraft.gates.telling import sentence
from regraft.production.token_check import require_same_ids
from regraft.registry import waivers
from regraft.registry.journal import Entry, challenger_of, champion_of
from regraft.registry.promotion import Change, promote, promote_by_hand, require
from regraft.registry.registration import EXAMPLES, register, registered
from regraft.registry.store import store_of
from regraft.registry.tracking import EVIDENCE, TrackedRun, Tracker
from regraft.reports.card import store
from regraft.reports.history import journal_of

VERSION = re.compile(r"(?P<pipeline>[^/]+)/(?P<version>[1-9][0-9]*)")


@dataclass(frozen=True)
class Asked:
    """What was named on the command line."""

    pipeline: str
    version: int | None
    run: str | None


def asked(named: str, beside: str | None) -> Asked:
    """A pipeline, ``PIPELINE/VERSION`` or a run, and a version beside a pipeline. ConfigError where what stands beside is no version."""
    version = _version(named, beside)
    if match := VERSION.fullmatch(named):
        if version is not None:
            raise ConfigError(f"{named} names a version already", fix=f"regraft promote {named}")
        return Asked(match["pipeline"], int(match["version"]), None)
    pipeline, dash, _ = named.partition("-")
    if dash and version is not None:
        raise ConfigError(f"{named} is a run: it has one candidate, and version {version} may be another's", fix=f"regraft promote {named}")
    return Asked(pipeline, version, named if dash else None)


def _version(named: str, text: str | None) -> int | None:
    if text is None or text.isdecimal():
        return int(text) if text else None
    if text.startswith(f"{named}-"):
        raise ConfigError(f"{text} is a run, which names its pipeline itself", fix=f"regraft promote {text}")
    raise ConfigError(f"{text!r} is no version of {named}: versions are numbers", fix=f"regraft history {named}")


def require_together(named: str, gates: Sequence[str], until: str | None, reason: str | None) -> None:
    """A waiver has a gate, a last day and a reason, or there is none; ConfigError."""
    if not gates:
        if until is not None:
            raise ConfigError("--until is about --waive: say which gate", fix=f"regraft explain {named}")
        return
    missing = [f"--{option}" for option, value in (("reason", reason), ("until", until)) if not (value or "").strip()]
    if missing:
        flags = " ".join(f"--waive {gate}" for gate in gates)
        fix = f'regraft promote {named} {flags} --reason "{reason or "..."}" --until {until or "YYYY-MM-DD"}'
        raise ConfigError(f"a waiver needs {' and '.join(missing)}: who reads the journal later has nothing else", fix=fix)


def passed(tracker: Tracker, what: Asked, reason: str) -> Change:
    """Promote a version whose verdict passed: the one named, the one of the run named, or the challenger."""
    entries = journal_of(tracker.workspace, what.pipeline).entries()
    _refuse_where_people_are_asked(tracker, what)
    version = what.version
    if what.run:
        run = tracker.find_run(what.run, decided=True)
        versions = [entry.to["version"] for entry in entries if entry.action == "register" and entry.run == run.name and entry.to]
        if not versions:
            _refuse(tracker, run)
        version = int(versions[-1])
    elif version is None and challenger_of(entries) is None:
        _refuse_the_last(tracker, what.pipeline)
    return promote_by_hand(tracker, what.pipeline, version, reason)


def _refuse_where_people_are_asked(tracker: Tracker, what: Asked, *, waived: bool = False) -> None:
    """A pipeline that promotes on approval has `regraft approve`; a waiver is one person's word, and counts where no keys are asked for."""
    if what.pipeline not in tracker.workspace.pipelines or (asks := load_pipeline(tracker.workspace, what.pipeline).asks) is None:
        return
    if not waived or asks.approvers is not None:
        message = f"'{what.pipeline}' promotes on approval alone (`promotion: approval` in its file)"
        raise ApprovalPending(message, fix=f"regraft approve {what.run or what.pipeline}")


def _refuse(tracker: Tracker, run: TrackedRun) -> None:
    """Say why a run has no version."""
    if run.outcome == "pass":
        message = f"{run.name} passed and registered nothing: its candidate was champion already, or was rolled back from"
        raise ConfigError(message, fix=f"regraft history {run.pipeline}")
    kind = GateInconclusive if run.outcome == "inconclusive" else GateFailed
    verdict = files.read_json(tracker.download(run, EVIDENCE) / "verdict.json")
    held_back = _open(verdict)
    lines = [f"{run.name} ended {str(run.outcome).upper()}, so there is no model to promote:", *(f"  {sentence(f)}" for f in held_back)]
    raise kind("\n".join(lines), fix=f"regraft explain {run.name}; to answer for it: {waivers.command(run.name, held_back)}")


def _refuse_the_last(tracker: Tracker, pipeline: str) -> None:
    """Say that the last run did not pass, where that is why there is no challenger."""
    last = store_of(tracker.workspace).latest(pipeline)
    if last is not None and last["outcome"] != "pass":
        _refuse(tracker, tracker.find_run(pipeline, decided=True))


def waived(tracker: Tracker, what: Asked, gates: Sequence[str], reason: str, until: str) -> Change:
    """Promote the candidate of a run that was held back by nothing but ``gates``, on waivers up to the day ``until``.

    A champion that stands on waivers already gets the new ones, with the same command.
    """
    workspace, pipeline = tracker.workspace, what.pipeline
    _refuse_where_people_are_asked(tracker, what, waived=True)
    entries = journal_of(workspace, pipeline).entries()
    run_name = registered(entries, pipeline, str(what.version)).run if what.version is not None else what.run or pipeline
    run = tracker.find_run(run_name, decided=True)
    evidence = tracker.download(run, EVIDENCE)
    verdict = _verdict(evidence, run)
    signed = waivers.cover(verdict, gates, waivers.day(until, datetime.now(UTC), waivers.command(run.name, _open(verdict))), run.name)
    digest, champion = verdict["candidate"]["digest"], champion_of(entries)
    options = load_pipeline(workspace, pipeline).card
    card = options.model_dump(mode="json") if options else None
    if champion and champion["digest"] == digest:
        version, expected = champion["version"], champion
    else:
        expected = verdict["champion"]
        require(pipeline, entries, expected, f"the verdict of {run.name}")
        version = _registered(tracker, run, entries, verdict, evidence)
        store.write(tracker, pipeline, version, card)
    change = promote(tracker, pipeline, version, expected=expected, reason=reason, waivers=signed)
    store.write(tracker, pipeline, version, card)
    tracker.log_summary(run.run_id, tags={"regraft.waiver": f"{', '.join(waiver.name for waiver in signed)} until {signed[0].until}"})
    return change


def _open(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [finding for finding in waivers.told_apart(verdict) if finding["outcome"] in waivers.UNSETTLED]


def _verdict(evidence: Path, run: TrackedRun) -> dict[str, Any]:
    """The content of verdict.json, after it was rebuilt from its predictions."""
    path = evidence / "verdict.json"
    if not path.is_file() or path.read_text(encoding="utf8") != rebuild(evidence):
        raise EnvironmentFault(f"{path} is not what its predictions say", fix=f"regraft explain {run.name}")
    return dict(files.read_json(path))


def _registered(tracker: Tracker, run: TrackedRun, entries: Sequence[Entry], verdict: Mapping[str, Any], evidence: Path) -> str:
    """The version of a run's candidate, registered now if the run did not."""
    digest = verdict["candidate"]["digest"]
    for entry in entries:
        if entry.action == "register" and entry.to and (entry.run, entry.digest) == (run.name, digest):
            return entry.to["version"]
    records = {path.stem: files.read_json(path) for path in sorted(tracker.download(run, "records").glob("*.json"))}
    texts = _texts(evidence, run)
    room = tracker.workspace.scratch / "downloads"  # which `gc` empties, should this be killed
    room.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="candidate-", dir=room) as folder:
        model = weights.bring_back(tracker.workspace, run.pipeline, records, digest, Path(folder) / MODEL)
        require_same_ids(tracker.workspace, run.pipeline, model, digest, lambda: texts)
        return register(
            tracker,
            run.pipeline,
            run_id=run.run_id,
            run_name=run.name,
            model_dir=model,
            digest=digest,
            verdict=verdict,
            input_example=texts[:EXAMPLES],
            data_hashes=data_hashes(records.values()),
            git_sha=(scoring(records) or {"git": {"sha": None}})["git"]["sha"],
        )


def _texts(evidence: Path, run: TrackedRun) -> list[str]:
    import pyarrow.parquet as pq

    rows = evidence / "report" / "test.parquet"
    if not rows.is_file():
        raise EnvironmentFault(f"{run.name} kept no test rows, and a model is registered with two", fix=f"regraft run {run.pipeline}")
    return [str(text) for text in pq.read_table(rows, columns=["text"])["text"].to_pylist()]
