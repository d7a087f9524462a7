"""Where a pipeline's labelled rows lie, who may change them now, and how a new version of them takes the old one's place.

A version is prepared whole (:mod:`regraft.data.handoff.history`), its bytes go into DVC's cache, then the data change in one step of the
file system; DVC's pointer, git's commit and the push follow. A process that is killed leaves the old version or the new one: whoever comes
next finishes what follows, or removes what was prepared.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import load_pipeline
from regraft.core import files, lock
from regraft.core.errors import ConfigError, Conflict, EnvironmentFault, RegraftError
from regraft.core.git import TRUSTING
from regraft.core.workspace import Workspace
from regraft.data.contract import Contract, default_contract
from regraft.data.contract_file import DropQuality, load_contract, load_drop_rules
from regraft.data.expectations import Tokens
from regraft.data.handoff import edition
from regraft.data.handoff.edition import Place
from regraft.data.handoff.history import History, Version
from regraft.data.options import TaskOptions
from regraft.execution import dvc, dvc_formats
from regraft.models.base_model import locate
from regraft.models.tokenizer import token_counter
from regraft.production import purge
from regraft.registry.journal import whoami

WAIT_SECONDS = 600.0
"""A handoff waits so long for one that is at work: a million rows take a minute and a half."""


@dataclass
class DataStore:
    """The labelled rows of one pipeline and their versions."""

    workspace: Workspace
    pipeline: str
    options: PipelineOptions
    place: Place
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, workspace: Workspace, pipeline: str) -> DataStore:
        """The rows that ``data.labelled`` of the pipeline file names; ConfigError where that is not one file or folder of the workspace."""
        options = load_pipeline(workspace, pipeline)
        paths = options.data.labelled
        if not isinstance(paths, str) or paths.startswith("hub:"):
            what = "a data set on a hub" if isinstance(paths, str) else "several paths"
            message = f"{pipeline}: data.labelled names {what}, so there is no one place where rows are handed in to"
            raise ConfigError(message, fix="put the rows into one file or folder, and name it as data.labelled")
        return cls(workspace, pipeline, options, Place(workspace.root / paths, paths, options.data.tsv_quoted))

    @property
    def task(self) -> TaskOptions:
        return self.options.task

    @property
    def folder(self) -> Path:
        """What is kept of versions, drops and quarantines."""
        return self.workspace.state / "data" / self.pipeline

    @property
    def history(self) -> History:
        return History(self.folder)

    @property
    def contract_file(self) -> Path:
        return self.workspace.root / (self.options.data.contract or f"pipelines/{self.pipeline}.contract.yaml")

    def contract(self) -> Contract:
        """What a row has to look like, as the run checks it."""
        written = load_contract(self.contract_file) if self.contract_file.is_file() else default_contract(self.task)
        contract = Contract.model_validate(written).for_task(self.task)
        return contract.with_split(self.options.data.split).with_order(self.options.split.by)

    def tokens(self, contract: Contract) -> Tokens | None:
        """What counts the tokens that ``contract`` asks about; None: it asks about none."""
        return token_counter(locate(self.options.base_model, self.workspace.root)) if contract.counts_tokens else None

    def drop_rules(self) -> list[DropQuality]:
        """What a drop has to look like."""
        return load_drop_rules(self.contract_file) if self.contract_file.is_file() else []

    @contextlib.contextmanager
    def lease(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the data alone, what a killed process left settled; :class:`Conflict` says who holds them."""
        handle = lock.open_lock(self.workspace.scratch / "locks" / f"{self.pipeline}.data.lock")
        try:
            if not lock.try_take(handle):
                self._wait(handle, WAIT_SECONDS if wait else 0.0)
            lock.sign(handle)
            edition.discard(self.staged)
            for version in self.history.settle(self.place.digest()):
                self.warnings.append(f"version {version.number} was cut short before it was written down; that is done now")
                self._conclude(version, commit=True)
            if purged := purge.finish(self.workspace, self.history):
                open_ = "".join(f"; {remote} still has them ({why})" for remote, why in purged.failed.items())
                self.warnings.append(f"rows were forgotten, and not all of their bytes were gone; they are now{open_}")
            yield
        finally:
            os.close(handle)

    def _wait(self, handle: int, seconds: float) -> None:
        """Wait until whoever holds the data has done, and say so; :class:`Conflict` where that takes longer than ``seconds``."""
        says = "the data of {!r} are being changed by process {}".format
        if seconds:
            sys.stderr.write(f"{says(self.pipeline, lock.holder(handle) or 'unknown')}; waiting for it\n")
            sys.stderr.flush()
        if not lock.take_within(handle, seconds):
            holder = lock.holder(handle) or "unknown"  # not who held them before, if others were faster
            raise Conflict(says(self.pipeline, holder), fix=f"ps -p {holder}")

    @property
    def staged(self) -> Path:
        """Where an edition is made."""
        return self.place.path.parent / f".{self.place.path.name}{edition.NEW}"

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that goes with the process."""
        home = self.workspace.scratch / "handoff"
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as folder:
            yield Path(folder)

    def found(self) -> Version | None:
        """The version that the data are now, made of them where they were never handed in, or were changed since; None: there are none."""
        digest = self.place.digest()
        if digest is None:
            return None
        if head := self.history.head(digest):
            return head
        dvc.ensure_repository(self.workspace)
        earlier = self.history.versions()
        summary = "changed by hand since the last version" if earlier else "as it was before the first drop"
        rows = sum(1 for _ in self.place.rows())
        version = Version(
            self.history.next_number(),
            earlier[-1].number if earlier else None,
            "found", now(), whoami(), summary, self._data(self.place.path, digest, rows),
        )  # fmt: skip
        with self.scratch() as folder:
            (folder / "version").mkdir()
            self.history.prepare(version, folder / "version")
        self.history.publish(version)
        return version

    def _data(self, path: Path, digest: str, rows: int) -> dict[str, Any]:
        kept = dvc_formats.keep(dvc_formats.cache_folder(self.workspace), path)
        return {"path": self.place.shown, "digest": digest, "rows": rows, "dvc": kept}

    def change(self, version: Version, rows: int, staged: Path | None, attachments: Path, *, commit: bool) -> Version:
        """Make ``staged`` the data, as ``version``; None: the data stay as they are, and may not be there yet."""
        dvc.ensure_repository(self.workspace)
        path = staged or self.place.path
        there = path.exists()
        data = self._data(path, files.digest(path), rows) if there else {"path": self.place.shown, "digest": None, "rows": 0, "dvc": {}}
        version = replace(version, data=data)
        self.history.prepare(version, attachments)
        if staged is not None:
            edition.put(staged, self.place.path)
        return self._conclude(version, commit=commit)

    def _conclude(self, version: Version, *, commit: bool) -> Version:
        """What follows once the data have changed. Whatever fails of it is said, and takes nothing back."""
        made: str | None = None
        try:
            paths = self._pointer()
            made = self._commit(version, paths) if commit else None
            self._push(paths)
        except RegraftError as error:
            self.warnings.append(f"the data are version {version.number}, but: {error}; next: {error.fix or error.usual_fix}")
        version = replace(version, commit=made)
        self.history.publish(version)
        return version

    # --- DVC ---------------------------------------------------------------------------------------------------------

    def _pointer(self) -> list[Path]:
        """Bring DVC's pointer in step with the data; the files of it that belong into git, the data themselves where git has them."""
        root, path = self.workspace.root, self.place.path
        if not path.is_relative_to(root) or not path.exists():
            return []
        if self.in_git():
            return [path]
        up = [path, *path.parents][: len(path.relative_to(root).parts)]
        tracked = next((place for place in up if place.with_name(f"{place.name}.dvc").is_file()), up[-1])
        ignore = tracked.parent / ".gitignore"
        before = ignore.read_bytes() if ignore.is_file() else None
        dvc.ask(self.workspace, "add", "-q", self.workspace.relative(tracked))
        changed = [ignore] if ignore.is_file() and ignore.read_bytes() != before else []
        return [tracked.with_name(f"{tracked.name}.dvc"), *changed]

    def in_git(self) -> bool:
        """Whether git itself has the data, not DVC."""
        return self._git("ls-files", "--error-unmatch", "--", str(self.place.path)) is not None

    def _push(self, paths: list[Path]) -> None:
        pointers = [self.workspace.relative(path) for path in paths if path.suffix == ".dvc"]
        if pointers and dvc_formats.default_remote(self.workspace):
            dvc.ask(self.workspace, "push", "-q", *pointers)

    # --- git ---------------------------------------------------------------------------------------------------------

    def _commit(self, version: Version, paths: list[Path]) -> str | None:
        """Commit ``paths`` and nothing else; None without git, or where they did not change."""
        names = [self.workspace.relative(path) for path in paths]
        if not names or self._git("rev-parse", "--git-dir") is None:
            return None
        ignored = [name for name in names if self._git("check-ignore", "-q", "--", name) is not None]
        if ignored:
            raise ConfigError(f"git ignores {', '.join(ignored)}, so this version is in no commit", fix="git check-ignore -v " + ignored[0])
        if self._git("add", "--", *names) is None or not self._git("status", "--porcelain", "--", *names):
            return None
        done = subprocess.run(
            ["git", *TRUSTING, "commit", "-q", "--only", "-F", "-", "--", *names],
            cwd=self.workspace.root, input=message(version, self.pipeline), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            again = shlex.join(["git", "commit", "--only", "-m", f"data({self.pipeline}): {version.summary}", "--", *names])
            if "tell me who you are" in done.stderr:
                fix = f"git config user.name 'YOUR NAME' && git config user.email YOUR_ADDRESS && {again}"
                raise EnvironmentFault("git did not commit it, as it does not know who you are", fix=fix)
            why = " ".join((done.stderr or done.stdout).split())[:200]
            raise EnvironmentFault(f"git did not commit it: {why}", fix=again)
        return (self._git("rev-parse", "HEAD") or "").strip() or None

    def _git(self, *argv: str) -> str | None:
        """What git prints; None where it fails or is not there."""
        try:
            done = subprocess.run(["git", *TRUSTING, *argv], cwd=self.workspace.root, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout if done.returncode == 0 else None

    # --- bytes of earlier versions -----------------------------------------------------------------------------------

    def restored(self, version: Version, folder: Path) -> Place:
        """The data of ``version``, written into ``folder`` under the name they had then, which says their format.

        :raises EnvironmentFault: its bytes are nowhere.
        """
        if version.purged is not None:
            message = f"version {version.number} has rows that were forgotten in version {version.purged}, so its bytes are gone"
            raise EnvironmentFault(message, fix=f"regraft data log {self.pipeline}")
        if version.data["digest"] is None:
            message = f"in version {version.number} {self.pipeline} had no data yet"
            raise EnvironmentFault(message, fix=f"regraft data log {self.pipeline}")
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(folder / Path(version.data["path"]).name, version.data["path"], self.place.tsv_quoted)
        self._write(version, place.path)
        return place

    def _write(self, version: Version, target: Path) -> None:
        cache, kept = dvc_formats.cache_folder(self.workspace), version.data["dvc"]
        if "nfiles" not in kept:
            shutil.copyfile(self._object(cache, kept["md5"], version), target)
            return
        self._object(cache, kept["md5"], version)
        for name, md5 in (dvc_formats.listing(cache, kept["md5"]) or {}).items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._object(cache, md5, version), target / name)

    def _object(self, cache: Path, md5: str, version: Version) -> Path:
        path = dvc_formats.object_path(cache, md5)
        if not path.is_file() and dvc_formats.default_remote(self.workspace):
            _fetch(self.workspace, md5)
        if not path.is_file():
            message = f"the bytes of version {version.number} of {self.pipeline}'s data are neither in DVC's cache nor in a remote"
            raise EnvironmentFault(message, fix="dvc remote list, and add the one that has them")
        return path


def _fetch(workspace: Workspace, md5: str) -> None:
    """One object from the remote; nothing where it is not there."""
    code = (
        "import sys; from dvc.repo import Repo; from dvc_data.hashfile.hash_info import HashInfo; "
        "Repo('.').cloud.pull([HashInfo('md5', sys.argv[1])])"
    )
    argv = [*dvc.command()[:1], "-c", code, md5]
    subprocess.run(argv, cwd=workspace.root, env=dvc.environment(), capture_output=True, text=True, check=False)


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def message(version: Version, pipeline: str) -> str:
    """Of a commit: what changed, from what, by whom."""
    lines = [f"data({pipeline}): {version.summary}", "", f"Version {version.number} of the data of {pipeline}, by {version.by}."]
    if version.source:
        lines.append(f"From {version.source}" + (f" (sha256 {version.drop[:12]})." if version.drop else "."))
    if version.counts:
        counts = version.counts
        lines.append(f"Read {counts['read']:,}, accepted {counts['accepted']:,}, quarantined {counts['quarantined']:,}.")
    lines += [f"{item['from']} -> {item['to']}: {item['rows']:,}" for item in version.diff.get("relabellings", [])]
    if version.reason:
        lines.append(f"Reason: {version.reason}")
    return "\n".join(lines) + "\n"
