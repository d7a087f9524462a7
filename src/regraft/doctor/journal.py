"""Is the journal what was written, and do MLflow's aliases follow it?

An alias that lags behind is put right here as everywhere else (:mod:`regraft.registry.projection`): it is the one
thing that the doctor heals, because until then production loads the wrong model.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from regraft.doctor.check import Check
from regraft.doctor.stores import get
from regraft.errors import RegraftError
from regraft.registry.projection import project
from regraft.registry.store import FileJournal, champion_of
from regraft.tracking import Tracker
from regraft.waivers import notice
from regraft.workspace import Workspace


def registry(workspace: Workspace) -> Iterator[Check]:
    """Every journal's chain, and the aliases against its head."""
    folders = sorted(path for path in (workspace.state / "journal").glob("[a-z]*") if path.is_dir())
    if not folders:
        yield Check("registry", "ok", "no model has been registered yet")
    for folder in folders:
        yield _pipeline(workspace, folder.name)


def _pipeline(workspace: Workspace, pipeline: str) -> Check:
    name, journal, tracker = f"registry {pipeline}", FileJournal(workspace.state, pipeline), Tracker(workspace)
    if problems := journal.verify():
        said = "; ".join(str(problem["message"]) for problem in problems)
        fix = f"restore {workspace.relative(journal.folder)} from a backup"
        return Check(name, "bad", f"the journal is not what was written: {said}", fix)
    entries = journal.entries()
    whole = f"the chain of {len(entries)} entries is whole"
    # MLflow's client would try for minutes.
    if tracker.uri.startswith("http") and get(f"{tracker.uri.rstrip('/')}/health")[0] != 200:
        return Check(name, "warn", f"{whole}; MLflow's aliases were not compared, because {tracker.shown} does not answer")
    try:
        mended = project(tracker, pipeline)
    except RegraftError as error:
        return Check(name, "bad", f"{whole}, but MLflow does not follow it: {error}", error.fix)
    if mended:
        return Check(name, "warn", f"{whole}, and was ahead of MLflow, which now follows: {'; '.join(mended)}")
    if waiver := notice(pipeline, entries, datetime.now(UTC)):
        return Check(name, "warn" if waiver.expired else "ok", f"{whole}; {waiver.message}", waiver.fix)
    champion = champion_of(entries)
    return Check(name, "ok", f"{whole}; " + (f"version {champion['version']} is champion" if champion else "there is no champion"))
