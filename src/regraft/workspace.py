"""The workspace: one folder with ``dvc.yaml`` and ``pipelines/``, and the only place that imports from it.

Everything regraft writes lies in ``artifacts/`` (DVC's), ``state/`` (durable: what production rests on) or
``.regraft/`` (deletable).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regraft import files
from regraft.errors import ConfigError

if TYPE_CHECKING:
    from regraft.step import Step


class Compositions(Protocol):
    """What a workspace's ``pipelines`` package offers."""

    STEPS: tuple[Step[Any], ...]


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace. Creating it touches nothing."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """``REGRAFT_WORKSPACE``, or the nearest folder upwards with dvc.yaml and pipelines/."""
        if named := os.environ.get("REGRAFT_WORKSPACE"):
            candidates = [Path(named).resolve()]
        else:
            here = (start or Path.cwd()).resolve()
            candidates = [here, *here.parents]
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

    def latest_file(self, pipeline: str) -> Path:
        """What the last finished run of a pipeline decided: the no-op path reads it instead of MLflow."""
        return self.state / "latest" / f"{pipeline}.json"

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

    @cached_property
    def steps(self) -> tuple[Step[Any], ...]:
        """The composition, imported from the workspace's own ``pipelines`` package."""
        if str(self.root) not in sys.path:
            # Last, not first: the folder `mlflow/` in the root must not come before the library.
            sys.path.append(str(self.root))
        import pipelines

        if Path(pipelines.__file__ or "").resolve().parent != (self.root / "pipelines").resolve():
            raise ConfigError(f"the package 'pipelines' comes from {pipelines.__file__}, not from {self.root}")
        return tuple(pipelines.STEPS)

    def steps_in(self, resolved: Mapping[str, Any]) -> tuple[Step[Any], ...]:
        """The steps that a pipeline has, from the content of its resolved file."""
        return tuple(step for step in self.steps if step.name in resolved)

    def step(self, name: str) -> Step[Any]:
        """The step called ``name``."""
        from regraft.resolve import unknown

        found = {step.name: step for step in self.steps}
        if name not in found:
            raise ConfigError(unknown("step", name, found), fix="regraft status")
        return found[name]


def git_state(root: Path) -> dict[str, Any]:
    """``{sha, dirty}`` of the workspace; sha is None without git. A changed dvc.lock is not dirt."""

    def git(*argv: str) -> str | None:
        try:
            done = subprocess.run(["git", *argv], cwd=root, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    sha = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock") if sha else None
    return {"sha": sha.strip() if sha else None, "dirty": bool(changes)}
