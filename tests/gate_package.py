"""The example of docs/extend/gate.md as the package that it is about."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "extend" / "gate.md"


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def install(site: Path) -> Path:
    """What ``pip install`` leaves in ``site`` of a package with the page's code and entry point."""
    info = site / "their_gates-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "label_noise.py").write_text(_block("python"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-gates\nVersion: 1.0\n")
    group, entry = _block("toml").strip().replace('"', "").splitlines()
    (info / "entry_points.txt").write_text(f"{group.replace('project.entry-points.', '')}\n{entry}\n")
    return site
