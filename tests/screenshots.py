"""Pictures of every page, to be looked at: `make screenshots`, or ``python tests/screenshots.py OUT [WORKSPACE]``.

The pages are those of the tiny workspace after a run that passed and one that failed, with a row that its contract sets aside, and
those of the built documentation, if there is one; of a WORKSPACE, those of the last verdict of its first pipeline.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chromium import CHROMIUM, opened
from everything import Ran, prepare, refuse
from tinyspace import make_tiny
from workbench import regraft

from regraft.core import files
from regraft.core.workspace import Workspace

WIDTHS = (390, 768, 1440)
DOCS = ("index", "ml-engineer", "approver", "reference/pipeline")


def main(out: Path, workspace: Path | None) -> None:
    """Write ``<page>-<width>-<theme>.png`` into ``out``."""
    if CHROMIUM is None:
        sys.exit("no Chromium on PATH, and pages are drawn by one; next: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        pages = dict(_of(workspace, Path(scratch)) if workspace else _tiny(Path(scratch)))
        built = Path(__file__).parents[1] / "build" / "docs"
        pages |= {f"docs-{name.replace('/', '-')}": path for name in DOCS if (path := built / f"{name}.html").is_file()}
        with opened(Path(scratch) / "chromium") as browser:
            for (name, page), width, theme in itertools.product(pages.items(), WIDTHS, ("light", "dark")):
                browser.open(page, width, theme)
                (out / f"{name}-{width}-{theme}.png").write_bytes(browser.picture())
    print(f"{out}: {len(pages)} pages, {len(pages) * len(WIDTHS) * 2} pictures")


def _of(root: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    pipeline = Workspace(root).pipelines[0]
    for name, argv in (("run", ("report", pipeline)), ("overview", ("report",))):
        yield name, _written(root, scratch / f"{name}.html", *argv, "--out")
    yield "card", _written(root, scratch / "card.html", "card", pipeline, "--html")
    yield "data", root / "artifacts" / pipeline / "contract" / "evidence" / "contract.html"


def _tiny(scratch: Path) -> Iterator[tuple[str, Path]]:
    root = scratch / "tiny"
    make_tiny(root)
    prepare(root)
    with (root / "data" / "rows.jsonl").open("a", encoding="utf8") as rows:
        rows.write(json.dumps({"id": "empty", "text": "", "label": "garden", "half": "first"}) + "\n")
    _run(root, 0)
    yield "first", _written(root, scratch / "first.html", "report", "tiny", "--out")
    refuse(Ran(root, files.read_json(root / "state/latest/tiny.json"), ""))
    _run(root, 4)
    yield from _of(root, scratch)


def _run(root: Path, code: int) -> None:
    done = regraft(root, "run", "tiny")
    if done.returncode != code:
        sys.exit(done.stdout + done.stderr)


def _written(root: Path, page: Path, *argv: str) -> Path:
    done = regraft(root, *argv, str(page))
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
