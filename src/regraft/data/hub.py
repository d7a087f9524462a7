"""Data sets on the Hugging Face hub, pinned to a commit: files in the local cache, fetched where that is needed and allowed.

Files are read as data. No loading script of a data set is ever run, and the library ``datasets`` is not needed.
"""

from __future__ import annotations

import re
from pathlib import Path

from regraft.core import hub
from regraft.core.errors import ConfigError, EnvironmentFault, Problem
from regraft.data.formats import TEXTS, suffix_of
from regraft.data.options import HUB

SHARD = re.compile(r"(.*-)(\d{5})(-of-(\d{5}).*)")
"""``train-00000-of-00003.parquet``: how many there have to be stands in the name."""


def fetch(spec: str) -> Path:
    """The folder or file that ``hub:<owner>/<name>@<revision>[/<file or folder>]`` means, whole.

    :raises ConfigError: the hub has no such data set, revision, file or folder.
    :raises EnvironmentFault: the hub is out of reach and the revision is not in the local cache (``HF_HOME``), or not whole.
    """
    match = HUB.fullmatch(spec)
    assert match, spec  # the pipeline file was checked when it was read
    repo, revision, inside = match["repo"], match["revision"], (match["inside"] or "").rstrip("/")
    place = _snapshot(spec, repo, revision, inside) / inside
    if missing := _missing_shards(place if place.is_dir() else place.parent):
        raise _out_of_reach(spec, repo, revision, f"{missing} is not there")
    return place


def _snapshot(spec: str, repo: str, revision: str, inside: str) -> Path:
    """The cached folder of the revision, with what lies at ``inside``."""
    below = f"{inside}/" if inside else ""
    patterns = [*([inside] if inside else []), *(f"{below}*{suffix}{gz}" for suffix in TEXTS for gz in ("", ".gz"))]

    def whole(folder: Path) -> bool:
        place = folder / inside
        return place.is_file() or any(suffix_of(path) in TEXTS for path in place.rglob("*"))

    try:
        folder, why = hub.snapshot(repo, revision, patterns, whole, kind="dataset")
    except hub.NoSuchRevision:
        raise _unfound(spec, "the hub has no such data set or revision, or your token may not read it", "hf auth login") from None
    if folder:
        return folder
    if (names := _names(repo, revision)) and not any(_meant(name, inside) for name in names):
        fix = f"open https://huggingface.co/datasets/{repo}/tree/{revision} and name a file or folder of it"
        sought, existing = inside or "file that regraft reads", ", ".join(names[:8])
        raise _unfound(spec, f"the data set holds no {sought}; it has {existing}", fix)
    raise _out_of_reach(spec, repo, revision, why or f"the cache has no {inside or 'file of it that regraft reads'}")


def _names(repo: str, revision: str) -> list[str]:
    """The files of the revision, as far as the hub was ever asked for its list; offline this alone tells absent from not fetched."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return sorted(entry.path for entry in get_cached_repo_tree(repo, repo_type="dataset", revision=revision))
    except CachedRepoTreeNotFoundError:
        return []


def _meant(name: str, inside: str) -> bool:
    below = not inside or name.startswith(f"{inside}/")
    return name == inside or (below and suffix_of(Path(name)) in TEXTS)


def _unfound(spec: str, what: str, fix: str) -> ConfigError:
    message = f"{spec}: {what}"
    return ConfigError(message, fix=fix, problems=[Problem(message=message, file=spec, value=spec, rule="hub", fix=fix)])


def _out_of_reach(spec: str, repo: str, revision: str, why: str) -> EnvironmentFault:
    message = f"{spec} is not in the local cache, or not whole, and cannot be fetched ({why})"
    fix = f"on a machine with a network: hf download --repo-type dataset {repo} --revision {revision}; then copy HF_HOME here"
    return EnvironmentFault(message, fix=fix, problems=[Problem(message=message, file=spec, value=spec, rule="hub", fix=fix)])


def _missing_shards(folder: Path) -> str | None:
    """A file that the names of its neighbours promise: a killed download leaves some of them, and offline nothing else tells.

    None: every promised file is there.
    """
    for path in sorted(folder.rglob("*-of-*")):
        if shard := SHARD.fullmatch(path.name):
            names = [f"{shard[1]}{number:05d}{shard[3]}" for number in range(int(shard[4]))]
            if missing := [name for name in names if not (path.parent / name).is_file()]:
                return missing[0]
    return None
