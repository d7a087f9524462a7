"""Text that lies beside a registered model and outside what its digest covers: the model card."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.registry import database
from regraft.registry.tracking import Tracker

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def put_beside(tracker: Tracker, pipeline: str, version: str, texts: Mapping[str, str], description: str) -> None:
    """Write ``{file name: text}`` beside the model of ``version``, and ``description`` into the registry. Repeatable."""
    with tempfile.TemporaryDirectory() as folder, tracker.store() as client:
        for name, text in texts.items():
            files.write_text(Path(folder) / name, text)
        client.log_model_artifacts(_model_id(client, pipeline, version), folder)
        client.update_model_version(pipeline, version, description)


def read_beside(tracker: Tracker, pipeline: str, version: str, name: str) -> str | None:
    """The text ``name`` beside the model of ``version``; None where there is none. The weights are not fetched."""
    with tracker.store() as client:
        if name not in {item.path for item in client.list_logged_model_artifacts(_model_id(client, pipeline, version))}:
            return None
        uri = client.get_model_version_download_uri(pipeline, version)
    path = tracker.fetch(f"{uri}/{name}", tracker.workspace.scratch / "downloads" / pipeline / version)
    return path.read_text(encoding="utf8")


def _model_id(client: MlflowClient, pipeline: str, version: str) -> str:
    """The id of the logged model behind a version. EnvironmentFault where the version has none."""
    source = str(client.get_model_version(pipeline, version).source)
    model = database.logged_model(source)
    if model is None:
        raise EnvironmentFault(f"version {version} of '{pipeline}' has the source {source}, which regraft did not write")
    return model
