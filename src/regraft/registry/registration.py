"""Registering: from a step's model folder to a version of a registered model that production can load.

Every step of it can be repeated: the logged model is looked up by run and digest, the version by its tags, the
journal entry by both. A kill anywhere in between costs the work since the last step, and the same call finishes it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.registry import artifact
from regraft.registry.journal import SCHEMA, Entry
from regraft.registry.projection import project_held
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.tracking import MlflowClient

EXAMPLES = 2
"""Test rows that a registered model carries as its input example."""
FREED = "regraft.freed"
"""Tag of a version whose weights :mod:`regraft.upkeep.gc` deleted, with the time."""


def register(
    tracker: Tracker,
    pipeline: str,
    *,
    run_id: str,
    run_name: str,
    model_dir: Path,
    digest: str,
    verdict: Mapping[str, Any],
    input_example: Sequence[str],
    data_hashes: Mapping[str, str],
    git_sha: str | None,
    reason: str = "",
) -> str:
    """Register ``model_dir`` as the candidate of a run and return its version; the same run and digest: the same version.

    ``verdict`` is the content of verdict.json. The alias ``challenger`` follows from the journal, by
    :func:`regraft.registry.projection.project`.
    """
    journal = store_of(tracker.workspace).journal(pipeline)
    with store_of(tracker.workspace).lease(pipeline) as lease:
        entries = journal.entries()
        registrations = [e for e in entries if e.action == "register" and (e.run, e.digest) == (run_name, digest)]
        if registrations and registrations[-1].to:
            project_held(tracker, pipeline, entries, lease)
            return registrations[-1].to["version"]
        artifact.refuse_unsafe(model_dir)
        if (actual := files.digest(model_dir)) != digest:
            raise EnvironmentFault(
                f"{model_dir} has changed since the verdict: its digest is {actual}, the verdict is about {digest}",
                fix=f"regraft run {pipeline}",
            )
        tags = {
            "regraft.run": run_name,
            "regraft.digest": digest,
            "regraft.verdict": str(verdict["outcome"]),
            "regraft.rows": str(verdict["rows"]["digest"]),
            "regraft.schema": str(SCHEMA),
            "regraft.champion": json.dumps(verdict.get("champion"), sort_keys=True),
            "regraft.git": git_sha or "none",
            **{f"regraft.data.{name}": value for name, value in data_hashes.items()},
        }
        last_seq = entries[-1].seq if entries else 0
        tags["regraft.journal"] = journal.key(last_seq + 1)  # where this will stand, as nobody else appends meanwhile
        version = _version(tracker, pipeline, run_id, model_dir, input_example, tags)
        to = {"version": version, "digest": digest}
        journal.append(last_seq, "register", from_=None, to=to, run=run_name, reason=reason or f"verdict {verdict['outcome']}")
        project_held(tracker, pipeline, journal.entries(), lease)
    return version


def _version(tracker: Tracker, pipeline: str, run_id: str, model_dir: Path, example: Sequence[str], tags: Mapping[str, str]) -> str:
    """The version with these tags, made if it is not there."""
    digest = tags["regraft.digest"]
    with tracker.store() as client:
        _ensure_registered_model(client, pipeline)
        for existing in client.search_model_versions(f"name = '{pipeline}' and run_id = '{run_id}'"):
            if existing.tags.get("regraft.digest") == digest:
                return str(existing.version)
        model = _logged_model(client, pipeline, run_id, model_dir, example, digest)
        root = tracker.fetch(model.artifact_location, tracker.workspace.scratch / "models" / pipeline / digest)
        artifact.verify(
            root, digest, f"the logged model of '{pipeline}'", f"regraft run {pipeline}"
        )  # MLflow marks a version READY without looking
        created = client.create_model_version(pipeline, model.model_uri, run_id, dict(tags), model_id=model.model_id)
    return str(created.version)


def _ensure_registered_model(client: MlflowClient, pipeline: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(pipeline, description=f"Kept trained by regraft, from pipelines/{pipeline}.yaml")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model(client: MlflowClient, pipeline: str, run_id: str, folder: Path, example: Sequence[str], digest: str) -> LoggedModel:
    """The run's logged model with this digest, ready. One that a kill left half-written is written again in place."""
    from mlflow.entities import LoggedModelStatus
    from mlflow.models import Model

    experiment = client.get_run(run_id).info.experiment_id
    existing = client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND tags.`regraft.digest` = '{digest}'")
    model = existing[0] if existing else client.create_logged_model(experiment, pipeline, run_id, {"regraft.digest": digest})
    if model.status == LoggedModelStatus.READY:
        return model
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model"
        description = Model(
            artifact_path=model.artifact_location,
            run_id=run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
            metadata={"regraft": artifact.manifest(folder)},
        )
        artifact.save(description, _without_links(folder, Path(temporary)), example, path)
        client.log_model_artifacts(model.model_id, str(path))
    return client.finalize_logged_model(model.model_id, "READY")


def _without_links(folder: Path, into: Path) -> Path:
    """``folder``, or a copy of it below ``into`` where its files are symbolic links, as DVC's ``cache.type = symlink`` makes them.

    MLflow takes a link out of the folder that it is given for an escape, and refuses it.
    """
    if not any(path.is_symlink() for path in folder.rglob("*")):
        return folder
    return Path(shutil.copytree(folder, into / "linked" / folder.name))  # of the same name: the manifest has it


def registered(entries: Sequence[Entry], pipeline: str, version: str) -> Entry:
    """The entry by which a version was registered."""
    for entry in entries:
        if entry.action == "register" and entry.to and entry.to["version"] == version:
            return entry
    known = ", ".join(e.to["version"] for e in entries if e.action == "register" and e.to) or "none"
    raise ConfigError(f"'{pipeline}' has no registered version {version}; registered: {known}", fix=f"regraft status {pipeline}")


def model_location(tracker: Tracker, pipeline: str, version: str) -> Path | None:
    """Where the files of a version lie, or lay before they were freed, if that is on this machine; None: it is not."""
    with tracker.store() as client:
        uri = client.get_model_version_download_uri(pipeline, version)
    return tracker.fetch(uri, Path()) if uri.startswith("file://") else None


def model_root(tracker: Tracker, pipeline: str, version: str) -> Path:
    """The folder that ``models:/<pipeline>/<version>`` loads. Not verified; read it only.

    Raises ``EnvironmentFault`` where ``regraft gc`` has freed it.
    """
    with tracker.store() as client:
        freed = client.get_model_version(pipeline, version).tags.get(FREED)
        uri = client.get_model_version_download_uri(pipeline, version)
    if freed:
        message = f"the weights of version {version} of '{pipeline}' were freed by `regraft gc` at {freed}; its evidence is still there"
        raise EnvironmentFault(message, fix=f"regraft history {pipeline}")
    return tracker.fetch(uri, tracker.workspace.scratch / "models" / pipeline / version)


def model_folder(tracker: Tracker, pipeline: str, version: str) -> Path:
    """The classifier folder of a version, its bytes verified against the journal; read it only.

    Raises ``EnvironmentFault`` naming the file and both sha256 where they differ.
    """
    entry = registered(store_of(tracker.workspace).journal(pipeline).entries(), pipeline, version)
    fix = f"regraft rollback {pipeline}, or put the bytes back from a backup"
    return artifact.verify(model_root(tracker, pipeline, version), entry.digest, f"version {version} of '{pipeline}'", fix)
