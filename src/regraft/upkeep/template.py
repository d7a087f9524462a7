"""A workspace starts as a copy of the reference workspace and from then on belongs to its team.

The reference workspace is this repository; the wheel carries the same files in ``regraft/_workspace/``. ``init``
stamps the copy with the sha256 of everything it wrote, so that later three states can be distinguished for every
file: as it was written, changed by its owners, left behind by a newer library.

Pipeline files, their resolved twins and ``dvc.yaml`` are not stamped: the first are there to be edited, the others
are generated, and ``regraft dvc --check`` watches over them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from regraft import __version__
from regraft.core import files, git
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.quantities import first_of
from regraft.core.workspace import Workspace
from regraft.execution import dvc

STAMP = ".regraft-template"
STAMP_SCHEMA = 1
FOLDERS = ("flows", "tasks", "pipelines", "mlflow")
PIPELINES = ("demo", "own")
"""The pipelines a new workspace starts with. Others in pipelines/ of a checkout are somebody's own."""
WELCOME = frozenset({".git", ".gitignore", ".gitattributes", ".venv", "README.md", "LICENSE"})
"""What may already lie in the target: a fresh clone of an empty repository, and a virtual environment."""

GITIGNORE = """\
.venv/
__pycache__/
# What the steps write, which DVC keeps; what production rests on; what can be deleted.
/artifacts/
/state/
/.regraft/
# DVC owns the data: commit data.dvc.
/data/
"""
DVCIGNORE = """\
# DVC looks for its files in every folder that is not named here.
.venv
.regraft
state
__pycache__
"""
README = """\
# A regraft workspace

Models that are trained again as their data changes, and what they have to prove before they go to
production. Everything in this folder is yours.

```sh
regraft new NAME --data rows.csv   # a pipeline for labelled rows of your own
regraft plan NAME                  # what a run would do, and why
regraft run NAME                   # do it: train, decide on held-out rows, register, promote
regraft report NAME --open         # the result as a page
regraft run demo                   # the example: which library does a sentence of documentation belong to?
```

| | |
|---|---|
| `pipelines/` | a file a pipeline, and a contract of its data; `resolved/` is generated |
| `tasks/`, `flows/` | the steps, and the order in which they run |
| `data/` | what is read; `dvc add data` records it |
| `artifacts/`, `state/`, `.regraft/` | what steps wrote; champions and their evidence; what can be deleted |

Commit everything that git does not ignore. Versions: `regraft --version`; after an update of the library: `regraft init --upgrade .`
"""


def source() -> Path:
    """The reference workspace: inside the wheel, or the checkout that the library is imported from."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_workspace", package.parents[1]):
        if (folder / "dvc.yaml").is_file() and (folder / "pipelines").is_dir():
            return folder
    raise EnvironmentFault(f"this installation of regraft has no workspace files in {package}", fix="pip install --force-reinstall regraft")


def template() -> dict[str, bytes]:
    """``{relative path: bytes}`` of a new workspace, without the stamp and what ``dvc init`` adds."""
    root = source()
    paths = [path.relative_to(root) for folder in FOLDERS for path in files.walk(root / folder)]
    content = {path.as_posix(): (root / path).read_bytes() for path in paths if _public(path)}
    content["dvc.yaml"] = _stages((root / "dvc.yaml").read_bytes())
    content[".gitignore"] = GITIGNORE.encode()
    content[".dvcignore"] = DVCIGNORE.encode()
    content["README.md"] = README.encode()
    return dict(sorted(content.items()))


def _public(path: Path) -> bool:
    if any(part.startswith(".") or part == "__pycache__" for part in path.parts):
        return False
    own = path.parts[0] == "pipelines" and path.suffix in (".yaml", ".yml")
    return not own or path.name.split(".")[0] in PIPELINES or ".example." in path.name


def _stages(text: bytes) -> bytes:
    """dvc.yaml without pipelines that do not come along; byte for byte the same where all of them do."""
    value = yaml.safe_load(text) or {}
    stages = value.get("stages", {})
    if all(name in PIPELINES for stage in stages.values() for name in stage["foreach"]):
        return text
    for stage in stages.values():
        stage["foreach"] = {name: item for name, item in stage["foreach"].items() if name in PIPELINES}
    return (dvc.HEADER + yaml.safe_dump(value, sort_keys=False, width=10_000, default_flow_style=False)).encode()


@dataclass(frozen=True)
class Stamp:
    """What a workspace was in step with."""

    version: str
    """Version of the library."""
    files: dict[str, str]
    """Path -> sha256 as the library wrote it."""


def stamped(content: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 of the files whose drift is worth knowing: the code and the servers' configuration."""
    return {
        path: hashlib.sha256(data).hexdigest()
        for path, data in content.items()
        if path.startswith(FOLDERS) and not (path.startswith("pipelines/") and path.endswith((".yaml", ".yml")))
    }


def without_git(target: Path) -> str | None:
    """Why a workspace at ``target`` gets no git repository of its own, in words; None: it gets one."""
    if (target / ".git").exists():
        return "it is one already"
    if not git.installed():
        return "git is not installed, so runs will not know which version of the code they were of"
    if outer := next((folder for folder in target.absolute().parents if (folder / ".git").exists()), None):
        return f"it lies in the one of {outer}, so DVC works without git here; for one of its own start outside of that"
    return None


def init(target: Path) -> list[str]:
    """Write a workspace into ``target``, a git repository where :func:`without_git` has nothing against it; returns its files' paths.

    A target that does not exist appears whole, by one rename. Into an existing one the entries are moved one by
    one, dvc.yaml last: without it the folder is no workspace. A target that holds anything but
    :data:`WELCOME` is a :class:`ConfigError` and stays as it is.
    """
    target = target.absolute()
    _refuse_occupied(target)
    content = template()
    try:
        # Inside an existing target: its parent may be read-only, or another file system.
        parent = target if target.exists() else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".regraft-init-", dir=parent))
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
    try:
        for path, data in content.items():
            files.write_bytes(stage / path, data)
        write_stamp(stage, stamped(content))
        if not (target / ".git").exists():
            if without_git(target) is None:
                git.init(stage)
            dvc.ensure_repository(Workspace(stage))
        _publish(stage, target)
    except OSError as error:
        message = f"{target} could not be filled: {error.strerror}; nothing was left behind"
        raise EnvironmentFault(message, fix=f"df -h {target.parent}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    dvc.ensure_repository(Workspace(target))  # in a git repository DVC wants to be initialised beside .git
    return [*content, STAMP]


def _refuse_occupied(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file", fix="regraft init another-folder")
    if not target.exists():
        return
    if (target / "dvc.yaml").is_file() and (target / "pipelines").is_dir():
        raise ConfigError(f"{target} already is a workspace", fix="regraft doctor")
    occupants = sorted(path.name for path in target.iterdir() if path.name not in WELCOME)
    if occupants:
        message = f"{target} is not empty ({first_of(occupants)}); a workspace starts in a folder of its own"
        raise ConfigError(message, fix="regraft init another-folder")


def _publish(stage: Path, target: Path) -> None:
    if not target.exists():
        stage.chmod(0o755)  # mkdtemp gives 0700
        stage.rename(target)
        files.sync_folder(target.parent)
        return
    moved: list[Path] = []
    try:
        for entry in sorted(stage.iterdir(), key=lambda path: (path.name == "dvc.yaml", path.name == ".gitignore")):
            place = target / entry.name
            if entry.name == "README.md" and place.exists():
                continue
            if entry.name == ".gitignore" and place.exists():
                files.write_bytes(place, place.read_bytes().rstrip(b"\n") + b"\n" + entry.read_bytes())
                continue
            os.rename(entry, place)
            moved.append(place)
    except BaseException:
        for place in moved:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        raise
    files.sync_folder(target)


@dataclass(frozen=True)
class Drift:
    """One file of a workspace that is not what the installed library's template says."""

    path: str
    by: Literal["you", "library", "both", "unknown"]
    """Who moved: the workspace's owners, the library's template, both; unknown without a stamp."""

    def __str__(self) -> str:
        return f"{self.path}: {_SAID[self.by]}"


_SAID = {
    "you": "you changed it",
    "library": "the library's template moved on",
    "both": "you changed it, and the library's template moved on",
    "unknown": "differs from the library's template",
}


def drift(root: Path) -> list[Drift]:
    """Files of the workspace ``root`` that differ from the installed template, by path.

    Files that only the workspace has are its own business. A damaged stamp is a :class:`ConfigError`.
    """
    if root.resolve() == source():
        return []
    stamp = read_stamp(root)
    current, former = stamped(template()), stamp.files if stamp else None
    drifts = []
    for path in sorted(current.keys() | (former or {}).keys()):
        actual = files.sha256_file(root / path) if (root / path).is_file() else None
        offered = current.get(path)
        if actual == offered:
            continue
        if former is None:
            drifts.append(Drift(path, "unknown"))
        elif actual == former.get(path):
            drifts.append(Drift(path, "library"))
        else:
            drifts.append(Drift(path, "you" if offered == former.get(path) else "both"))
    return drifts


def write_stamp(root: Path, written: Mapping[str, str]) -> None:
    """Note that ``root`` holds ``written`` of this version's template."""
    files.write_json(root / STAMP, {"schema": STAMP_SCHEMA, "version": __version__, "files": dict(sorted(written.items()))})


def read_stamp(root: Path) -> Stamp | None:
    """The stamp of a workspace; None where there is none, as in this repository."""
    path = root / STAMP
    if not path.is_file():
        return None
    try:
        stored = files.read_json(path)
        return Stamp(str(stored["version"]), dict(stored["files"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is damaged", fix=f"rm {STAMP}") from None
