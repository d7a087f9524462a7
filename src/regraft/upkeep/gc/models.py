"""Registered versions nobody can come back to, and the answers that models left.

A version keeps its weights while it has an alias, is champion or challenger by the journal, is what a rollback goes
back to, was the champion that the verdict on one of these was about, waits for a person after the last verdict,
or is some pipeline's base model. The others lose the weights and nothing else: version, tags, verdict, evidence and
records stay in MLflow, and so does what lies beside the weights (``MLmodel``); ``regraft.freed`` says when they went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from regraft.config.pipeline_file import load_pipeline
from regraft.core import files
from regraft.core.errors import ConfigError, RegraftError
from regraft.core.workspace import Workspace
from regraft.models import base_model
from regraft.registry.journal import Entry, challenger_of, champion_of, previous_of
from regraft.registry.registration import FREED, model_location
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.upkeep.gc.room import Item, Room, size

ROOM = "models"
WEIGHTS = "artifacts"
"""The folder below a served model that holds what is big (:mod:`regraft.registry.artifact`)."""


@dataclass(frozen=True)
class Version:
    """A registered version whose weights are on this machine."""

    pipeline: str
    version: str
    digest: str
    weights: Path
    """Folder of the classifier and its loader."""
    bytes: int
    kept: str | None
    """Why its weights stay; None: they can go."""


def versions(tracker: Tracker) -> list[Version]:
    """Every version in a journal whose weights lie in this workspace; of a shared store none."""
    if tracker.remote:
        return []
    journals = store_of(tracker.workspace).journals()
    return [version for pipeline in journals for version in _of(tracker, pipeline)]


def _of(tracker: Tracker, pipeline: str) -> Iterator[Version]:
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    registered = [entry.to for entry in entries if entry.action == "register" and entry.to]
    reasons = kept(tracker, pipeline, entries) if registered else {}
    bases = list(_bases(tracker.workspace)) if registered else []
    for model in registered:
        root = model_location(tracker, pipeline, model["version"])
        if root is None or not (root / WEIGHTS).is_dir():
            continue
        why = reasons.get(model["version"]) or next((reason for path, reason in bases if path is None or _overlap(path, root)), None)
        yield Version(pipeline, model["version"], model["digest"], root / WEIGHTS, size(root / WEIGHTS), why)


def kept(tracker: Tracker, pipeline: str, entries: Sequence[Entry]) -> dict[str, str]:
    """``{version: why}`` of the versions whose weights stay."""
    reasons: dict[str, str] = {}
    for alias, version in sorted(tracker.aliases(pipeline).items()):
        reasons.setdefault(version, alias)
    for name, model in (("champion", champion_of(entries)), ("challenger", challenger_of(entries))):
        if model:
            reasons.setdefault(model["version"], name)
    if previous := previous_of(entries):
        reasons.setdefault(previous["version"], "rollback target")
    latest = store_of(tracker.workspace).latest(pipeline) or {}
    if candidate := latest.get("candidate"):
        for entry in entries:
            if entry.action == "register" and entry.to and entry.digest == candidate["digest"]:
                reasons.setdefault(entry.to["version"], "candidate of the last verdict")
    for version in list(reasons):
        registered = next((number for number, e in enumerate(entries) if e.action == "register" and e.to and e.to["version"] == version), 0)
        if base := champion_of(entries[:registered]):
            reasons.setdefault(base["version"], f"the verdict on version {version} was about it")
    return reasons


def _bases(workspace: Workspace) -> Iterator[tuple[Path | None, str]]:
    """Folders that pipelines start from, each with the words for it; None: it is not known, so it may be any."""
    for name in workspace.pipelines:
        try:
            spec = load_pipeline(workspace, name).base_model
        except ConfigError:
            yield None, f"pipelines/{name}.yaml cannot be read, and may start from it"
            continue
        if not spec.startswith(("package:", "hub:")):
            try:
                yield base_model.locate(spec, workspace.root).resolve(), f"base model of '{name}'"
            except RegraftError:  # no such folder: it is nobody's weights
                continue


def _overlap(base: Path, root: Path) -> bool:
    root = root.resolve()
    return base.is_relative_to(root) or root.is_relative_to(base)


def rooms(tracker: Tracker, known: Sequence[Version]) -> list[Room]:
    """The versions that can go, and the answers of models that are, or then will be, gone."""
    if tracker.remote:
        return [Room(ROOM, note=f"MLflow at {tracker.shown} is shared; `mlflow gc` there frees it")]
    going = tuple(Item(v.weights, v.bytes, f"{v.pipeline} version {v.version}") for v in known if v.kept is None)
    values = store_of(tracker.workspace).values
    if values.shared:
        return [Room(ROOM, going), Room("predictions", note=f"{values.where()} is shared; what it keeps stays")]
    return [Room(ROOM, going), Room("predictions", tuple(_predictions(tracker.workspace, known)))]


def _predictions(workspace: Workspace, known: Sequence[Version]) -> Iterator[Item]:
    alive = {version.digest for version in known if version.kept}
    for path in workspace.root.glob("artifacts/*/score-*/out/digests.json"):
        alive |= {str(digest) for digest in files.read_json(path).values()}
    for room, what in (("predictions", "answers of"), ("serving", "what serving takes of")):
        for path in sorted((workspace.state / room).glob("*")):
            if path.is_dir() and path.name not in alive:
                yield Item.of(path, f"{what} the model {path.name[:12]}")


def free(tracker: Tracker, going: Sequence[Version]) -> int:
    """Delete the weights of versions, each under its pipeline's lease and only if nobody has come back to it; the bytes."""
    from regraft.upkeep.gc.room import remove

    freed = 0
    for version in going:
        with store_of(tracker.workspace).lease(version.pipeline):
            entries = store_of(tracker.workspace).journal(version.pipeline).entries()
            if version.version in kept(tracker, version.pipeline, entries):
                continue
            with tracker.store() as client:
                client.set_model_version_tag(version.pipeline, version.version, FREED, datetime.now(UTC).isoformat(timespec="seconds"))
            remove(version.weights)
            freed += version.bytes
    return freed


def document(known: Sequence[Version]) -> list[Mapping[str, str]]:
    """The versions that stay, as ``{pipeline, version, digest, why}``."""
    return [{"pipeline": v.pipeline, "version": v.version, "digest": v.digest, "why": v.kept} for v in known if v.kept]
