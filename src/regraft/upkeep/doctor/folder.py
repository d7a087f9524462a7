"""Is the workspace whole: its code, its files, its data, its journal, and what killed processes left in it?"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from regraft.config.pipeline_file import load_pipeline
from regraft.core import lock
from regraft.core.errors import RegraftError
from regraft.core.quantities import first_of, size
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc, dvc_formats, freshness, integrity, moved_names, tracked_data
from regraft.execution.overridden import overrides
from regraft.execution.resolve import resolve
from regraft.upkeep import template as templates
from regraft.upkeep import upgrade
from regraft.upkeep.doctor.check import Check, State, verdict

GB = 10**9
DIGEST_SECONDS = 5.0
"""Time for hashing outputs and DVC's cache (0.9 GB/s a core); all probes together have 8 s."""
STALE_DAYS = 14
"""A checkpoint that no run came back for in this time is worth a word."""


def state(workspace: Workspace) -> Iterator[Check]:
    """Where production's state lies can be written, and the disk has room for a run."""
    home = next(path for path in (workspace.state, *workspace.state.parents) if path.exists())
    fault = None
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        fault = f"cannot be written: {error.strerror}"
    yield verdict("state", fault, str(workspace.state), "can be written", "export REGRAFT_STATE=/a/writable/folder")
    free = shutil.disk_usage(workspace.root).free
    # One checkpoint of the demo's encoder is 273 MB; two are kept and one is being written.
    level: State = "bad" if free < GB else "warn" if free < 4 * GB else "ok"
    yield Check("disk", level, f"{size(free)} free", "regraft gc lists what nothing needs, regraft gc --yes frees it")


def pipelines(workspace: Workspace) -> Iterator[Check]:
    """The steps can be imported, every pipeline resolves (its base model too), and the generated files are current."""
    if shadowing := sorted((workspace.root / "mlflow").rglob("*.py")):
        shown = workspace.relative(shadowing[0])
        yield Check("mlflow/", "bad", f"{shown} can hide the library of that name", f"mv {shown} tasks/")
    try:
        names = [step.name for step in composition.steps(workspace)]
    except RegraftError as error:
        yield Check("steps", "bad", f"pipelines/ cannot be imported: {str(error).splitlines()[0]}", error.fix)
        return
    except Exception as error:  # the workspace's own code: whatever it raises is the finding
        yield Check("steps", "bad", f"pipelines/ cannot be imported: {type(error).__name__}: {error}", "python -c 'import pipelines'")
        return
    yield Check("steps", "ok", " ".join(names))
    checks = [_pipeline(workspace, name) for name in workspace.pipelines]
    yield from checks
    if faulty := [check.name for check in checks if check.state == "bad"]:
        yield Check("generated files", "warn", f"not compared, because of {', '.join(faulty)}")
        return
    yield from _generated(workspace)


def _generated(workspace: Workspace) -> Iterator[Check]:
    """dvc.yaml and the resolved files against code and pipeline files; what a run with overrides left is no fault."""
    differing = dvc.out_of_step(workspace)
    on_purpose = {
        workspace.relative(workspace.resolved_file(name)): sets for name in workspace.pipelines if (sets := overrides(workspace, name))
    }
    for path in on_purpose.keys() & set(differing):
        flags = " ".join(f"--set {item}" for item in on_purpose[path])
        message = f"{path} is that of a run with {flags}, not of the pipeline file; a run without it brings it back"
        yield Check("generated files", "warn", message, "regraft dvc")
    stale = [path for path in differing if path not in on_purpose]
    if stale or not differing:
        fault = f"are out of step with the code and the pipeline files: {', '.join(stale)}" if stale else None
        yield verdict("generated files", fault, "dvc.yaml and pipelines/resolved/", "are in step", "regraft dvc")


def _pipeline(workspace: Workspace, name: str) -> Check:
    label = f"pipeline {name}"
    try:
        values = resolve(workspace, name)
        spec = load_pipeline(workspace, name).base_model
    except RegraftError as error:
        return Check(label, "bad", str(error), error.fix)
    try:
        freshness.require_data(workspace, name, values["data"])
    except RegraftError as error:  # no fault of the workspace: a pipeline that waits for its data
        return Check(label, "warn", str(error), error.fix)
    return Check(label, "ok", f"data is here, base model {spec} is verified")


def data(workspace: Workspace) -> Iterator[Check]:
    """data/ against data.dvc."""
    if not (workspace.root / "data.dvc").is_file():
        yield Check("data.dvc", "ok", "none; data/ is not under DVC")
        return
    integrity.require_whole(workspace, [dvc_formats.tracked_data(workspace)])
    comparison = tracked_data.compare(workspace, dvc.status(workspace, []).get("data.dvc", []))
    if findings := [
        *comparison.differs,
        *(f"{path} could not be compared, and is not in DVC's cache" for path in comparison.unknown),
        *comparison.other,
    ]:
        yield Check("data.dvc", "warn", f"data/ is not what data.dvc says: {'; '.join(findings)}", _way_out(workspace, comparison))
    elif comparison.absent:
        message = "data/ is what data.dvc says, but DVC has no copy of it: `dvc add data` puts one into its cache, `dvc push` elsewhere"
        yield Check("data.dvc", "ok", message)
    else:
        yield Check("data.dvc", "ok", "data/ is what data.dvc says")


def _way_out(workspace: Workspace, comparison: tracked_data.Tracked) -> str:
    """Never a command that loses data: where cache and remote lack the bytes, ``dvc checkout --force`` and ``dvc pull --force`` do."""
    take = [] if comparison.gone else ["dvc add data, to take it in"]
    if not comparison.absent:
        force = "" if comparison.gone == comparison.outs else "--force "
        return "; ".join([*take, f"dvc checkout {force}data.dvc, to go back" + (" and drop what differs" if force else "")])
    remotes = [line.split(".")[1] for line in dvc.ask(workspace, "config", "--list").splitlines() if line.startswith("remote.")]
    if remotes:
        return "; ".join([*take, "dvc fetch data.dvc, which brings what was pushed into the cache, and regraft doctor again"])
    return "; ".join([*take, "what data.dvc names is neither in DVC's cache nor is there a remote to fetch it from"])


def digests(workspace: Workspace) -> Iterator[Check]:
    """Outputs are what their records say, objects of DVC's cache what their names say; as many as can be read in the time."""
    examined = integrity.examine(workspace, DIGEST_SECONDS)
    if examined.broken:
        shown = first_of([workspace.relative(path) for path in examined.broken])
        yield Check("digests", "bad", f"not what was written: {shown}", integrity.REPAIR)
    elif examined.read < examined.total:
        message = f"the newest {examined.read} of {examined.total} outputs and cache objects are whole; `{integrity.REPAIR}` reads all"
        yield Check("digests", "ok", message)
    else:
        yield Check("digests", "ok", f"{examined.total} outputs and cache objects are what their digests say")


def template(workspace: Workspace) -> Iterator[Check]:
    """Files that differ from the installed library's template. One's own changes are no fault."""
    drifts = templates.drift(workspace.root)
    differences = "; ".join(map(str, drifts))
    if any(item.by != "you" for item in drifts):
        fix = "regraft init --upgrade ." if (workspace.root / templates.STAMP).is_file() else "regraft init ../fresh && diff -ru ../fresh ."
        yield Check("template", "warn", "; ".join(filter(None, [upgrade.behind(workspace.root), differences])), fix)
    else:
        yield Check("template", "ok", differences or "the workspace's code is the installed library's")


def kept_by_git(workspace: Workspace) -> Iterator[Check]:
    """Files that DVC keeps in git, and that git must not ignore."""
    dvc.require_kept(workspace)
    yield Check("git", "ok", "what DVC keeps in git is not ignored")


def imports(workspace: Workspace) -> Iterator[Check]:
    """Names that the workspace's own code imports from where they are no more."""
    problems = moved_names.outdated_imports(workspace)
    follow = {item.path for item in templates.drift(workspace.root) if item.by == "library"} if problems else set()
    for file, group in groupby(problems, key=lambda problem: problem["file"]):
        first, *others = group
        fix = "regraft init --upgrade ." if file in follow else first["fix"]  # owners' files are not upgraded
        more = f"; so do {len(others)} more of its imports" if others else ""
        yield Check("imports", "bad", f"{file}, line {first['row']}: {first['message']}{more}", fix)
    if not problems:
        yield Check("imports", "ok", "the workspace's code imports names from where they are")


def leftovers(workspace: Workspace) -> Iterator[Check]:
    """What killed processes left behind. The next run clears most of it; a person wants to know."""
    for path in sorted(workspace.root.glob("artifacts/*/*/.partial")):
        shown, pipeline = workspace.relative(path), path.parts[-3]
        if _at_work(workspace, pipeline):
            yield Check("leftovers", "ok", f"{shown} is being written: a run of '{pipeline}' is in progress")
        else:
            yield Check("leftovers", "warn", f"{shown} is half-written; no harm, the step's next run removes it", f"rm -r {shown}")
    for path in sorted(workspace.root.glob(".regraft-init-*")):
        yield Check("leftovers", "warn", f"{path.name} is of an init that was killed", f"rm -r {path.name}")
    for path in sorted((workspace.scratch / "checkpoints").glob("*/*/*")):
        days = (time.time() - path.stat().st_mtime) / 86_400
        orphaned = path.parts[-3] not in workspace.pipelines
        if orphaned or days > STALE_DAYS:
            shown = workspace.relative(path)
            why = "its pipeline is gone" if orphaned else f"no run came back for it in {days:.0f} days"
            yield Check("checkpoints", "warn", f"{shown} ({size(_size(path))}): {why}", f"rm -r {shown}")


def _at_work(workspace: Workspace, pipeline: str) -> bool:
    """Whether a process of a run of ``pipeline`` is alive: all of them share the lock on this file."""
    return lock.is_held(workspace.scratch / "locks" / f"{pipeline}.alive", by_readers=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
