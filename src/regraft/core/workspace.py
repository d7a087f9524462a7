"""The workspace: one folder with ``dvc.yaml`` and ``pipelines/``, known by its paths alone.

Everything regraft writes lies in ``artifacts/`` (DVC's), ``state/`` (durable: what production rests on) or
``.regraft/`` (deletable).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import ConfigError


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace. Creating it touches nothing."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """``REGRAFT_WORKSPACE``, or the nearest folder upwards with dvc.yaml and pipelines/."""
        if configured := os.environ.get("REGRAFT_WORKSPACE"):
            candidates = [Path(configured).resolve()]
        else:
            innermost = (start or Path.cwd()).resolve()
            candidates = [innermost, *innermost.parents]
        for folder in candidates:
            if (folder / "dvc.yaml").is_file() and (folder / "pipelines").is_dir():
                return cls(folder)
        raise ConfigError(
            f"{candidates[0]} is not inside a regraft workspace (a folder with dvc.yaml and pipelines/)",
            fix="regraft init my-workspace && cd my-workspace",
        )

    @property
    def state(self) -> Path:
        return Path(os.environ.get("REGRAFT_STATE") or self.root / "state").resolve()

    @property
    def scratch(self) -> Path:
        return self.root / ".regraft"

    def artifacts(self, pipeline: str, step: str) -> Path:
        return self.root / "artifacts" / pipeline / step

    def checkpoints(self, pipeline: str, step: str, fingerprint: str) -> Path:
        return self.scratch / "checkpoints" / pipeline / step / fingerprint

    def pipeline_file(self, name: str) -> Path:
        return self.root / "pipelines" / f"{name}.yaml"

    def resolved_file(self, name: str) -> Path:
        return self.root / "pipelines" / "resolved" / f"{name}.yaml"

    def log_file(self, run: str) -> Path:
        return self.scratch / "logs" / f"{run}.log"

    def error_file(self, invocation: str) -> Path:
        return self.scratch / "errors" / f"{invocation}.json"

    def mlflow_run_file(self, run: str) -> Path:
        """The id of a run in MLflow, written once it has one; a step may start before."""
        return self.scratch / "invocations" / f"{run}.mlflow.json"

    def relative(self, path: Path) -> str:
        """``path`` as people type it: relative to the root where it lies below it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def invocation(self) -> dict[str, Any]:
        """What the parent of this process said about the run (``.regraft/invocations/<id>.json``)."""
        name = os.environ.get("REGRAFT_INVOCATION", "")
        path = self.scratch / "invocations" / f"{name}.json"
        return dict(files.read_json(path)) if name and path.is_file() else {}

    @cached_property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the pipeline files. Dotted names (``demo.contract``) are not pipelines."""
        return tuple(sorted(p.stem for p in (self.root / "pipelines").glob("*.yaml") if "." not in p.stem))

    @cached_property
    def documents(self) -> dict[Path, tuple[Any, ...]]:
        """Pipeline files that were read, with what they were like then: a command asks for its own several times."""
        return {}
