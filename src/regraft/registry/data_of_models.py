"""Which models were trained on which data: registration writes the digests of what a run read as tags of the version."""

from __future__ import annotations

from collections import defaultdict

from regraft.registry.tracking import Tracker

TAG = "regraft.data.labelled"


def models_by_data(tracker: Tracker, pipeline: str) -> dict[str, list[str]]:
    """Digest of the labelled data -> versions of ``pipeline`` that were trained on them, oldest first."""
    models: defaultdict[str, list[str]] = defaultdict(list)
    with tracker.store() as client:
        versions = client.search_model_versions(f"name = '{pipeline}'")
    for version in sorted(versions, key=lambda version: int(version.version)):
        if digest := version.tags.get(TAG):
            models[digest].append(f"{pipeline}/{version.version}")
    return dict(models)
