"""Is the journal what was written, and do MLflow's aliases follow it?

An alias that lags behind is put right here as everywhere else (:mod:`regraft.registry.projection`): it is the one
thing that the doctor heals, because until then production loads the wrong model.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from regraft.core import files
from regraft.core.errors import EnvironmentFault, RegraftError
from regraft.core.quantities import size
from regraft.core.workspace import Workspace
from regraft.production.token_check import compare, mending
from regraft.registry.journal import champion_of, previous_of
from regraft.registry.projection import project
from regraft.registry.registration import model_folder, model_location
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.registry.waivers import notice
from regraft.upkeep.doctor.check import Check
from regraft.upkeep.doctor.stores import get

MOST_BYTES = 4_000_000_000
"""Most bytes of models' files that are read: 2.2 s of sha256 at the 1.8 GB/s measured."""


def registry(workspace: Workspace) -> Iterator[Check]:
    """Every journal's chain, and the aliases against its head."""
    pipelines = _pipelines(workspace)
    if not pipelines:
        yield Check("registry", "ok", "no model has been registered yet")
    for pipeline in pipelines:
        yield _pipeline(workspace, pipeline)


def models(workspace: Workspace) -> Iterator[Check]:
    """The bytes of every champion, and of what a rollback goes back to; weights on another machine are not fetched."""
    for pipeline in _pipelines(workspace):
        try:
            if sentence := _whole(workspace, pipeline):
                yield Check(f"models {pipeline}", "ok", sentence)
        except RegraftError as error:
            yield Check(f"models {pipeline}", "bad", str(error), error.fix)


def tokens(workspace: Workspace) -> Iterator[Check]:
    """The champions' tokenizers, read as consumers read them and as they were trained: the same ids on the rows of the last verdict."""
    for pipeline in _pipelines(workspace):
        try:
            if sentence := _same_ids(workspace, pipeline):
                yield Check(f"tokens {pipeline}", "ok", sentence)
        except RegraftError as error:
            yield Check(f"tokens {pipeline}", "bad", str(error), error.fix)


def _pipelines(workspace: Workspace) -> list[str]:
    return store_of(workspace).journals()


def _pipeline(workspace: Workspace, pipeline: str) -> Check:
    name, journal, tracker = f"registry {pipeline}", store_of(workspace).journal(pipeline), Tracker(workspace)
    if problems := journal.verify():
        faults = "; ".join(str(problem["message"]) for problem in problems)
        fix = f"restore {journal.where} from a backup"
        return Check(name, "bad", f"the journal is not what was written: {faults}", fix)
    entries = journal.entries()
    whole = f"the chain of {len(entries)} entries is whole"
    # MLflow's client would try for minutes.
    if tracker.uri.startswith("http") and get(f"{tracker.uri.rstrip('/')}/health")[0] != 200:
        return Check(name, "warn", f"{whole}; MLflow's aliases were not compared, because {tracker.shown} does not answer")
    try:
        changes = project(tracker, pipeline)
    except RegraftError as error:
        return Check(name, "bad", f"{whole}, but MLflow does not follow it: {error}", error.fix)
    if changes:
        return Check(name, "warn", f"{whole}, and was ahead of MLflow, which now follows: {'; '.join(changes)}")
    if waiver := notice(pipeline, entries, datetime.now(UTC)):
        return Check(name, "warn" if waiver.expired else "ok", f"{whole}; {waiver.message}", waiver.fix)
    champion = champion_of(entries)
    return Check(name, "ok", f"{whole}; " + (f"version {champion['version']} is champion" if champion else "there is no champion"))


def _whole(workspace: Workspace, pipeline: str) -> str | None:
    """A sentence on the versions that are as they were registered; None where none is on this machine, or nobody can say what should be."""
    tracker, journal = Tracker(workspace), store_of(workspace).journal(pipeline)
    if tracker.uri.startswith("http") or journal.verify():  # the check `registry` says so
        return None
    entries = journal.entries()
    versions = [model["version"] for model in (champion_of(entries), previous_of(entries)) if model]
    places = {version: place for version in versions if (place := model_location(tracker, pipeline, version))}
    if not places:
        return None
    named = " and ".join(f"version {version}" for version in places)
    total = sum(path.stat().st_size for place in places.values() for path in files.walk(place))
    if total > MOST_BYTES:
        return f"{named}: {size(total)} were not read; `regraft predict` and `regraft rollback` verify them"
    for version in places:
        model_folder(tracker, pipeline, version)
    return f"every byte of {named} is what was registered"


def _same_ids(workspace: Workspace, pipeline: str) -> str | None:
    """A sentence on the rows that both readings of the champion's tokenizer cut alike; None where it is not on this machine."""
    tracker, journal = Tracker(workspace), store_of(workspace).journal(pipeline)
    if tracker.uri.startswith("http") or journal.verify() or (champion := champion_of(journal.entries())) is None:
        return None
    if model_location(tracker, pipeline, champion["version"]) is None:
        return None
    folder, name = model_folder(tracker, pipeline, champion["version"]), f"version {champion['version']}"
    comparison = compare(workspace, folder, champion["digest"], lambda: _rows(tracker, pipeline))
    if comparison["problem"]:
        raise EnvironmentFault(f"{name} is read otherwise than it was trained: {comparison['problem']}", fix=mending(pipeline))
    return f"{comparison['rows']:,} rows have the same ids for {name} and for whoever opens its folder" if comparison["rows"] else None


def _rows(tracker: Tracker, pipeline: str) -> list[str]:
    """Texts of the test rows of the pipeline's last verdict; none where it kept none."""
    import pyarrow.parquet as pq

    path = tracker.download_evidence(pipeline) / "report" / "test.parquet"
    return [str(text) for text in pq.read_table(path, columns=["text"])["text"].to_pylist()] if path.is_file() else []
