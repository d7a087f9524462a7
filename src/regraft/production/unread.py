"""The page of a drop that cannot be read at all: what is wrong with which file, for whoever made it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.data.handoff import page
from regraft.data.sources import describe
from regraft.production.data_store import DataStore, now

NO_PAGE = {"file.exists", "file.whole"}
"""Rules of a drop that is not there, or not yet."""


@contextlib.contextmanager
def told(store: DataStore, source: str, by: str) -> Iterator[None]:
    """Write a page about what makes ``source`` unreadable, and name it in the error; a later try takes its place."""
    try:
        yield
    except DataRejected as error:
        if not error.problems or NO_PAGE & {problem.get("rule") for problem in error.problems}:
            raise
        path = store.folder / "refused" / files.sha256_text(source)[:12] / page.NAME
        files.write_text(path, page.render_unread(store.pipeline, source, now(), by, error.problems, error.fix))
        faults = [] if "\n" in str(error) else [f"  {describe(problem)}" for problem in error.problems]
        lines = [str(error), *faults, f"the same as a page, for whoever made the file: {store.workspace.relative(path)}"]
        raise DataRejected("\n".join(lines), fix=error.fix, problems=error.problems) from None
