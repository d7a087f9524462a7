"""The demo's data: ``python -m regraft.upkeep.demo data/demo``.

Sixteen installed libraries describe themselves in docstrings. 200 first sentences of each, with its own name masked,
become the labelled task *which library does this sentence belong to*; the other docstrings are the corpus. What
every library version should give stands, as sha256, in ``demo_data/manifest.json``; a folder knows what it was built of in
``manifest.json`` beside the data, so that building again does nothing and edited rows are never overwritten.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault, RegraftError
from regraft.core.quantities import size
from regraft.upkeep.demo_data.libraries import Share, candidates, read, versions

SCHEMA = 1
KIND = "regraft demo"
MANIFEST = "manifest.json"
REFERENCE = Path(__file__).parent / "demo_data" / MANIFEST
"""What every library version should give, and the sentences that several libraries share."""
ROWS = "labelled/rows.jsonl"
READING = "reading the docstrings of 16 installed libraries ..."

State = Literal["absent", "current", "stale", "edited"]


def verified(folder: Path) -> bool | None:
    """Whether ``folder`` holds exactly the data that this regraft's demo was measured on; None: it is no demo folder."""
    manifest = _manifest(folder)
    if manifest is None:
        return None
    return bool(manifest["verified"]) and manifest["reference"] == files.sha256_file(REFERENCE) and not _changed(folder, manifest)


def state(folder: Path) -> State:
    """What there is to do: nothing (current, edited) or to build (absent, stale).

    :raises ConfigError: the folder holds something else.
    :raises EnvironmentFault: a library is not installed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return "absent"
    manifest = _manifest(folder)
    if manifest is None:
        raise ConfigError(f"{folder} is there and is no demo folder (no {MANIFEST} of the demo in it)", fix="name another folder")
    changed = _changed(folder, manifest)
    if any((folder / name).exists() for name in changed):
        return "edited"
    built = {library: facts["version"] for library, facts in manifest["libraries"].items()}
    current = not changed and built == versions() and manifest["reference"] == files.sha256_file(REFERENCE)
    return "current" if current else "stale"


def build(folder: Path) -> dict[str, Any]:
    """Write the demo's data into ``folder``, replacing it whole, and return its manifest.

    :raises EnvironmentFault: a library is not installed.
    """
    shares = read_all()
    manifest = describe(shares)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name, data in contents(shares).items():
        files.write_bytes(partial / name, data)
    files.write_json(partial / MANIFEST, manifest)
    former = folder.with_name(f".{folder.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists():
        folder.rename(former)
    partial.rename(folder)
    files.sync_folder(folder.parent)
    shutil.rmtree(former, ignore_errors=True)
    return manifest


def read_all() -> list[Share]:
    """Every library's share, in the order of their names. 22 s of CPU, nearly all of it in ``ast.parse``."""
    installed = dict(sorted(versions().items()))
    recurring = frozenset(files.read_json(REFERENCE)["recurring"])
    with _workers() as pool:
        return list(pool.map(read, installed, installed.values(), repeat(recurring)))


def _workers() -> ProcessPoolExecutor:
    """Two processes that leave Ctrl-C to their parent."""
    workers = min(2, os.cpu_count() or 1)
    return ProcessPoolExecutor(workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))


def contents(shares: Sequence[Share]) -> dict[str, bytes]:
    """``{relative path: bytes}``: the rows of all libraries sorted by id, and one corpus file a library."""
    rows = sorted(line for share in shares for line in share.rows.splitlines(keepends=True))  # a line starts with its id
    return {ROWS: b"".join(rows), **{f"corpus/{share.library}.jsonl": share.corpus for share in shares}}


def describe(shares: Sequence[Share]) -> dict[str, Any]:
    """The manifest of a build: what it was made of, and how that differs from the reference."""
    expected: Mapping[str, Any] = files.read_json(REFERENCE)["libraries"]
    differs = {}
    for share in shares:
        facts, known = share.facts(), expected.get(share.library, {})
        if facts != known:
            same = facts["version"] == known.get("version")
            differs[share.library] = "same version, other text" if same else f"{facts['version']}, not {known.get('version')}"
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "reference": files.sha256_file(REFERENCE),
        "verified": not differs,
        "differs": differs,
        "libraries": {share.library: share.facts() for share in shares},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents(shares).items()},
    }


def update_reference() -> None:
    """For maintainers, after the lock or the rules changed: take what is installed as the reference."""
    with _workers() as pool:
        counts = Counter(chain.from_iterable(pool.map(candidates, sorted(versions()))))
    reference = {"schema": SCHEMA, "libraries": {}, "recurring": sorted(gist for gist, libraries in counts.items() if libraries > 1)}
    files.write_json(REFERENCE, reference)
    files.write_json(REFERENCE, {**reference, "libraries": {share.library: share.facts() for share in read_all()}})


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a demo folder of this schema; None for anything else, also for someone's own manifest.json."""
    try:
        manifest = files.read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and manifest.get("kind") == KIND and manifest.get("schema") == SCHEMA
    return manifest if ours else None


def _changed(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Files that are not as they were built, or gone. 43 MB: 0.03 s."""
    paths = {name: folder / name for name in manifest["files"]}
    return [name for name, path in paths.items() if not path.is_file() or files.sha256_file(path) != manifest["files"][name]]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m regraft.upkeep.demo", description="Build the demo's data from installed docstrings.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/demo"), help="where to write (default: data/demo)")
    parser.add_argument("--force", action="store_true", help="build again, also over edited files")
    parser.add_argument("--update-manifest", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        if arguments.update_manifest:
            update_reference()
        _make(arguments.folder, force=arguments.force)
    except RegraftError as error:
        return _fail(error)
    except OSError as error:
        return _fail(EnvironmentFault(f"{arguments.folder} cannot be written: {error}"))
    except KeyboardInterrupt:
        return 130
    return 0


def _make(folder: Path, *, force: bool) -> None:
    status = state(folder)
    if status == "edited" and not force:
        names = ", ".join(_changed(folder, _manifest(folder) or {"files": {}}))
        sys.stdout.write(f"{folder} was edited since it was built and is kept ({names}); --force builds it again\n")
    elif status == "current" and not force:
        sys.stdout.write(f"{folder} is up to date ({'verified' if verified(folder) else 'unverified'})\n")
    else:
        sys.stdout.write(f"{READING}\n")
        sys.stdout.flush()
        manifest = build(folder)
        sys.stdout.writelines(f"{line}\n" for line in lines(folder, manifest))
        if warning := difference(manifest):
            sys.stderr.write(f"warning: {warning}\n")


def lines(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What was built, for people."""
    libraries = manifest["libraries"].values()
    rows, documents, corpus = (sum(facts[key] for facts in libraries) for key in ("rows", "documents", "corpus_bytes"))
    known = "verified, this is the text that the demo was measured on" if manifest["verified"] else "unverified"
    return [
        f"{folder / ROWS}: {rows:,} sentences of {len(libraries)} libraries",
        f"{folder / 'corpus'}: {documents:,} docstrings, {size(corpus)}",
        f"{folder / MANIFEST}: {known}",
    ]


def difference(manifest: Mapping[str, Any]) -> str | None:
    """What a person should know of data that the demo was not measured on; None: it was measured on this."""
    if manifest["verified"]:
        return None
    which = "; ".join(f"{library} ({how})" for library, how in manifest["differs"].items())
    return f"not the text that the demo was measured on: {which}; runs on it are marked `demo: unverified`"


def _fail(error: RegraftError) -> int:
    sys.stderr.write(f"error: {error}\n" + (f"next: {error.fix}\n" if error.fix else ""))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
