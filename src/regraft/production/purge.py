"""Take the bytes of forgotten rows out of the places that regraft and DVC keep them in: caches, remotes, artifacts, pages, quarantines.

What has to go is written down (``forgetting-<version>.json``) before the data change, and taken off when all of it is done, so a process
that is killed in between is followed by one that finishes it. Everything here may be done twice: what was computed is written down too,
before the records that tell it are deleted.

From bytes that had the rows, what was computed is found by DVC's run cache and dvc.lock: the results of every stage that read them, and of
those that read these. What another stage made from other bytes alone has nothing of them, and stays.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.core import files, lock
from regraft.core.workspace import Workspace
from regraft.data.handoff import forgotten
from regraft.data.handoff.forgotten import Remembered, Wanted
from regraft.data.handoff.history import History
from regraft.execution import clones, dvc, dvc_formats

PLAN = "forgetting-*.json"
"""One for each version that forgot something, until all of that is done."""
REPORT = "forgotten.json"
CHECKPOINTS = "checkpoints"
"""Their folder in ``.regraft`` and in a DVC remote (:mod:`regraft.execution.remote_checkpoints`), with one for each pipeline."""
REMOTES = """
import json, sys
from regraft.execution.patient_dvc import repository
repo, (names, checkpoints), said = repository("."), json.load(sys.stdin), {}
for remote in repo.config["remote"]:
    try:
        store, gone = repo.cloud.get_remote_odb(name=remote, hash_name="md5"), 0
        if store.fs.protocol == "local" and not store.fs.isdir(repo.config["remote"][remote]["url"]):
            raise FileNotFoundError(repo.config["remote"][remote]["url"])  # elsewhere the store itself says that it is out of reach
        for name in names:
            if store.fs.exists(store.oid_to_path(name)):
                store.delete(name)
                gone += 1
        kept = store.fs.join(repo.cloud.get_remote(name=remote).path, *checkpoints)
        if store.fs.exists(kept):
            gone += len(list(store.fs.find(kept)))
            store.fs.remove(kept, recursive=True)
        said[remote] = gone
    except Exception as error:
        said[remote] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""
"""Asked of DVC's own Python, as every kind of remote is one of its file systems."""


@dataclass
class Purged:
    """What was taken away."""

    objects: int = 0
    """Of DVC's cache, here."""
    bytes: int = 0
    results: int = 0
    """Of DVC's run cache."""
    artifacts: list[str] = field(default_factory=list)
    """Outputs of steps, and checkpoints here."""
    clones: list[str] = field(default_factory=list)
    """Those that agents had made, of which everything is computed or fetched again."""
    remotes: dict[str, int] = field(default_factory=dict)
    """Remote -> objects, and files of checkpoints."""
    folders: list[str] = field(default_factory=list)
    """Versions and refused drops whose page, quarantine or record had such rows."""
    failed: dict[str, str] = field(default_factory=dict)
    """Remote, ``artifacts``, or a clone -> why nothing, or not all, could be taken away there."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return dict(vars(self))


def write_plan(folder: Path, version: int, wanted: Wanted, ids: Collection[str], seeds: Collection[str], versions: Collection[int]) -> None:
    """Write down what has to go once ``version`` is there; ``seeds`` are the objects that have the rows, ``versions`` those of them."""
    plan = {"version": version, "column": wanted.column, "values": sorted(wanted.values), "ids": sorted(ids)}
    files.write_json(folder / PLAN.replace("*", str(version)), {**plan, "seeds": sorted(seeds), "versions": sorted(versions)})


def finish(workspace: Workspace, history: History) -> Purged | None:
    """Do what is written down; None: nothing is, or the versions that it was for never came to be."""
    done = [purged for path in sorted(history.folder.glob(PLAN)) if (purged := _finish(workspace, history, path)) is not None]
    return _sum(done) if done else None


def _sum(parts: Sequence[Purged]) -> Purged:
    remotes = {name: sum(part.remotes.get(name, 0) for part in parts) for part in parts for name in part.remotes}
    return Purged(
        sum(part.objects for part in parts),
        sum(part.bytes for part in parts),
        sum(part.results for part in parts),
        sorted({path for part in parts for path in part.artifacts}),
        sorted({path for part in parts for path in part.clones}),
        remotes,
        sorted({name for part in parts for name in part.folders}),
        {name: why for part in parts for name, why in part.failed.items()},
    )


def _finish(workspace: Workspace, history: History, path: Path) -> Purged | None:
    """Do what is written down in ``path``; None: the version that it was for never came to be."""
    plan = files.read_json(path)
    if not any(version.number == plan["version"] and version.action == "forget" for version in history.versions()):
        path.unlink()
        return None
    wanted = Wanted(plan["column"], frozenset(plan["values"]))
    Remembered(history.folder).add(wanted, plan["version"])
    forgotten.purged(history, plan["versions"], plan["version"])
    going = derived(workspace, plan["seeds"], plan.get("going", ()))
    files.write_json(path, {**plan, "going": sorted(going)})
    pipeline = history.folder.name
    done = Purged(folders=forgotten.redact(history, wanted, plan["ids"]), artifacts=list(_artifacts(workspace, going)))
    done.artifacts += _unrecorded(workspace, pipeline, done)
    _remotes(workspace, pipeline, going, done)
    cache = dvc_formats.cache_folder(workspace)
    for result in dvc_formats.results(cache):
        if _reads(dvc_formats.read_result(result.read_text(encoding="utf8")) or {}, going):
            result.unlink()
            done.results += 1
    for md5 in sorted(going):
        if (place := dvc_formats.object_path(cache, md5)).is_file():
            done.objects, done.bytes = done.objects + 1, done.bytes + place.stat().st_size
            place.unlink()
    done.clones = list(_clones(workspace, pipeline, done))
    for leftover in _scratch(workspace, pipeline):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    files.write_json(history.place(plan["version"]) / REPORT, done.document())
    if not done.failed:
        path.unlink()
    return done


def derived(workspace: Workspace, seeds: Collection[str], former: Collection[str] = ()) -> set[str]:
    """The objects in which something of ``seeds`` may be: themselves, and whatever was computed from them and from them alone.

    :param former: what an earlier try had found, whose records may be deleted by now; what was made of other bytes since is left out.
    """
    cache = dvc_formats.cache_folder(workspace)
    texts = [path.read_text(encoding="utf8") for path in dvc_formats.results(cache)]
    here = [stage for each in (workspace, *clones.clones(workspace)) for stage in dvc_formats.stages(each).values()]
    stages = [*(result for text in texts if (result := dvc_formats.read_result(text))), *here]
    made = [(stage, set(_outs(stage, cache))) for stage in stages]
    going, before = {*seeds, *former}, -1
    while len(going) != before:
        before = len(going)
        going -= set[str]().union(*(outs for stage, outs in made if not _reads(stage, going))) - set(seeds)
    before = -1
    while len(going) != before:  # what is known to be spoiled grows, and what is known to be clean shrinks
        before = len(going)
        clean = set[str]().union(*(outs for stage, outs in made if not _reads(stage, going)))
        going |= set[str]().union(*(outs for stage, outs in made if _reads(stage, going))) - clean
    return going


def _reads(stage: Mapping[str, Any], going: Collection[str]) -> bool:
    return any(entry.get("md5") in going for entry in stage.get("deps", ()))


def _outs(stage: Mapping[str, Any], cache: Path) -> Iterator[str]:
    """What a stage made: its outputs, and of folders the files, which other stages read one by one."""
    for out in stage.get("outs", ()):
        if md5 := out.get("md5"):
            yield md5
            if md5.endswith(".dir"):
                yield from (dvc_formats.listing(cache, md5) or {}).values()


def _artifacts(workspace: Workspace, going: Collection[str]) -> Iterator[str]:
    """Take away what stages have left in the workspace of that."""
    for stage in dvc_formats.stages(workspace).values():
        for out in stage.get("outs", ()):
            path = workspace.root / out["path"]
            if out.get("md5") in going and out["path"].startswith("artifacts/") and path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                yield out["path"]


def _unrecorded(workspace: Workspace, pipeline: str, done: Purged) -> Iterator[str]:
    """Take away what steps that were killed have left in the workspace, of which dvc.lock does not say what it was made of.

    Their checkpoints go, too: with other rows no step goes on from them.
    """
    if lock.is_held(workspace.scratch / "locks" / f"{pipeline}.alive", by_readers=True):
        done.failed["artifacts"] = f"a run of {pipeline} is at work there"
        return
    recorded = {out["path"] for stage in dvc_formats.stages(workspace).values() for out in stage.get("outs", ())}
    for path in sorted(workspace.root.glob(f"artifacts/{pipeline}/*/*")):
        if (shown := workspace.relative(path)) not in recorded and path.name in (".partial", "out", "evidence", "record.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            yield shown
    if (kept := workspace.scratch / CHECKPOINTS / pipeline).is_dir():
        shutil.rmtree(kept)
        yield workspace.relative(kept)


def _clones(workspace: Workspace, pipeline: str, done: Purged) -> Iterator[str]:
    """Take away the clones that agents made for a pipeline: its data lie there, and so do pages and logs of its runs."""
    for clone in clones.clones(workspace):
        if clones.pipeline_of(clone) != pipeline:
            continue
        shown, handle = workspace.relative(clone.root), lock.open_lock(clones.lock_of(clone.root))
        try:
            if lock.try_take(handle):
                shutil.rmtree(clone.root)
                yield shown
            else:
                done.failed[shown] = "a run is at work there"
        finally:
            os.close(handle)


def _scratch(workspace: Workspace, pipeline: str) -> Iterator[Path]:
    """What handoffs, refused data and runs of a pipeline have left in ``.regraft``; of runs MLflow has what is evidence."""
    copies = (f"downloads/{pipeline}", f"downloads/{pipeline}-*")
    places = ("handoff/s3", f"rejected/{pipeline}.*", f"evidence/{pipeline}-*", f"reports/{pipeline}-*", *copies, "embeddings")
    yield from (path for pattern in places for path in workspace.scratch.glob(pattern))


def _remotes(workspace: Workspace, pipeline: str, going: Collection[str], done: Purged) -> None:
    """Take away what remotes have of that, and checkpoints that agents have left there: their weights have learned from such rows.

    A training that goes on meanwhile pushes new ones; its step ends with the run that has read the rows.
    """
    argv = [*dvc.command()[:1], "-c", REMOTES]
    asked = json.dumps([sorted(going), [CHECKPOINTS, pipeline]])
    answer = subprocess.run(argv, cwd=workspace.root, env=dvc.environment(), input=asked, capture_output=True, text=True, check=False)
    try:
        said = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = {"every remote": " ".join(answer.stderr.split())[-300:] or f"exit {answer.returncode}"}
    done.remotes = {name: count for name, count in said.items() if isinstance(count, int)}
    done.failed |= {name: why for name, why in said.items() if isinstance(why, str)}
